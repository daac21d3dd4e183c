"""A host to measure on: so many bridges, each with a NIC and five guests' ports, in a namespace of its own."""

from __future__ import annotations

from pathlib import Path

from bascule.system.netns import Namespace
from bascule.system.run import run

PORTS = 5  # taps of guests on each bridge, beside its NIC


def site_text(bridges: int, ports: int = PORTS) -> str:
    """The site file: NIC e0 and taps t0p0 … t0p4 on br0, and so on."""
    numbers = range(bridges)
    lines = ["site: grown", "networks:"]
    lines += [f"  n{i}: {{subnet: 10.{i >> 8}.{i & 255}.0/24}}" for i in numbers]
    lines += ["hosts:", "  h:", "    nics:", *(f"      e{i}: {{network: n{i}}}" for i in numbers)]
    lines += ["    bridges:", *(f"      br{i}: {{uplink: e{i}}}" for i in numbers), "guests:"]
    lines += [
        f"  g{i}p{p}: {{host: h, memory: 1GiB, nics: [{{bridge: br{i}, tap: t{i}p{p}}}]}}"
        for i in numbers
        for p in range(ports)
    ]
    return "\n".join(lines) + "\n"


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
        lines = ["link set lo up"]
        for name in cables:
            lines += [f"link add {name} type veth peer name {name}w netns {far}", f"link set {name} up"]
        lines += [] if veth else [f"tuntap add dev {tap} mode tap" for tap in taps]
        run(("ip", "-batch", "-"), stdin="\n".join(lines), namespace=self.host, timeout_s=600, keep=(self.wire.fd,))
        up = "".join(f"link set {name}w up\n" for name in cables)
        run(("ip", "-batch", "-"), stdin=up, namespace=self.wire, timeout_s=600)

    def close(self) -> None:
        """Let go; the kernel takes the links away in the background."""
        self.host.close()
        self.wire.close()

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
