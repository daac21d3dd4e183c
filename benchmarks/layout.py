"""A host to measure on: so many bridges, each with a NIC and five guests' ports, in a namespace of its own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bascule.system.net.netns import Namespace
from bascule.system.run import run

PORTS = 5  # taps of guests on each bridge, beside its NIC


def site_text(bridges: int, ports: int = PORTS) -> str:
    """The site file: NIC e0 and taps t0p0 … t0p4 on br0, and so on."""
    numbers = range(bridges)
    lines = ["site: grown", "networks:"]
    lines += [f"  n{i}: {{subnet: 10.{i >> 8}.{i & 255}.0/24}}" for i in numbers]
    lines += ["hosts:", "  h:", "    nics:", *(f"      e{i}: {{network: n{i}}}" for i in numbers)]
    lines += ["    bridges:", *(f"      br{i}: {{uplink: e{i}}}" for i in numbers), "guests:"]
    # without `memory:`, or a machine that cannot hold 5,000 guests would refuse them
    lines += [
        f"  g{i}p{p}: {{host: h, nics: [{{bridge: br{i}, tap: t{i}p{p}}}]}}" for i in numbers for p in range(ports)
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a disk, because a checkpoint is fsynced; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bascule-bench-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Ground:
    """The namespace ``host`` with the NICs and taps, without any bridge; ``wire`` holds the far ends of the cables.

    With ``veth`` the guests' ports are cables as well: not every peer takes a tap that somebody else made.
    """

    def __init__(self, bridges: int, ports: int = PORTS, *, veth: bool = False) -> None:
        self.host, self.wire = Namespace.new("host"), Namespace.new("wire")
        for each in (self.host, self.wire):
            with each.entered():  # nobody waits for duplicate address detection
                Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
                Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        far = f"/proc/self/fd/{self.wire.fd}"
        names = [f"e{i}" for i in range(bridges)]
        taps = [f"t{i}p{p}" for i in range(bridges) for p in range(ports)]
        cables = [*names, *taps] if veth else names
        self.ports = dict.fromkeys([*names, *taps], False) | dict.fromkeys(cables, True)  # which of them are up
        lines = ["link set lo up"]
        for name in cables:
            lines += [f"link add {name} type veth peer name {name}w netns {far}", f"link set {name} up"]
        lines += [] if veth else [f"tuntap add dev {tap} mode tap" for tap in taps]
        run(("ip", "-batch", "-"), stdin="\n".join(lines), namespace=self.host, timeout_s=600, keep=(self.wire.fd,))
        up = "".join(f"link set {name}w up\n" for name in cables)
        run(("ip", "-batch", "-"), stdin=up, namespace=self.wire, timeout_s=600)
        self._settle()

    def restore(self) -> None:
        """Every port as it was at the start, off every bridge: whoever comes next finds the same work."""
        lines = [f"link set dev {port} nomaster down addrgenmode eui64" for port in self.ports]
        with self.host.entered():
            for port in self.ports:
                Path("/proc/sys/net/ipv6/conf", port, "accept_ra").write_text("1")
                Path("/proc/sys/net/ipv6/conf", port, "disable_ipv6").write_text("0")
        lines += [f"link set dev {port} up" for port, is_up in self.ports.items() if is_up]
        run(("ip", "-batch", "-"), stdin="\n".join(lines), namespace=self.host, timeout_s=600)
        self._settle()

    def _settle(self) -> None:
        """Wait until every port that is up has its link-local address, which the kernel gives a moment later."""
        argv = ("ip", "-6", "-o", "address", "show", "scope", "link")
        wanted, patience = sum(self.ports.values()), time.monotonic() + 30
        while len(run(argv, namespace=self.host).stdout.splitlines()) < wanted and time.monotonic() < patience:
            time.sleep(0.05)

    def close(self) -> None:
        """Let go; the kernel takes the links away in the background."""
        self.host.close()
        self.wire.close()

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
