"""The same bridges by everybody who can make them: ours against the tools that an administrator would pick instead.

Each peer gets the configuration that its own documentation asks for, and is measured from the command (or the start of
its daemon) until every port is on its bridge, in turn with the others, over the same cables in the same namespace.
Ours is the whole verb: reading the file, observing, checkpoint on disk, change, second look.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bascule.errors import BasculeError
from bascule.guests.libvirtd import PrivateLibvirt
from bascule.system.netns import Namespace
from bascule.system.run import run as run_tool
from bascule.system.sandbox import sandboxed
from benchmarks.layout import PORTS, Ground, site_text
from benchmarks.measure import Findings, Row, Run, Usage, process
from benchmarks.room import Room, unpack

BRIDGES, QUICK_BRIDGES = 50, 5
BASCULE = (sys.executable, "-m", "bascule")
OURS, BARE, FLOOR, LIBVIRT = "bascule", "bascule, bare", "ip -batch", "libvirt"
NM, NETWORKD, NETPLAN = "NetworkManager (nmcli)", "systemd-networkd", "netplan with systemd-networkd"
DAEMONS = {NM, NETWORKD, NETPLAN}
PATIENCE_S = 240  # for a daemon to put every port in its place


def run(*, quick: bool) -> Findings:
    """Raises LookupError where namespaces or packages cannot be had."""
    unpack()
    bridges = QUICK_BRIDGES if quick else BRIDGES
    found, left_out = sandboxed(measure, bridges, 1 if quick else 3)
    floor, ours = found[FLOOR], found[OURS]
    what = f"{bridges} bridges with {PORTS + 1} ports"
    rows = [
        Row(
            f"{what}: bascule apply by {FLOOR}, the floor",
            told(ours),
            told(floor),
            ours.wall_s.median / floor.wall_s.median,
            "×",
            float("inf"),
        )
    ]
    rows += [
        Row(
            f"{what}: {name} by bascule apply",
            told(ours),
            told(usage),
            usage.wall_s.median / ours.wall_s.median,
            "×",
            float("inf"),
            note="CPU without its daemon's" if name in DAEMONS else "",
        )
        for name, usage in found.items()
        if name not in {OURS, FLOOR, LIBVIRT, BARE}
    ]
    if LIBVIRT in found:
        bare, libvirt = found[BARE], found[LIBVIRT]
        rows.append(
            Row(
                f"{bridges} bridges without ports: libvirt's net-define and net-start by bascule apply",
                told(bare),
                told(libvirt),
                libvirt.wall_s.median / bare.wall_s.median,
                "×",
                float("inf"),
            )
        )
    return Findings(rows=rows, left_out=left_out)


def told(usage: Usage) -> str:
    return f"{usage.wall_s} s, CPU {usage.cpu_s.median:.2f} s, {usage.peak_mib.median:.0f} MiB"


def measure(bridges: int, rounds: int) -> tuple[dict[str, Usage], dict[str, str]]:
    """Inside a sandbox: every peer in every round, and the reasons of those that could not run."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-peers-", dir="/var/tmp"))
    found: dict[str, list[Run]] = {}
    left_out = {"Mininet": "it brings its own hosts, so it is compared with the twin (see there)"}
    try:
        with Ground(bridges, veth=True) as ground, contextlib.ExitStack() as stack:
            peers: list[Peer] = []
            for kind in (Ours, Floor, Ifupdown2, Ifupdown, NetworkManager, Networkd, Netplan, Bare, Libvirt):
                try:
                    peers.append(stack.enter_context(kind(bridges, ground.host, folder / kind.__name__)))
                except (LookupError, BasculeError) as why:
                    left_out[kind.name] = str(why)
            for _ in range(rounds):
                for peer in list(peers):
                    peer.prepare()
                    try:
                        found.setdefault(peer.name, []).append(peer.go())
                        peer.see()
                    except (RuntimeError, OSError, subprocess.SubprocessError) as why:
                        left_out[peer.name] = str(why)
                        found.pop(peer.name, None)
                        peers.remove(peer)
                    peer.clear()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: Usage.of(runs) for name, runs in found.items() if runs}, left_out


