"""The same guards as flows of OpenFlow, for a switch of Open vSwitch; pure.

Rules of nft see no frame of Open vSwitch. Table 0 says by which guarded port a frame came in (``reg0`` is the port's
number); the tables behind it judge source, ARP, IPv4, IPv6 and discovery, and what they let through goes to NORMAL,
where the switch learns and forwards. What is stopped is counted by port and reason; what it claimed to be is counted by
rules that the switch learns from it, a little late: by those frames that come after it has. What OpenFlow has no field
for stands in :mod:`bascule.policy.guards.openflow_gaps`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.openflow import FlowRule, flow
from bascule.model.values import NO_MAC
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.rules import TAKEOVER_PORTS

COOKIE, LEARNED = 0xBA5C, 0xBA5D  # of the rules, and of those that count, which the switch learns
PORTS, SENDER, APART, TYPE, ARP, ARP_ADDRESS, IPV4, FROM4, GROUPS4 = 0, 10, 15, 20, 30, 31, 40, 45, 46
IPV6, FROM6, ICMP6, ICMP6_NOBODY, SOLICITATION, ADVERTISEMENT, TARGET_MAC, RARP = 50, 55, 57, 56, 58, 59, 61, 62
STOPPED, COUNTED, CLAIMED, FORWARD = 80, 81, 82, 90
CLAIMS = 1024  # that are told apart on one switch
NUMBERS = {reason: number for number, reason in enumerate(GuardReason, 1)}  # in reg1
TAGGED, BRIDGE_GROUPS = "vlan_tci=0x1000/0x1000", "dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0"
HIDING = (0, 43, 51, 60, 135, 140, 253, 254)  # headers behind which no flow can look (RFC 7045)
OF_ROUTERS, OF_QUERIERS = (134, 137, 138, 141, 142, 145, 147, 149, 154, 155), (130, 151, 152, 153)
OF_NEIGHBOURS = (133, 135, 136)
WHOLE_IN_FRAGMENTS = (1, 2, 3, 4, 128, 129)  # errors and pings: discovery is never fragmented (RFC 6980)
LOCAL_GROUPS4 = ("224.0.0.1", "224.0.0.4", "224.0.0.13", "224.0.0.106")  # of queries, DVMRP, PIM, router discovery


def port_number(name: str) -> int:
    """The number of a guarded port in ``reg0``: of its name alone, so that no rule changes when others come."""
    return zlib.crc32(name.encode()) | 1


def from_port(name: str, number: int | None) -> FlowRule:
    """Where a frame by a port that is there leads: to its guard, or on, where it has none."""
    return flow(PORTS, 100, f"in_port={name}", go(FORWARD) if number is None else _as_port(number))


def from_late_port(mac: str, number: int) -> FlowRule:
    """A guest whose port was not there when the rules were loaded is known by its MAC, and held to all the rest."""
    return flow(PORTS, 50, f"dl_src={mac}", _as_port(number))


def _as_port(number: int) -> str:
    return f"load:{number:#x}->NXM_NX_REG0[],{go(SENDER)}"


def go(table: int) -> str:
    """On to a table."""
    return f"resubmit(,{table})"


def stop(reason: GuardReason) -> str:
    """To where it is counted, and ends."""
    return f"load:{NUMBERS[reason]:#x}->NXM_NX_REG1[],{go(STOPPED)}"


PASS = go(FORWARD)


def levels_of(flows: Iterable[FlowRule], names: Iterable[str]) -> dict[str, GuardLevel]:
    """The guards that ports have by these rules; without those that have none."""
    found: dict[str, set[tuple[int, int]]] = {}
    for one in flows:
        for word in one.match.split(","):
            if word.startswith("reg0="):
                found.setdefault(word, set()).add((one.table, one.priority))
    own = {name: found.get(f"reg0={port_number(name):#x}", set()) for name in names}
    return {
        name: GuardLevel.MAC if (ARP_ADDRESS, 50) in rules else GuardLevel.STRICT
        for name, rules in own.items()
        if (SENDER, 100) in rules
    }


def passes_unguarded(rule: FlowRule) -> bool:
    """Whether a rule lets a port without a guard through."""
    return rule.table == PORTS and rule.actions == PASS


def guard_flows(ports: Iterable[GuardedPort], unguarded: Iterable[str]) -> tuple[FlowRule, ...]:
    """All rules of a switch with guards; none where no port has one.

    Each guarded port has a rule by its name whether it is there or not: who loads them puts the MACs of absent ones in
    its place. A port that is neither guarded nor ``unguarded`` passes nothing.
    """
    ports = tuple(ports)
    if not ports:
        return ()
    found = [*GENERAL, *(from_port(name, None) for name in unguarded)]
    for port in ports:
        found += _of_port(port)
    return tuple(sorted(set(found)))


def _of_port(port: GuardedPort) -> Iterator[FlowRule]:
    number = port_number(port.name)
    own = f"reg0={number:#x}"
    yield from_port(port.name, number)
    for mac in port.every_mac:
        yield flow(SENDER, 100, f"{own},dl_src={mac}", go(APART if port.guarding.isolated else TYPE))
        for operation in (1, 2):
            yield flow(ARP, 100, f"arp,{own},arp_op={operation},arp_sha={mac}", go(ARP_ADDRESS))
        yield flow(RARP, 100, f"rarp,{own},arp_op=3,arp_sha={mac},arp_tha={mac}", PASS)
        yield flow(SOLICITATION, 80, f"icmp6,icmp_type=135,{own},nd_sll={mac}", PASS)
        yield flow(TARGET_MAC, 80, f"icmp6,icmp_type=136,{own},nd_tll={mac}", PASS)
    for reason in NUMBERS.values():
        yield flow(COUNTED, 100, f"{own},reg1={reason:#x}", "drop")
    yield from _addresses(port, own)
    yield from _extra_permissions(port, own)
    yield from _apart(port, own)


def _addresses(port: GuardedPort, own: str) -> Iterator[FlowRule]:
    if not port.is_strict or "router" in port.guarding.may:
        yield flow(IPV4, 50, f"ip,{own}", go(FROM4))
        yield flow(IPV6, 50, f"ipv6,{own}", go(FROM6))
        for kind in OF_NEIGHBOURS if port.is_strict else ():  # a router passes on packets of others, but none of these
            yield flow(IPV6, 60, f"icmp6,icmp_type={kind},{own}", stop(GuardReason.ND))
    if not port.is_strict:
        yield flow(ARP_ADDRESS, 50, f"arp,{own}", PASS)
        yield flow(SOLICITATION, 95, f"icmp6,icmp_type=135,ipv6_src=::,nd_sll={NO_MAC},{own}", PASS)
        yield flow(ADVERTISEMENT, 50, f"icmp6,icmp_type=136,{own}", go(TARGET_MAC))
        return
    for address in port.addresses:
        if address.version == 4:
            yield flow(IPV4, 100, f"ip,{own},nw_src={address}", go(FROM4))
            yield flow(ARP_ADDRESS, 100, f"arp,{own},arp_spa={address}", PASS)
            # who has no address yet asks for its own (RFC 5227); a probe for another's keeps that one from it
            yield flow(ARP_ADDRESS, 90, f"arp,{own},arp_op=1,arp_spa=0.0.0.0,arp_tpa={address}", PASS)
        else:
            asked = f"icmp6,icmp_type=135,ipv6_src=::,nd_sll={NO_MAC},{own},nd_target={address}"
            yield flow(IPV6, 100, f"ipv6,{own},ipv6_src={address}", go(FROM6))
            yield flow(SOLICITATION, 100, asked, PASS)
            yield flow(ADVERTISEMENT, 100, f"icmp6,icmp_type=136,{own},nd_target={address}", go(TARGET_MAC))
    for subnet in port.prefixes:
        if subnet.version == 4:
            yield flow(IPV4, 90, f"ip,{own},nw_src={subnet}", go(FROM4))
        else:
            yield flow(IPV6, 90, f"ipv6,{own},ipv6_src={subnet}", go(FROM6))


def _extra_permissions(port: GuardedPort, own: str) -> Iterator[FlowRule]:
    """What the guard forbids others: the general rules have a priority below these."""
    may = port.guarding.may
    if "tags" in may:
        for mac in port.every_mac:
            yield flow(SENDER, 210, f"{own},{TAGGED},dl_src={mac}", PASS)
    if "bpdu" in may:
        for mac in port.every_mac:
            yield flow(SENDER, 220, f"{own},{BRIDGE_GROUPS},dl_src={mac}", PASS)
    if "dhcp-server" in may:
        for match in ("udp,tp_src=67", "udp,tp_dst=68", "udp,tp_dst=67"):
            yield flow(FROM4, 280, f"{match},{own}", PASS)
        for match in ("udp6,tp_src=547", "udp6,tp_dst=546"):
            yield flow(FROM6, 280, f"{match},{own}", PASS)
    if "router" in may:
        for kind in (5, 9):
            yield flow(FROM4, 280, f"icmp,icmp_type={kind},{own}", PASS)
        for kind in OF_ROUTERS:
            yield flow(ICMP6, 280, f"icmp6,icmp_type={kind},{own}", PASS)
    if "multicast-querier" in may:
        yield flow(FROM4, 280, f"ip,nw_proto=103,{own}", PASS)
        yield flow(FROM6, 280, f"ipv6,nw_proto=103,{own}", PASS)
        yield flow(GROUPS4, 280, f"ip,nw_proto=2,{own}", PASS)
        for kind in OF_QUERIERS:
            yield flow(ICMP6, 280, f"icmp6,icmp_type={kind},{own}", PASS)
    if port.guarding.routers:
        for proto in (51, 112):
            yield flow(FROM4, 280, f"ip,nw_proto={proto},{own}", PASS)
        yield flow(FROM6, 280, f"ipv6,nw_proto=112,{own}", PASS)
        for number in TAKEOVER_PORTS:
            yield flow(FROM4, 280, f"udp,tp_dst={number},{own}", PASS)
            yield flow(FROM6, 280, f"udp6,tp_dst={number},{own}", PASS)


def _apart(port: GuardedPort, own: str) -> Iterator[FlowRule]:
    """What is for other isolated guests of its network, also by way of a router on the segment."""
    halt = stop(GuardReason.ISOLATED)
    for mac in port.other_macs:
        yield flow(APART, 100, f"{own},dl_dst={mac}", halt)
    for address in port.others:
        if address.version == 4:
            yield flow(APART, 100, f"ip,{own},nw_dst={address}", halt)
            yield flow(APART, 100, f"arp,{own},arp_tpa={address}", halt)
        else:
            yield flow(APART, 100, f"ipv6,{own},ipv6_dst={address}", halt)
            yield flow(APART, 100, f"icmp6,icmp_type=135,{own},nd_target={address}", halt)


# ---- the rules that are the same of all ports


def _general() -> Iterator[FlowRule]:
    yield flow(PORTS, 0, "", "drop")  # a port that nobody has told of
    yield flow(SENDER, 200, TAGGED, stop(GuardReason.TYPE))
    yield flow(SENDER, 190, BRIDGE_GROUPS, stop(GuardReason.TYPE))
    yield flow(APART, 0, "", go(TYPE))
    for match, table in (("arp", ARP), ("ip", IPV4), ("ipv6", IPV6), ("rarp", RARP)):
        yield flow(TYPE, 100, match, go(table))
    yield from _general4()
    yield from _general6()
    yield from _discovery()
    for table, reason in _ENDS.items():
        yield flow(table, 0, "", stop(reason))
    for table in (FROM4, GROUPS4, FROM6, ICMP6):
        yield flow(table, 0, "", PASS)
    yield from _counting()
    yield flow(FORWARD, 0, "", "NORMAL")


_ENDS = {
    SENDER: GuardReason.MAC,
    TYPE: GuardReason.TYPE,
    ARP: GuardReason.ARP,
    ARP_ADDRESS: GuardReason.ARP,
    IPV4: GuardReason.IPV4,
    IPV6: GuardReason.IPV6,
    ICMP6_NOBODY: GuardReason.HEADERS,
    SOLICITATION: GuardReason.ND,
    ADVERTISEMENT: GuardReason.ND,
    TARGET_MAC: GuardReason.ND,
    RARP: GuardReason.TYPE,
}


def _general4() -> Iterator[FlowRule]:
    # without an address yet: DHCP to everybody, and reports of groups
    yield flow(IPV4, 200, "udp,nw_src=0.0.0.0,nw_dst=255.255.255.255,tp_src=68,tp_dst=67,nw_frag=no", PASS)
    yield flow(IPV4, 190, "ip,nw_src=0.0.0.0,nw_proto=2", go(GROUPS4))
    yield flow(IPV4, 180, "ip,nw_src=0.0.0.0", stop(GuardReason.IPV4))
    yield flow(FROM4, 300, "ip,nw_frag=later", PASS)  # without the first one, which is judged, nothing is whole
    yield flow(FROM4, 260, "udp,tp_dst=67,nw_frag=first", stop(GuardReason.CHADDR))
    yield flow(FROM4, 250, "udp,tp_src=67", stop(GuardReason.DHCP))
    yield flow(FROM4, 250, "udp,tp_dst=68", stop(GuardReason.DHCP))
    yield flow(FROM4, 240, "udp,tp_src=68,tp_dst=67", PASS)
    yield flow(FROM4, 230, "udp,tp_dst=67", stop(GuardReason.CHADDR))
    for number in TAKEOVER_PORTS:
        yield flow(FROM4, 230, f"udp,tp_dst={number}", stop(GuardReason.VRRP))
    yield flow(FROM4, 230, "ip,nw_proto=2", go(GROUPS4))
    yield flow(FROM4, 230, "ip,nw_proto=103", stop(GuardReason.QUERIER))
    yield flow(FROM4, 230, "ip,nw_proto=112", stop(GuardReason.VRRP))
    # an authentication header hides the protocol; VRRP, PIM and queries go to groups
    yield flow(FROM4, 230, "ip,nw_proto=51,nw_dst=224.0.0.0/4", stop(GuardReason.HEADERS))
    for kind in (5, 9):
        yield flow(FROM4, 230, f"icmp,icmp_type={kind}", stop(GuardReason.ROUTER))
    for group in LOCAL_GROUPS4:
        yield flow(GROUPS4, 100, f"ip,nw_proto=2,nw_dst={group}", stop(GuardReason.QUERIER))


def _general6() -> Iterator[FlowRule]:
    yield flow(IPV6, 200, "icmp6,ipv6_src=::", go(ICMP6_NOBODY))
    yield flow(IPV6, 190, "ipv6,ipv6_src=::", stop(GuardReason.IPV6))
    for header in HIDING:
        yield flow(FROM6, 300, f"ipv6,nw_proto={header}", stop(GuardReason.HEADERS))
    yield flow(FROM6, 290, "icmp6", go(ICMP6))
    yield flow(FROM6, 270, "ipv6,nw_frag=later", PASS)
    for match, reason in (
        ("udp6,tp_src=547", GuardReason.DHCP),
        ("udp6,tp_dst=546", GuardReason.DHCP),
        ("ipv6,nw_proto=103", GuardReason.QUERIER),
        ("ipv6,nw_proto=112", GuardReason.VRRP),
        *((f"udp6,tp_dst={number}", GuardReason.VRRP) for number in TAKEOVER_PORTS),
    ):
        yield flow(FROM6, 250, match, stop(reason))
    yield flow(ICMP6, 400, "icmp6,nw_frag=later", PASS)
    for kind in WHOLE_IN_FRAGMENTS:
        yield flow(ICMP6, 390, f"icmp6,nw_frag=first,icmp_type={kind}", PASS)
    yield flow(ICMP6, 380, "icmp6,nw_frag=first", stop(GuardReason.HEADERS))
    for kind in OF_ROUTERS:
        yield flow(ICMP6, 250, f"icmp6,icmp_type={kind}", stop(GuardReason.ROUTER))
    for kind in OF_QUERIERS:
        yield flow(ICMP6, 250, f"icmp6,icmp_type={kind}", stop(GuardReason.QUERIER))
    for kind in (131, 132, 143):
        yield flow(ICMP6_NOBODY, 100, f"icmp6,icmp_type={kind},nw_frag=no", PASS)


def _discovery() -> Iterator[FlowRule]:
    """Neighbour discovery as RFC 4861, 7.1 takes it: from no further than this network."""
    for table in (ICMP6, ICMP6_NOBODY):
        near = "nw_frag=no,nw_ttl=255" if table == ICMP6_NOBODY else "nw_ttl=255"
        yield flow(table, 260, f"icmp6,icmp_type=133,{near}", PASS)
        yield flow(table, 260, f"icmp6,icmp_type=135,{near}", go(SOLICITATION))
        for kind in OF_NEIGHBOURS:
            yield flow(table, 240, f"icmp6,icmp_type={kind}", stop(GuardReason.ND))
    yield flow(ICMP6, 260, "icmp6,icmp_type=136,nw_ttl=255", go(ADVERTISEMENT))
    # no target: the switch could not read what stands behind it
    yield flow(SOLICITATION, 110, "icmp6,icmp_type=135,nd_target=::", stop(GuardReason.ND))
    yield flow(SOLICITATION, 90, "icmp6,icmp_type=135,ipv6_src=::", stop(GuardReason.ND))
    yield flow(SOLICITATION, 70, f"icmp6,icmp_type=135,nd_sll={NO_MAC}", PASS)
    yield flow(ADVERTISEMENT, 110, "icmp6,icmp_type=136,nd_target=::", stop(GuardReason.ND))
    yield flow(TARGET_MAC, 70, f"icmp6,icmp_type=136,nd_tll={NO_MAC}", PASS)


_CLAIMED = {
    GuardReason.ARP: ("arp", "eth_type=0x806,NXM_OF_ARP_SPA[]"),
    GuardReason.ND: ("icmp6,icmp_type=136", "eth_type=0x86dd,nw_proto=58,icmpv6_type=136,NXM_NX_ND_TARGET[]"),
    GuardReason.TYPE: ("", "NXM_OF_ETH_TYPE[]"),
}


def _counting() -> Iterator[FlowRule]:
    """A frame with a claim teaches the switch a rule that counts its like: those after it."""
    who = "NXM_NX_REG0[],NXM_NX_REG1[]"
    yield flow(STOPPED, 0, "", go(COUNTED))
    for reason, (match, claim) in _CLAIMED.items():
        told = f"learn(table={CLAIMED},cookie={LEARNED:#x},limit={CLAIMS},{who},{claim})"
        where = f"{match},reg1={NUMBERS[reason]:#x}"
        yield flow(STOPPED, 100, where, f"{told},{go(COUNTED)},{go(CLAIMED)}")


GENERAL = tuple(_general())
