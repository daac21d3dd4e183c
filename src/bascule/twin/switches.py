"""Open vSwitch in a twin: a database and an ovs-vswitchd of each host's own, which moves the frames in userspace."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import CommandFailed, MissingTool, NotPermitted
from bascule.guests.runtimes.runtime import bring
from bascule.host.live import HERE
from bascule.model.links import PatchPort
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.providers.ovs import OVS
from bascule.providers.ovs.observe import observe
from bascule.providers.ovs.state import BridgeRow, InterfaceRow, PortRow, SwitchState
from bascule.system.net import rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import ask, daemons
from bascule.system.process.workers import Daemon
from bascule.system.run import run
from bascule.twin.wiring import Wiring

SCHEMA = "vswitch.ovsschema"
TUN = "/dev/net/tun"  # of which internal ports are made
TOOLS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd")
FOLDERS = (Path("/usr/share/openvswitch"), Path("/usr/local/share/openvswitch"))
READY_S = 10.0  # how long the database or ovs-vswitchd may take to listen
NO_LOG = ("-vconsole:emer", "-vsyslog:off", "-vfile:off")


def socket_folder(namespace: Namespace) -> Path | None:
    """The folder with the sockets of those that keep the switches of a namespace."""
    found = daemons(namespace)
    return Path(found.socket).parent if found is not None else None


def has_switches(host: Host) -> bool:
    """Whether a host has a bridge of Open vSwitch."""
    return any(bridge.openvswitch is not None for bridge in host.bridges.values())


def in_userspace(site: Site) -> Site:
    """The site with the frames of all such bridges moved in userspace, for which no kernel module is needed."""
    return replace(site, hosts={name: _in_userspace(host) for name, host in site.hosts.items()})


def _in_userspace(host: Host) -> Host:
    bridges = {
        name: replace(bridge, openvswitch=replace(bridge.openvswitch, datapath="netdev"))
        if bridge.openvswitch is not None
        else bridge
        for name, bridge in host.bridges.items()
    }
    return replace(host, bridges=bridges)


def as_played(host: Host, state: HostState) -> HostState:
    """An observed host as the twin can play it: its declared switches in userspace, without those of others."""
    part: SwitchState | None = OVS.part(state)
    if part is None:
        return state
    declared = {str(bridge.name) for bridge in host.bridges.values() if bridge.openvswitch is not None}
    others = {name for name in part.bridges if name not in declared}
    cables = {str(patch.name) for bridge in host.bridges.values() for patch in bridge.patches}
    links = {
        name: replace(link, master=None, port=None, vlans=()) if link.master in others else link
        for name, link in state.links.items()
        if name not in others and (name in cables or not isinstance(link.options, PatchPort))
    }
    kept = {
        name: row
        for name, row in part.ports.items()
        if row.bridge in declared and (name in cables or all(one.type in {"", "internal"} for one in row.interfaces))
    }
    bridges = {name: replace(part.bridges[name], datapath_type="netdev") for name in declared & part.bridges.keys()}
    mirrors = {key: row for key, row in part.mirrors.items() if row.bridge in declared}
    flows = {name: table for name, table in part.flows.items() if name in declared}
    played = replace(part, bridges=bridges, ports=kept, mirrors=mirrors, flows=flows) if declared else None
    return OVS.with_part(replace(state, links=links), played)


def start(namespace: Namespace, folder: Path) -> Iterator[Daemon]:
    """The two daemons, ready when this has been gone through; they go on with a database that is there already.

    Raises MissingTool where they are not installed, NotPermitted where an ordinary user may not make their links.
    """
    schema = next((path for each in FOLDERS if (path := each / SCHEMA).exists()), None)
    if schema is None:
        message = f"the schema of Open vSwitch, {SCHEMA}, is not in {' or '.join(map(str, FOLDERS))}"
        raise MissingTool.of("OPENVSWITCH-MISSING", message, hint="apt-get install openvswitch-common")
    if not os.access(TUN, os.R_OK | os.W_OK):
        message = f"Open vSwitch moves frames in userspace through {TUN}, which may not be opened by you"
        raise NotPermitted.of("NOT-PERMITTED", message, hint=f"run it as root, or let it be opened: chmod 666 {TUN}")
    folder.mkdir(parents=True, exist_ok=True)
    base, database = folder / "conf.db", folder / "db.sock"
    if is_new := not base.exists():
        run(("ovsdb-tool", "create", str(base), str(schema)))
    room = ("env", *(f"OVS_{name}DIR={folder}" for name in ("RUN", "LOG", "DB", "SYSCONF")))
    own = (f"--remote=punix:{database}", f"--unixctl={folder}/ovsdb-server.ctl", str(base))
    server = Daemon((*room, "ovsdb-server", *NO_LOG, *own), namespace, folder / "ovsdb-server.log")
    yield server
    _await(server, database)
    if is_new:
        _initialise(database)
    control = folder / "ovs-vswitchd.ctl"
    words = (*room, "ovs-vswitchd", *NO_LOG, f"--unixctl={control}", f"unix:{database}")
    switch = Daemon(words, namespace, folder / "ovs-vswitchd.log")
    yield switch
    _await(switch, control)


def _listens(path: Path) -> bool:
    """Whether somebody takes connections there; the file alone is there a moment before."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        return sock.connect_ex(str(path)) == 0