class Peer:
    """One way to make the bridges. ``prepare`` and ``clear`` are not measured."""

    name = ""
    ports = PORTS + 1  # of each bridge

    def __init__(self, bridges: int, host: Namespace, folder: Path) -> None:
        self.bridges, self.host, self.folder = bridges, host, folder
        folder.mkdir()
        self.furnish()

    def furnish(self) -> None:
        """Write the configuration."""

    def prepare(self) -> None:
        """Before each run."""

    def go(self) -> Run:
        """Make the bridges."""
        raise NotImplementedError

    def see(self) -> None:
        """RuntimeError unless every bridge is up and has its ports: a peer that does half is not faster."""
        links = self.links()
        up = sum(1 for link in links if link.get("linkinfo", {}).get("info_kind") == "bridge" and "UP" in link["flags"])
        ports = sum(1 for link in links if link.get("master", "").startswith("br"))
        if (up, ports) != (self.bridges, self.bridges * self.ports):
            raise RuntimeError(f"{self.name} made {up} bridges with {ports} ports")

    def links(self) -> list[dict[str, Any]]:
        text = run_tool(("ip", "-j", "-d", "link", "show"), namespace=self.host).stdout
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def clear(self) -> None:
        """Take the bridges away at once, as a group."""
        made = [str(link["ifname"]) for link in self.links() if link.get("linkinfo", {}).get("info_kind") == "bridge"]
        lines = "".join(f"link set dev {name} group 4711\n" for name in made)
        if made:
            run_tool(("ip", "-batch", "-"), stdin=lines + "link del group 4711\n", namespace=self.host)

    def of(self, bridge: int) -> list[str]:
        """The ports of one bridge."""
        return [f"e{bridge}", *(f"t{bridge}p{port}" for port in range(PORTS))][: self.ports]

    def close(self) -> None:
        """Let go."""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Ours(Peer):
    name = OURS

    def text(self) -> str:
        return site_text(self.bridges)

    def furnish(self) -> None:
        (self.folder / "site.yaml").write_text(self.text())
        self.verb("check", str(self.folder / "site.yaml"))

    def verb(self, *words: str) -> Run:
        env = {"BASCULE_STATE_DIR": str(self.folder / "state")}
        return process((*BASCULE, *words), namespace=self.host, env=env)

    def go(self) -> Run:
        return self.verb("apply", str(self.folder / "site.yaml"), "--yes", "--no-confirm")

    def clear(self) -> None:
        self.verb("undo")
        super().clear()


class Floor(Peer):
    """The commands of our own plan, straight to ``ip -batch``: nothing that runs programs can be faster."""

    name = FLOOR

    def furnish(self) -> None:
        site = self.folder / "site.yaml"
        site.write_text(site_text(self.bridges))
        with self.host.entered():
            argv = (*BASCULE, "plan", str(site), "--commands")
            lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
        self.batch = "".join(line.removeprefix("ip ") + "\n" for line in lines if line.startswith("ip ")).encode()

    def go(self) -> Run:
        return process(("ip", "-batch", "-"), stdin=self.batch, namespace=self.host)


class Bare(Ours):
    """Bridges without ports, as libvirt's networks are before a guest starts."""

    name = BARE
    ports = 0

    def text(self) -> str:
        bridges = "".join(f"      br{number}: {{uplink: none}}\n" for number in range(self.bridges))
        return f"site: bare\nhosts:\n  h:\n    bridges:\n{bridges}"


