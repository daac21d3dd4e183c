"""What a frame of a guest pays on its way to the wire: our bridge against a bare one, br_netfilter, rules, NAT.

guest ── host ── wire, three namespaces and two cables for each variant. iperf3 from the guest to the wire, and a ping
every millisecond. All variants stand side by side and are measured in turn. Over veth a "packet" of a stream is up to
64 KiB, so the figures are ratios between variants and no forecast for a NIC.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bascule.apply.engine import execute
from bascule.host.live import LiveHost
from bascule.model.ruleset.text import table_text
from bascule.model.values import IfName
from bascule.plan.make import make_plan
from bascule.plan.target.sysctls import sysctl_keys
from bascule.plan.virtual_network import resolved_network, sysctls
from bascule.policy.network_rules import network_table
from bascule.providers.observe import observe
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import write_sysctls
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run as run_tool
from benchmarks.measure import Figures, Findings, Row, tool

RULES = (0, 10, 1000)
BARE, OURS, NAT = "a bare bridge", "our bridge", "our NAT"
KINDS = (
    ("throughput", "Gbit/s", "more is better"),
    ("ping", "µs", "less is better"),
    ("new TCP connection", "µs", "less is better"),
)
BRIDGED = """\
site: path
networks: {lan: {subnet: 10.9.0.0/24}}
hosts: {h: {nics: {e0: {network: lan}}, bridges: {br0: {uplink: e0}}}}
guests: {g: {host: h, nics: [{bridge: br0, tap: t0, address: 10.9.0.2/24}]}}
"""
GUEST, WIRE = "10.9.0.2", "10.9.0.3"
PINGS = 500
CONNECTS = 300
NETFILTER = "net/bridge/bridge-nf-call-iptables"

CONNECT = """
import socket, sys, time
first = time.perf_counter()
for _ in range(int(sys.argv[2])):
    with socket.create_connection((sys.argv[1], 7000), 5) as s:
        s.recv(1)
print((time.perf_counter() - first) / int(sys.argv[2]))
"""
ACCEPT = """
import socket
server = socket.create_server(("0.0.0.0", 7000), backlog=64)
while True:
    peer, _ = server.accept()
    peer.send(b".")
    peer.close()
