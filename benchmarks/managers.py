"""The network managers that an administrator would pick instead, each in a room of its own (see room.py)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time

from bascule.system.run import run as run_tool
from benchmarks.makers import Peer
from benchmarks.measure import Run, process
from benchmarks.room import Room

PATIENCE_S = 240  # for a daemon to put every port in its place


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
        """Shell words that end when every port is on its bridge, and every bridge is up."""
        wanted, steps = self.bridges * self.ports, PATIENCE_S * 20
        count = "$(ip -o link show type veth | grep -c ' master br')"
        up = "$(ip -o link show up type bridge | grep -c ': br')"
        return (
            f"n=0; until [ {count} = {wanted} ] && [ {up} = {self.bridges} ]; do n=$((n+1)); [ $n -lt {steps} ] || "
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

    name = "NetworkManager (nmcli)"
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

    name = "systemd-networkd"
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

    name = "netplan with systemd-networkd"
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