class Libvirt(Peer):
    """An isolated network without addresses is libvirt's plain bridge; all commands through one virsh."""

    name = LIBVIRT
    ports = 0

    def furnish(self) -> None:
        self.daemon = PrivateLibvirt(self.host, self.folder / "daemon")
        for number in range(self.bridges):
            bridge = f"<bridge name='br{number}' stp='off' delay='0'/>"
            (self.folder / f"{number}.xml").write_text(f"<network><name>n{number}</name>{bridge}</network>")

    def virsh(self, lines: list[str]) -> Run:
        return process(("virsh", "-q", "-c", self.daemon.uri, "; ".join(lines)), namespace=self.host)

    def go(self) -> Run:
        return self.virsh(
            [line for n in range(self.bridges) for line in (f"net-define {self.folder}/{n}.xml", f"net-start n{n}")]
        )

    def clear(self) -> None:
        self.virsh([line for n in range(self.bridges) for line in (f"net-destroy n{n}", f"net-undefine n{n}")])

    def close(self) -> None:
        self.daemon.close()


class InRoom(Peer):
    """A peer whose packages are laid over this system."""

    sets: tuple[str, ...] = ()

    def furnish(self) -> None:
        self.room = Room(self.sets, self.files(), work=f"/run/{type(self).__name__}")
        sysfs = ("mount", "-t", "sysfs", "sysfs", str(self.room.path / "sys"))  # it shows the namespace of its mounting
        run_tool(sysfs, namespace=self.host)

    def files(self) -> dict[str, str]:
        return {}

    def inside(self, script: str) -> Run:
        return process(self.room.argv("sh", "-ec", script), namespace=self.host, timeout_s=PATIENCE_S + 30)

    def until_done(self) -> str:
        """Shell words that end when every port is on its bridge."""
        wanted, steps = self.bridges * self.ports, PATIENCE_S * 20
        count = "$(ip -o link show type veth | grep -c ' master br')"
        return (
            f"n=0; until [ {count} = {wanted} ]; do n=$((n+1)); [ $n -lt {steps} ] || "
            f"{{ echo only {count} of {wanted} ports after {PATIENCE_S} s >&2; exit 1; }}; sleep 0.05; done"
        )


class Ifupdown2(InRoom):
    """``ifup -a`` of interfaces(5) with ifupdown2's own words."""

    name = "ifup -a (ifupdown2)"
    sets = ("ifupdown2",)

    def files(self) -> dict[str, str]:
        stanzas = [
            f"auto br{n}\niface br{n}\n  bridge-ports {' '.join(self.of(n))}\n  bridge-stp off\n  bridge-fd 0\n"
            for n in range(self.bridges)
        ]
        return {"/etc/network/interfaces": "".join(stanzas)}

    def go(self) -> Run:
        return self.inside("chmod +x /usr/share/ifupdown2/__main__.py; export LC_ALL=C.UTF-8; exec ifup -a")


class Ifupdown(InRoom):
    """``ifup -a`` of the classic ifupdown with the hook of bridge-utils (bridge-utils-interfaces(5))."""

    name = "ifup -a (ifupdown, bridge-utils)"
    sets = ("ifupdown",)

    def files(self) -> dict[str, str]:
        stanzas = [
            f"auto br{n}\niface br{n} inet manual\n  bridge_ports {' '.join(self.of(n))}\n  bridge_stp off\n"
            "  bridge_fd 0\n  bridge_maxwait 0\n"
            for n in range(self.bridges)
        ]
        return {"/etc/network/interfaces": "".join(stanzas)}

    def go(self) -> Run:
        return self.inside("exec ifup -a")

    def clear(self) -> None:
        super().clear()
        shutil.rmtree(self.room.path / "run/network", ignore_errors=True)  # what it believes to be up
        (self.room.path / "run/network").mkdir()


