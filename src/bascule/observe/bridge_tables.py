"""The tables of bridges: what they have learned, the kernel's and others', and what somebody has entered there.

The kernel forgets what was entered at a port when it leaves its bridge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.links import Bridge
from bascule.model.sightings import FdbEntry, fdb_entries
from bascule.model.state import HostState
from bascule.model.values import IfName, parse_mac
from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.static_fdb.state import StaticFdb
from bascule.system.net.fdb import kernel_rows
from bascule.system.net.netns import Namespace
from bascule.system.run import rows

MDB = ("bridge", "-j", "mdb", "show")


def read_fdb(namespace: Namespace | None = None) -> tuple[FdbEntry, ...]:
    """Every entry of every bridge, with its age in seconds; the links' own MACs are left out.

    Raises MissingTool, CommandFailed.
    """
    return (*fdb_entries(kernel_rows(namespace)), *switch_entries(namespace))


def switch_entries(namespace: Namespace | None = None) -> tuple[FdbEntry, ...]:
    """What bridges that are not the kernel's have learned, without their own MACs."""
    return tuple(
        FdbEntry(mac=parse_mac(mac), port=IfName(port), bridge=IfName(bridge), vlan=vlan or None, age_s=age)
        for provider in SWITCH_PROVIDERS
        for bridge, port, vlan, mac, age in provider.effects().learned(namespace)
        if port != bridge
    )


def learned_by_port(entries: Iterable[FdbEntry]) -> dict[str, tuple[str, ...]]:
    """Port → the MACs learned behind it, each once, with ``vlan N`` where the bridge keeps VLANs apart."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        if not entry.static:
            vlan = f" vlan {entry.vlan}" if entry.vlan is not None else ""
            found.setdefault(entry.port, {})[f"{entry.mac}{vlan}"] = None
    return {port: tuple(macs) for port, macs in found.items()}


def forgotten_entries(before: HostState, after: HostState) -> tuple[tuple[IfName, str], ...]:
    """Each port that leaves its bridge with entries of others in its tables, and the sentence; nothing is changed."""
    leaving = {
        name: link.master
        for name, link in before.links.items()
        if link.master is not None and (bridge := before.links.get(link.master)) is not None and bridge.is_bridge
        if (then := after.links.get(name)) is not None and then.master != link.master
    }
    if not leaving:
        return ()
    carried: StaticFdb | None = STATIC_FDB.part(after)
    entries = () if carried is not None else _macs()
    left = (before.links[bridge].options for bridge in set(leaving.values()))
    groups = _groups() if any(isinstance(one, Bridge) and one.mcast_snooping for one in left) else ()
    return tuple(_told(port, leaving[port], words, call, after) for port, words, call in (*entries, *groups)
                 if port in leaving)  # fmt: skip


def _macs() -> Iterator[tuple[IfName, str, str]]:
    for one in fdb_entries(kernel_rows(check=False)):
        if one.static:
            vlan = f" vlan {one.vlan}" if one.vlan is not None else ""
            yield one.port, f"static FDB entry {one.mac}{vlan}", f"fdb add {one.mac} dev {one.port} master static{vlan}"


def _groups() -> Iterator[tuple[IfName, str, str]]:
    for row in (row for table in rows(MDB, check=False) for row in table.get("mdb", ())):
        if row.get("state") == "permanent" and row.get("port") != row.get("dev"):
            more = "".join(f" {word} {row[key]}" for key, word in (("src", "src"), ("vid", "vid")) if key in row)
            group = f"{row['grp']}{more}"
            call = f"mdb add dev {{to}} port {row['port']} grp {group} permanent"
            yield IfName(row["port"]), f"permanent multicast group {group}", call


def _told(port: IfName, bridge: IfName, words: str, call: str, after: HostState) -> tuple[IfName, str]:
    to = after.links[port].master
    again = f": 'bridge {call.format(to=to)}' enters it in {to}" if after.bridge_of(port) else ""
    return port, f"the {words} at it goes with its place in {bridge}, and does not come again by itself{again}"