def _initialise(database: Path) -> None:
    """The one row that a new database lacks."""
    ask(str(database), ["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}])


def _await(daemon: Daemon, path: Path) -> None:
    if not daemon.wait(lambda: _listens(path), timeout_s=READY_S):
        words = " ".join(daemon.output.split()) or "it said nothing"
        raise CommandFailed.of("OPENVSWITCH", f"{' or '.join(TOOLS[1:])} did not start in the twin: {words}")


def lay_tags(wiring: Wiring, building: Namespace, folder: Path, masters: Mapping[str, int]) -> Iterator[Daemon]:
    """Tagged networks on the cables of hosts, in a building whose kernel has no links that put tags on frames.

    A bridge of Open vSwitch stands at the far end of each such cable, with a port for each network behind it. As a
    cable it passes BPDUs, by which a switch with two cables knows of the loop.
    """
    yield from start(building, folder)
    database = str(folder / "db.sock")
    before = observe(database)
    bridges: dict[str, BridgeRow] = {}
    ports: dict[str, PortRow] = {}
    behind: dict[str, int] = {}
    for number, cable in enumerate(cable for cable in wiring.cables if cable.tagged):
        bridge = f"tags{number}"
        bridges[bridge] = BridgeRow(name=bridge, datapath_type="netdev", other_config={"forward-bpdu": "true"})
        vids = {0: cable.native, **{int(wiring.vids[network]): network for network in cable.tagged}}
        ports[bridge] = _internal(bridge, bridge, None)
        link = InterfaceRow(name=cable.port)
        ports[cable.port] = PortRow(name=cable.port, bridge=bridge, interfaces=(link,), trunks=tuple(sorted(vids)))
        for vid, network in vids.items():
            if network is not None:
                name = f"tag{number}.{vid}"
                ports[name] = _internal(name, bridge, vid)
                behind[name] = masters[network]
        rtnetlink.change(building, [rtnetlink.set_link(cable.port, master=0)])
    bring(OVS, HostState(parts={OVS.name: before}), replace(before, bridges=bridges, ports=ports), HERE)
    messages = [message for name in behind for message in rtnetlink.addrgenmode_none(name)]
    messages += [rtnetlink.set_link(name, master=master, up=True) for name, master in behind.items()]
    rtnetlink.change(building, messages)


def _internal(name: str, bridge: str, tag: int | None) -> PortRow:
    own = InterfaceRow(name=name, type="internal")
    return PortRow(name=name, bridge=bridge, interfaces=(own,), tag=tag)
