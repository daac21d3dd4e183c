"""Which rules make the kernel join fragments before a bridge hands them on: real fragments, and the model's word."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from bascule.frames.guarding import build as b
from bascule.model.values import IfName
from bascule.observe.packet_path import read_network
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import open_packet
from bascule.system.run import run
from bascule.topology.trace.connection_tracking import tracked_versions
from tests.guards.segment import PARTIES
from tests.guards.test_late_frames import guest
from tests.lab import Lab, open_lab

COUNTERS = """
table bridge measure {
	counter pieces_of_ip {}
	counter pieces_of_ip6 {}
	chain f {
		type filter hook forward priority 0
		ether type ip ip frag-off & 0x3fff != 0 counter name pieces_of_ip
		ether type ip6 exthdr frag exists counter name pieces_of_ip6
	}
}
"""
BOTH, NONE, IP, IP6 = {"ip", "ip6"}, set[str](), {"ip"}, {"ip6"}
NFT: dict[str, set[str]] = {
    "table inet x { chain p { type nat hook prerouting priority -150; }; }": NONE,
    "table ip x { chain p { type nat hook postrouting priority 100; ip saddr 10.9.9.9 accept; }; }": NONE,
    "table ip x { chain q { ip saddr 10.9.9.9 notrack; }; }": NONE,
    "table inet x { map m { typeof ct state : verdict; elements = { new : accept }; }; }": NONE,
    "table inet x { chain p { type nat hook postrouting priority 100; ip saddr 10.9.9.9 masquerade; }; }": BOTH,
    "table inet x { chain p { type nat hook prerouting priority -100; tcp dport 9 dnat ip to 10.1.1.1; }; }": IP,
    "table inet x { chain p { type nat hook prerouting priority -100; tcp dport 9 dnat ip6 to fd01::1; }; }": IP6,
    "table ip x { chain q { type nat hook output priority -100; dnat to ip saddr map { 10.9.9.9 : 10.9.9.8 }; }; }": IP,
    "table ip6 x { chain p { type nat hook prerouting priority -100; tcp dport 9 redirect to :10; }; }": IP6,
    "table inet x { chain q { ct state new accept; }; }": BOTH,
    "table ip x { chain q { ct state vmap { new : accept }; }; }": IP,
    "table ip6 x { chain q { meta mark set ct mark; }; }": IP6,
    "table inet x { chain q { ct mark set 1; }; }": BOTH,
    "table ip x { chain q { ip saddr 10.9.9.9 ct count over 3 drop; }; }": IP,
    "table inet x { chain q { ct original ip saddr 10.9.9.9 accept; }; }": BOTH,
    'table ip x { ct helper f { type "ftp" protocol tcp; }; }': {"ip"},
    "table inet x { ct timeout t { protocol tcp; policy = { established : 100 }; }; }": BOTH,
    "table inet x { ct expectation e { protocol tcp; dport 9876; timeout 2m; size 12; l3proto ip; }; }": BOTH,
    "table inet x { chain q { meta l4proto tcp synproxy mss 1460 wscale 7; }; }": BOTH,
    "table inet x { chain p { type filter hook prerouting priority -150; tcp dport 9 tproxy ip to :3128; }; }": IP,
}
IPTABLES: dict[str, set[str]] = {
    "-t nat -A POSTROUTING -s 10.9.9.9 -j ACCEPT": NONE,
    "-t raw -A PREROUTING -s 10.9.9.9 -j CT --notrack": NONE,
    "-t nat -A POSTROUTING -s 10.9.9.9 -j MASQUERADE": IP,
    "-t nat -A PREROUTING -s 10.9.9.9 -j DNAT --to-destination 10.1.1.1": IP,
    "-t raw -A PREROUTING -s 10.9.9.9 -j CT --zone 3": IP,
    "-t mangle -A PREROUTING -s 10.9.9.9 -j CONNMARK --restore-mark": IP,
    "-t mangle -A PREROUTING -p tcp -s 10.9.9.9 -j TPROXY --on-port 80": IP,
    "-A FORWARD -m conntrack --ctstate NEW -j ACCEPT": IP,
    "-A FORWARD -m helper --helper ftp -j ACCEPT": IP,
    "-A FORWARD -m connbytes --connbytes 10 --connbytes-dir both --connbytes-mode packets -j ACCEPT": IP,
    "-A FORWARD -p tcp -m connlimit --connlimit-above 3 -j DROP": IP,
    "-A FORWARD -m connmark --mark 3 -j ACCEPT": IP,
    "-t mangle -A PREROUTING -m socket -j ACCEPT": IP,
}


@pytest.fixture(scope="module")
def way() -> Iterator[tuple[Namespace, socket.socket]]:
    with open_lab() as lab:
        yield from _way(lab)


def _way(lab: Lab) -> Iterator[tuple[Namespace, socket.socket]]:
    host = lab.namespace("host")
    lab.ip(host, "link add br0 type bridge mcast_snooping 0")
    lab.ip(host, "link set br0 addrgenmode none up")
    web = guest(lab, host, "web")
    guest(lab, host, "db")
    for name in ("web", "db"):
        lab.ip(host, f"link set {name}.0 master br0")
    with host.entered():
        for switch in ("ip", "ip6"):
            key = f"/proc/sys/net/bridge/bridge-nf-call-{switch}tables"
            try:
                with open(key, "w") as file:  # noqa: PTH123
                    file.write("1")
            except FileNotFoundError:
                pytest.skip("br_netfilter is not loaded: a bridge joins no fragments")
    with web.namespace.entered(), closing(open_packet(IfName("eth0"), protocol=0)) as raw:
        yield host, raw


def joined(host: Namespace, raw: socket.socket) -> set[str]:
    """The versions of which a bridge hands on a whole packet instead of the two fragments that were sent."""
    me, other = PARTIES.me, PARTIES.other
    four, six = b.udp(me.ip4, other.ip4, 9, 9, bytes(64)), b.udp(me.ip6, other.ip6, 9, 9, bytes(64))
    for offset, more in ((0, True), (40, False)):
        piece = slice(offset, offset + 40 if more else None)
        field = offset // 8 | (0x2000 if more else 0)
        raw.send(b.ipv4(me.raw, other.raw, me.ip4, other.ip4, b.UDP, four[piece], fragment=field))
        body = b.fragment_header(b.UDP, offset, more=more) + six[piece]
        raw.send(b.ipv6(me.raw, other.raw, me.ip6, other.ip6, b.FRAGMENT, body, hops=64))
    listed = json.loads(run(["nft", "-j", "list", "counters"], namespace=host).stdout)["nftables"]
    seen = {
        one["counter"]["name"].removeprefix("pieces_of_"): one["counter"]["packets"]
        for one in listed
        if "counter" in one
    }
    assert set(seen.values()) <= {0, 2}, seen
    return {version for version, packets in seen.items() if not packets}


def compare(host: Namespace, raw: socket.socket, expected: set[str]) -> None:
    rules = read_network(host).rules
    assert (joined(host, raw), set(tracked_versions(rules))) == (expected, expected)


@pytest.mark.kernel
@pytest.mark.parametrize("rules", NFT)
def test_rules_of_nft(way: tuple[Namespace, socket.socket], rules: str) -> None:
    host, raw = way
    text = f"flush ruleset\n{COUNTERS}{rules}\n"
    done = run(["nft", "-f", "-"], stdin=text, namespace=host, check=False)
    if done.status:
        pytest.skip(f"this kernel or nft takes no such rule: {done.stderr.splitlines()[0]}")
    compare(host, raw, NFT[rules])


@pytest.mark.kernel
@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize("rule", IPTABLES)
def test_rules_of_iptables(way: tuple[Namespace, socket.socket], rule: str, tool: str) -> None:
    host, raw = way
    run(["nft", "-f", "-"], stdin=f"flush ruleset\n{COUNTERS}", namespace=host)
    words = rule.split()
    done = run([tool, *words], namespace=host, check=False)
    if done.status:
        pytest.skip(f"this kernel or {tool} takes no such rule: {done.stderr.splitlines()[0]}")
    try:
        compare(host, raw, IPTABLES[rule])
    finally:
        run([tool, *("-D" if word == "-A" else word for word in words)], namespace=host)