class Managed(InRoom):
    """A daemon that is started for each run and ended after it."""

    daemon: subprocess.Popen[bytes] | None = None

    def start(self, *argv: str) -> None:
        with self.host.entered():
            self.daemon = subprocess.Popen(
                self.room.argv(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def clear(self) -> None:
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGKILL)
            self.daemon.wait()
            self.daemon = None
        super().clear()


class NetworkManager(Managed):
    """Profiles as files, ``nmcli connection reload``; the daemon runs already, and connects them by itself.

    Its own D-Bus; without udev the devices are told to be ready as udev would.
    """

    name = NM
    bus: subprocess.Popen[bytes] | None = None

    def furnish(self) -> None:
        super().furnish()
        self.room.write("/etc/NetworkManager/conf.d/50-bench.conf", "[main]\nno-auto-default=*\nplugins=keyfile\n")
        for index in (link["ifindex"] for link in self.links()):
            self.room.write(f"/run/udev/data/n{index}", "I:1\n")
        with self.host.entered():
            self.bus = subprocess.Popen(
                self.room.argv("dbus-daemon", "--system", "--nofork", "--nopidfile"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def prepare(self) -> None:
        self.start("NetworkManager", "--no-daemon")
        self.inside("n=0; until nmcli general status; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.2; done")
        time.sleep(1)  # it looks at what is there
        off = "[ipv4]\nmethod=disabled\n[ipv6]\nmethod=disabled\n"
        profiles = "/etc/NetworkManager/system-connections"
        for n in range(self.bridges):
            head = f"[connection]\nid=br{n}\ntype=bridge\ninterface-name=br{n}\n"
            self.room.write(f"{profiles}/br{n}.nmconnection", f"{head}[bridge]\nstp=false\n{off}")
            for port in self.of(n):
                head = (
                    f"[connection]\nid={port}\ntype=ethernet\ninterface-name={port}\nmaster=br{n}\nslave-type=bridge\n"
                )
                self.room.write(f"{profiles}/{port}.nmconnection", head)

    def go(self) -> Run:
        return self.inside(f"nmcli connection reload; {self.until_done()}")

    def clear(self) -> None:
        super().clear()
        profiles = self.room.path / "etc/NetworkManager/system-connections"
        for file in profiles.glob("*.nmconnection"):
            file.unlink()

    def close(self) -> None:
        if self.bus is not None:
            self.bus.kill()
            self.bus.wait()


class Networkd(Managed):
    """.netdev and .network files, then the start of systemd-networkd, as at boot."""

    name = NETWORKD
    setup = (
        "mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp; "
        "chown -R systemd-network:systemd-network /run/systemd/netif"
    )

    def furnish(self) -> None:
        super().furnish()
        # as in a container: without udev it waits for nobody
        run_tool(("mount", "-o", "remount,bind,ro", str(self.room.path / "sys")), namespace=self.host)

    def files(self) -> dict[str, str]:
        found = {}
        quiet = "[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        for n in range(self.bridges):
            found[f"/etc/systemd/network/br{n}.netdev"] = (
                f"[NetDev]\nName=br{n}\nKind=bridge\n[Bridge]\nSTP=no\nForwardDelaySec=0\n"
            )
            found[f"/etc/systemd/network/br{n}.network"] = f"[Match]\nName=br{n}\n{quiet}"
            found[f"/etc/systemd/network/ports{n}.network"] = (
                f"[Match]\nName={' '.join(self.of(n))}\n[Network]\nBridge=br{n}\n"
            )
        return found

    generate = ":"

    def go(self) -> Run:
        daemon = "/lib/systemd/systemd-networkd >/dev/null 2>&1 & echo $! >/run/networkd.pid"
        return self.inside(f"{self.setup}; {self.generate}; {daemon}; {self.until_done()}")

    def clear(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.room.path / "run/networkd.pid").read_text()), signal.SIGKILL)
            time.sleep(0.2)
        super().clear()


class Netplan(Networkd):
    """One YAML file, netplan's own generator, then systemd-networkd."""

    name = NETPLAN
    generate = "/usr/libexec/netplan/generate"

    def files(self) -> dict[str, str]:
        lines = ["network:", "  version: 2", "  renderer: networkd", "  ethernets:"]
        lines += [f"    {port}: {{link-local: []}}" for n in range(self.bridges) for port in self.of(n)]
        lines += ["  bridges:"]
        lines += [
            f"    br{n}: {{interfaces: [{', '.join(self.of(n))}], link-local: [], "
            "parameters: {stp: false, forward-delay: 0}}"
            for n in range(self.bridges)
        ]
        return {"/etc/netplan/60-bench.yaml": "\n".join(lines) + "\n"}
