"""Ways to make bridges with ports: ours, the bare batch and libvirt; managers.py has the network managers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bascule.system.net.netns import Namespace
from bascule.system.run import run as run_tool
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from benchmarks.layout import PORTS, Ground, site_text
from benchmarks.measure import Run, process

BASCULE = (sys.executable, "-m", "bascule")


def planned(host: Namespace, site: Path) -> list[str]:
    """The commands that the plan of a site file has now, a line each."""
    with host.entered():
        argv = (*BASCULE, "plan", str(site), "--here", "--commands")
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


class Peer:
    """One way to make the bridges. ``prepare`` and ``clear`` are not measured."""

    name = ""
    ports = PORTS + 1  # of each bridge

    def __init__(self, bridges: int, ground: Ground, folder: Path) -> None:
        self.bridges, self.ground, self.host, self.folder = bridges, ground, ground.host, folder
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
        """Take the bridges away and put the ports back."""
        self.unmake()
        self.ground.restore()

    def unmake(self) -> Run:
        """Take the bridges away as one group: no way is faster."""
        made = [str(link["ifname"]) for link in self.links() if link.get("linkinfo", {}).get("info_kind") == "bridge"]
        lines = [*(f"link set dev {name} group 4711\n" for name in made), *("link del group 4711\n" for _ in made[:1])]
        return process(("ip", "-batch", "-"), stdin="".join(lines).encode(), namespace=self.host)

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
    name = "bascule"

    def text(self) -> str:
        return site_text(self.bridges)

    def furnish(self) -> None:
        (self.folder / "site.yaml").write_text(self.text())
        self.verb("check", str(self.folder / "site.yaml"))

    def verb(self, *words: str) -> Run:
        env = {"BASCULE_STATE_DIR": str(self.folder / "state")}
        return process((*BASCULE, *words), namespace=self.host, env=env)

    def go(self) -> Run:
        return self.verb("apply", str(self.folder / "site.yaml"), "--here", "--yes", "--no-confirm")

    def plan(self) -> Run:
        return self.verb("plan", str(self.folder / "site.yaml"), "--here")

    def undo(self) -> Run:
        return self.verb("undo")

    def clear(self) -> None:
        self.undo()


class Floor(Peer):
    """The commands of our own plan, straight to ``ip -batch`` and ``sysctl``: nothing that runs programs is faster."""

    name = "ip -batch"

    def furnish(self) -> None:
        site = self.folder / "site.yaml"
        site.write_text(site_text(self.bridges))
        self.commands = planned(self.host, site)
        self.batch = "".join(line.removeprefix("ip ") + "\n" for line in self.commands if line.startswith("ip "))
        sysctls = [line for line in self.commands if line.startswith("sysctl ")]
        (self.folder / "sysctl.conf").write_text("".join(line.rpartition(" ")[2] + "\n" for line in sysctls))

    def go(self) -> Run:
        links = process(("ip", "-batch", "-"), stdin=self.batch.encode(), namespace=self.host)
        keys = process(("sysctl", "-q", "-p", str(self.folder / "sysctl.conf")), namespace=self.host)
        return Run(
            links.wall_s + keys.wall_s, links.cpu_s + keys.cpu_s, max(links.peak_mib, keys.peak_mib)
        )  # one after the other


class Bare(Ours):
    """Bridges without ports, as libvirt's networks are before a guest starts."""

    name = "bascule, without ports"
    ports = 0

    def text(self) -> str:
        bridges = "".join(f"      br{number}: {{uplink: none}}\n" for number in range(self.bridges))
        return f"site: bare\nhosts:\n  h:\n    bridges:\n{bridges}"


class Libvirt(Peer):
    """An isolated network without addresses is libvirt's plain bridge; all commands through one virsh."""

    name = "libvirt"
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