"""


def run(*, quick: bool) -> Findings:
    """Raises LookupError where iperf3 or ping is missing, or the kernel lacks what a variant needs."""
    tool("iperf3")
    tool("ping")
    found, left_out = sandboxed(measure, 1 if quick else 3, 1 if quick else 2)
    rows = []
    for name, mine in found.items():
        if name == BARE:
            continue
        against = OURS if name.startswith(NAT) else BARE
        for kind, (what, unit, note) in enumerate(KINDS):
            ours, peer = Figures.of(mine[kind]), Figures.of(found[against][kind])
            words = (f"{ours} {unit}", f"{peer} {unit}", ours.median / peer.median)
            rows.append(Row(f"{name}: {what} by that of {against}", *words, "×", float("inf"), note=note))
    return Findings(rows=rows, left_out=left_out)


Measured = tuple[list[float], list[float], list[float]]  # in the order and the units of KINDS


def measure(rounds: int, seconds: int) -> tuple[dict[str, Measured], dict[str, str]]:
    """Inside a sandbox: each variant in each round."""
    left_out: dict[str, str] = {}
    paths: list[Way] = [Way(BARE, "bare"), Way(OURS, "ours")]
    if Path("/proc/sys", NETFILTER).exists():
        paths.append(Way(f"{BARE}, br_netfilter on", "bare", netfilter=True))
        paths += [
            Way(f"{OURS}, br_netfilter on, {n:,} rules of the host", "ours", netfilter=True, rules=n) for n in RULES
        ]
    else:
        left_out["br_netfilter"] = "the module is not loaded in this kernel"
    paths.append(Way(f"{OURS}, br_netfilter off, 1,000 rules of the host", "ours", rules=1000))
    paths += [Way(f"{NAT}, {n:,} port forwards", "nat", rules=n) for n in RULES]
    found: dict[str, Measured] = {way.name: ([], [], []) for way in paths}
    try:
        for way in paths:
            way.ping(50)  # neighbours and flows are known now
        for _ in range(rounds):
            for way in paths:
                for kind, value in enumerate((way.stream(seconds), way.ping(PINGS), way.connect())):
                    found[way.name][kind].append(value)
    finally:
        for way in paths:
            way.close()
    return found, left_out


class Way:
    """One guest, one host, one wire."""

    def __init__(self, name: str, kind: str, *, netfilter: bool = False, rules: int = 0) -> None:
        self.name = name
        self.guest, self.host, self.wire = (Namespace.new(each) for each in ("guest", "host", "wire"))
        for link, peer, far in (("e0", "eth0", self.wire), ("t0", "eth0", self.guest)):
            cable = f"ip link add {link} type veth peer name {peer} netns /proc/self/fd/{far.fd}"
            run_tool(cable.split(), namespace=self.host, keep=(far.fd,))
        batch(self.host, "link set lo up", "link set e0 up", "link set t0 up")
        batch(self.wire, "link set lo up", "link set eth0 up")
        batch(self.guest, "link set lo up", "link set eth0 up")
        getattr(self, f"_{kind}")(rules)
        if Path("/proc/sys", NETFILTER).exists():
            write_sysctls({NETFILTER: str(int(netfilter))}, namespace=self.host)
        with self.wire.entered():
            self.server = subprocess.Popen((sys.executable, "-c", ACCEPT), stdin=subprocess.DEVNULL)

    def _bare(self, rules: int) -> None:
        """What three lines of a recipe make."""
        batch(
            self.host, "link add br0 type bridge", "link set br0 up", "link set e0 master br0", "link set t0 master br0"
        )
        self._one_network(rules)

    def _ours(self, rules: int) -> None:
        """By the plan, as `apply` makes it."""
        site = parse(BRIDGED.encode(), "path.yaml")
        host = site.hosts["h"]
        state = observe(sysctls=sysctl_keys(host, (IfName("t0"),)), namespace=self.host)
        execute(make_plan(site, host, state)[0], where=LiveHost(self.host))
        self._one_network(rules)

    def _one_network(self, rules: int) -> None:
        batch(self.guest, f"addr add {GUEST}/24 dev eth0")
        batch(self.wire, f"addr add {WIRE}/24 dev eth0")
        if rules:  # that match nothing here, as most rules of a firewall do for most packets
            lines = "".join(f"ip saddr 172.16.{n >> 8}.{n & 255} tcp dport {1000 + n} drop\n" for n in range(rules))
            table = (
                f"table inet host {{ chain f {{ type filter hook forward priority 0; policy accept;\n{lines}}}\n}}\n"
            )
            run_tool(("nft", "-f", "-"), stdin=table, namespace=self.host)

    def _nat(self, rules: int) -> None:
        """A virtual network of ours with port forwards, the guest behind it."""
        forwards = ", ".join(f"{{host: {10000 + n}, to: g, service: tcp/{1000 + n}}}" for n in range(rules))
        text = (
            "site: path\nhosts:\n  h:\n    virtual_networks:\n"
            f"      lab: {{mode: nat, subnet: 192.168.9.0/24, forwards: [{forwards}]}}\n"
            "guests: {g: {host: h, nics: [{network: lab, address: 192.168.9.2/24}]}}\n"
        )
        site = parse(text.encode(), "path.yaml")
        one = resolved_network(site, site.hosts["h"], site.hosts["h"].virtual_networks["lab"])
        bridge = f"link add {one.bridge} type bridge forward_delay 0 mcast_snooping 0"
        batch(self.host, bridge, f"link set {one.bridge} up", f"addr add {one.addresses[0]} dev {one.bridge}")
        batch(self.host, f"link set t0 master {one.bridge}", "addr add 10.9.0.1/24 dev e0")
        table = network_table(one, "bascule:path")
        assert table is not None
        run_tool(("nft", "-f", "-"), stdin=table_text(table), namespace=self.host)
        write_sysctls(sysctls(one), namespace=self.host)
        batch(self.guest, "addr add 192.168.9.2/24 dev eth0", f"route add default via {one.addresses[0].ip}")
        batch(self.wire, f"addr add {WIRE}/24 dev eth0")

    def stream(self, seconds: int) -> float:
        """Gbit/s from the guest to the wire."""
        with self.wire.entered():
            server = subprocess.Popen(("iperf3", "-s", "-1"), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while ":5201" not in run_tool(("ss", "-Hltn"), namespace=self.wire).stdout and time.monotonic() < until:
                time.sleep(0.02)
            argv = ("iperf3", "-c", WIRE, "-t", str(seconds), "-O", "1", "-J")
            report = json.loads(run_tool(argv, namespace=self.guest).stdout)
            return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9
        finally:
            server.kill()
            server.wait()

    def ping(self, count: int) -> float:
        """The mean round trip in µs, one each millisecond."""
        argv = ("ping", "-q", "-i", "0.001", "-c", str(count), "-w", "20", WIRE)
        text = run_tool(argv, namespace=self.guest).stdout
        found = re.search(r"= [\d.]+/([\d.]+)/", text)
        if found is None:
            raise RuntimeError(f"{self.name}: no ping came back: {text.splitlines()[-1]}")
        return float(found[1]) * 1000

    def connect(self) -> float:
        """µs for a new TCP connection and its first byte."""
        argv: Sequence[str] = (sys.executable, "-c", CONNECT, WIRE, str(CONNECTS))
        return float(run_tool(argv, namespace=self.guest).stdout) * 1e6

    def close(self) -> None:
        """Let go of all of it."""
        self.server.kill()
        self.server.wait()
        for each in (self.guest, self.host, self.wire):
            each.close()


def batch(namespace: Namespace, *lines: str) -> None:
    run_tool(("ip", "-batch", "-"), stdin="\n".join(lines) + "\n", namespace=namespace)
