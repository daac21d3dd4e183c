"""The rules of the guards, one table for all ports of a host; pure.

They stand in the bridge family at prerouting: behind it the bridge learns the sender's MAC, so that a frame that is
stopped later has done its harm already (net/bridge/br_input.c). One look-up says port, MAC, no tag, and address: tags
fail it, for `ether type` is a part of the key. Rules never change with the guests, only the elements of their sets.
What is accepted here is accepted by this table alone; other people's tables still see it.
"""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Counter,
    Expression,
    ExtensionHeader,
    Hook,
    Masked,
    Match,
    Meta,
    NamedSet,
    Payload,
    Range,
    RateLimit,
    RawPayload,
    Rule,
    SetReference,
    SetUpdate,
    Statement,
    Table,
    Value,
    VerdictStatement,
    match,
    named_set,
)
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.sets import SETS, elements
from bascule.policy.guards.table import FAMILY, TABLE

FIRST = -300  # before br_netfilter (0) and before anybody's filter (-200)

ACCEPT, DROP, RETURN = VerdictStatement("accept"), VerdictStatement("drop"), VerdictStatement("return")
PORT, TO_PORT = Meta("iifname"), Meta("oifname")
SOURCE, TYPE, PROTOCOL = Payload("ether", "saddr"), Payload("ether", "type"), Meta("l4proto")
NEXT = Payload("ip6", "nexthdr")
EXTENSIONS = ("ip", "ipv6-route", "ipv6-opts", "mobility-header", "shim6", 253, 254)  # RFC 7045; ip is hop-by-hop (0)
HIDING = (*EXTENSIONS, "ah", "ipv6-frag")  # what a fragment must not begin with
# what must not be behind an authentication header, into which no rule looks
TAKEOVER_PORTS = (1985, 2029, 3222)  # HSRP, HSRP for IPv6, GLBP
NEVER_BEHIND_AH = (0, 2, 43, 44, 51, 58, 60, 103, 112, 135)
CLAIMS: dict[GuardReason, Payload | RawPayload] = {
    GuardReason.ARP: Payload("arp", "saddr ip"),
    GuardReason.ND: RawPayload("th", 64, 128),
    GuardReason.TYPE: TYPE,
}


def guard_table(ports: Iterable[GuardedPort], mark: str) -> Table | None:
    """The table of all guards of a host; None where no port has one."""
    ports = tuple(ports)
    if not ports:
        return None
    found = elements(ports)
    sets = [named_set(one.name, one.type, one.flags, found.get(one.name, ())) for one in SETS]
    storms = sorted({(kind, rate) for port in ports for kind, rate in rates(port)})
    sets += [named_set(_storm_set(*storm), "ifname", (), _limited(ports, *storm)) for storm in storms]
    chains = (
        Chain("ingress", _ingress(storms), Hook("filter", "prerouting", FIRST, "accept")),
        Chain("local", (_rule(_in(PORT, "ports"), _goto("control")),), Hook("filter", "input", FIRST, "accept")),
        Chain(
            "egress",
            (
                _rule(_in(TO_PORT, SOURCE, "apart_mac"), _stop_for(GuardReason.OTHERS)),
                _rule(_in(TO_PORT, "strict"), _goto("to_guest")),
            ),
            _LAST,
        ),
        *(Chain(name, rules) for name, rules in _CHAINS.items()),
        *(_stop(reason) for reason in GuardReason),
    )
    counting = tuple(_counting_sets(storms))
    return Table(FAMILY, TABLE, chains, (*sets, *counting), mark)


_LAST = Hook("filter", "postrouting", FIRST, "accept")


def rates(port: GuardedPort) -> Iterable[tuple[str, int]]:
    """The limits of a port: what kind of frames, and how many in a second."""
    for kind, rate in (("broadcast", port.guarding.broadcast), ("multicast", port.guarding.multicast)):
        if rate is not None:
            yield kind, rate


# ---- strokes


def _rule(*statements: Statement) -> Rule:
    return Rule(statements)


def _goto(chain: str) -> VerdictStatement:
    return VerdictStatement("goto", chain)


def _stop_for(reason: GuardReason) -> VerdictStatement:
    return _goto(f"stop_{reason}")


def _in(*key: Expression | str) -> Match:
    """Whether the packet's values stand in a set, whose name comes last."""
    return _lookup(key, "==")


def _not_in(*key: Expression | str) -> Match:
    return _lookup(key, "!=")


def _lookup(key: tuple[Expression | str, ...], operator: str) -> Match:
    *parts, name = key
    left = parts[0] if len(parts) == 1 else Concatenation(tuple(parts))  # type: ignore[arg-type]  # all but the last
    return match(left, SetReference(str(name)), operator=operator)  # type: ignore[arg-type]  # of expressions


def _is(left: Expression, *values: Value) -> Match:
    return match(left, *values)


def _is_not(left: Expression, *values: Value) -> Match:
    return match(left, *values, operator="!=")


# ---- the chains

_OWN4 = (PORT, SOURCE, TYPE, Payload("ip", "saddr"), "own4")
_OWN6 = (PORT, SOURCE, TYPE, Payload("ip6", "saddr"), "own6")
_CHADDR, _TARGET = RawPayload("th", 288, 48), RawPayload("th", 64, 128)
_OPTION, _OPTION_MAC = RawPayload("th", 192, 16), RawPayload("th", 208, 48)  # of NS and NA
_RS_OPTION, _RS_OPTION_MAC = RawPayload("th", 64, 16), RawPayload("th", 80, 48)
_UDP_FROM, _UDP_TO = Payload("udp", "sport"), Payload("udp", "dport")
_ICMP6, _ICMP4, _IGMP = Payload("icmpv6", "type"), Payload("icmp", "type"), Payload("igmp", "type")
_REPORTS = ("membership-report-v1", "membership-report-v2", "membership-report-v3", "leave-group")
# queries, DVMRP, PIM version 1, multicast router discovery, RGMP
_ROUTING_GROUPS = ("membership-query", Range(0x13, 0x14), Range(0x30, 0x32), Range(0xFC, 0xFF))
# advertisement, redirect, renumbering, inverse discovery, certification path, fast handover, RPL
_OF_ROUTERS = (
    "nd-router-advert", "nd-redirect", "router-renumbering", "ind-neighbor-solicit", "ind-neighbor-advert",
    149, 154, 155,
)  # fmt: skip
_LATER_FRAGMENT = match(Masked(Payload("ip", "frag-off"), 0x1FFF), 0, operator="!=")
_BEHIND_AH = RawPayload("th", 0, 8)
_FROM4, _FROM6, _LENGTH6 = Payload("ip", "saddr"), Payload("ip6", "saddr"), Payload("ip6", "length")
_ARP_MAC, _ARP_IP = Payload("arp", "saddr ether"), Payload("arp", "saddr ip")
_TO = Payload("ether", "daddr")


def _ingress(storms: Iterable[tuple[str, int]]) -> tuple[Rule, ...]:
    limits = tuple(
        _rule(
            _in(PORT, _storm_set(kind, rate)),
            _is(Meta("pkttype"), kind),
            SetUpdate("update", f"rate_{kind}_{rate}", PORT, (RateLimit(rate, "second", rate, over=True),)),
            _stop_for(GuardReason.STORM),
        )
        for kind, rate in storms
    )
    return (
        *limits,
        _rule(_in(PORT, "isolated"), VerdictStatement("jump", "isolation")),
        _rule(_in(*_OWN4), _goto("from4")),
        _rule(_in(*_OWN6), _goto("from6")),
        _rule(_in(PORT, "ports"), _goto("other")),
    )


_ARP_HEAD = (
    _is(Payload("arp", "htype"), 1),
    _is(Payload("arp", "ptype"), "ip"),
    _is(Payload("arp", "hlen"), 6),
    _is(Payload("arp", "plen"), 4),
    _is(Payload("arp", "operation"), "request", "reply"),
)

_CHAINS: dict[str, tuple[Rule, ...]] = {
    # to other isolated guests of its network, also by way of a router on the segment
    "isolation": (
        _rule(_in(PORT, _TO, "apart_mac"), _stop_for(GuardReason.ISOLATED)),
        _rule(_in(PORT, Payload("ip", "daddr"), "apart4"), _stop_for(GuardReason.ISOLATED)),
        _rule(_in(PORT, Payload("ip6", "daddr"), "apart6"), _stop_for(GuardReason.ISOLATED)),
        _rule(_in(PORT, Payload("arp", "daddr ip"), "apart4"), _stop_for(GuardReason.ISOLATED)),
        _rule(_is(_ICMP6, "nd-neighbor-solicit"), _in(PORT, _TARGET, "apart_target"), _stop_for(GuardReason.ISOLATED)),
        _rule(RETURN),
    ),
    # IPv4 from an address that it may use
    "from4": (
        _rule(_is(PROTOCOL, "tcp"), ACCEPT),
        _rule(_LATER_FRAGMENT, ACCEPT),  # has no header; the first one is judged, and nothing is whole without it
        _rule(_is(PROTOCOL, "udp"), _goto("udp4")),
        _rule(_is(PROTOCOL, "igmp"), _goto("groups4")),
        _rule(_is(PROTOCOL, "pim"), _not_in(PORT, "queriers"), _stop_for(GuardReason.QUERIER)),
        _rule(_is(PROTOCOL, "vrrp"), _not_in(PORT, "groups"), _stop_for(GuardReason.VRRP)),
        _rule(_is(PROTOCOL, "ah"), _goto("authenticated")),
        _rule(_is(_ICMP4, "redirect", "router-advertisement"), _goto("router")),
        _rule(_is_not(PROTOCOL, 255), ACCEPT),
        _rule(_stop_for(GuardReason.HEADERS)),  # lengths that do not fit: the kernel cannot tell what it carries
    ),
    "authenticated": (
        _rule(_in(PORT, "groups"), _is(_BEHIND_AH, 112), ACCEPT),
        _rule(_is_not(_BEHIND_AH, *NEVER_BEHIND_AH), ACCEPT),
        _rule(_stop_for(GuardReason.HEADERS)),
    ),
    "udp4": (
        _rule(_is(_UDP_FROM, 67), _not_in(PORT, "servers"), _stop_for(GuardReason.DHCP)),
        _rule(_is(_UDP_TO, 68), _not_in(PORT, "servers"), _stop_for(GuardReason.DHCP)),  # clients take any source port
        _rule(_is(_UDP_TO, *TAKEOVER_PORTS), _not_in(PORT, "groups"), _stop_for(GuardReason.VRRP)),
        _rule(_is_not(_UDP_TO, 67), ACCEPT),
        _rule(_in(PORT, "servers"), ACCEPT),
        _rule(_in(PORT, _CHADDR, "chaddr"), ACCEPT),
        _rule(_stop_for(GuardReason.CHADDR)),
    ),
    "groups4": (
        _rule(_is(TYPE, "ip"), _is(_IGMP, *_ROUTING_GROUPS), _goto("querier")),
        _rule(ACCEPT),
    ),
    # IPv6 from an address that it may use
    "from6": (
        _rule(_is(NEXT, "tcp"), ACCEPT),
        _rule(_is(ExtensionHeader("frag"), "exists"), VerdictStatement("jump", "fragment")),
        _rule(_is(PROTOCOL, "ipv6-icmp"), _goto("control6")),
        _rule(_is(_UDP_FROM, 547), _not_in(PORT, "servers"), _stop_for(GuardReason.DHCP)),
        _rule(_is(_UDP_TO, 546), _not_in(PORT, "servers"), _stop_for(GuardReason.DHCP)),
        _rule(_is(_UDP_TO, *TAKEOVER_PORTS), _not_in(PORT, "groups"), _stop_for(GuardReason.VRRP)),
        _rule(_is(NEXT, *EXTENSIONS), _stop_for(GuardReason.HEADERS)),
        _rule(_is(PROTOCOL, "pim"), _not_in(PORT, "queriers"), _stop_for(GuardReason.QUERIER)),
        _rule(_is(PROTOCOL, "vrrp"), _not_in(PORT, "groups"), _stop_for(GuardReason.VRRP)),
        _rule(_is(PROTOCOL, "ah"), _goto("authenticated")),
        _rule(_is_not(PROTOCOL, 255), ACCEPT),
        _rule(_stop_for(GuardReason.HEADERS)),
    ),
    # a first fragment must show what it carries (RFC 7112), and neighbour discovery is never fragmented (RFC 6980)
    "fragment": (
        _rule(_is_not(NEXT, "ipv6-frag"), _stop_for(GuardReason.HEADERS)),
        _rule(_is(ExtensionHeader("frag", "nexthdr"), *HIDING), _stop_for(GuardReason.HEADERS)),
        _rule(_is_not(ExtensionHeader("frag", "frag-off"), 0), RETURN),
        _rule(_is_not(ExtensionHeader("frag", "nexthdr"), "ipv6-icmp"), RETURN),
        _rule(_is_not(RawPayload("th", 0, 8), Range(130, 138), Range(141, 143), Range(149, 155)), RETURN),
        _rule(_stop_for(GuardReason.HEADERS)),
    ),
    "control6": (
        _rule(_is(_ICMP6, "nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert"), _goto("discovery")),
        _rule(_is(_ICMP6, *_OF_ROUTERS), _goto("router")),
        _rule(_is(_ICMP6, "mld-listener-query", Range(151, 153)), _goto("querier")),
        _rule(_is(_ICMP6, "mld-listener-report", "mld-listener-done", "mld2-listener-report"), ACCEPT),
        _rule(_is(NEXT, "ipv6-icmp", "ipv6-frag"), _is_not(_FROM6, "::"), ACCEPT),
        _rule(_stop_for(GuardReason.HEADERS)),
    ),
    "router": (_rule(_in(PORT, "routers"), ACCEPT), _rule(_stop_for(GuardReason.ROUTER))),
    "querier": (_rule(_in(PORT, "queriers"), ACCEPT), _rule(_stop_for(GuardReason.QUERIER))),
    # neighbour discovery as RFC 4861 §7.1 takes it, with no option but the one that carries the MAC
    "discovery": (
        _rule(_is_not(NEXT, "ipv6-icmp"), _stop_for(GuardReason.HEADERS)),
        _rule(_is_not(Payload("ip6", "hoplimit"), 255), _stop_for(GuardReason.ND)),
        _rule(_is(_ICMP6, "nd-router-solicit"), _goto("router_solicitation")),
        _rule(
            _not_in(PORT, "loose"), _is_not(_FROM6, "::"), _not_in(*_OWN6), _stop_for(GuardReason.ND)
        ),
        _rule(_is_not(_LENGTH6, 24, 32), _stop_for(GuardReason.ND)),
        _rule(_is(_ICMP6, "nd-neighbor-advert"), _goto("advertisement")),
        _rule(_is(_FROM6, "::"), _goto("detection")),
        _rule(_is(_LENGTH6, 24), ACCEPT),
        _rule(_is(_OPTION, 0x0101), _in(PORT, _OPTION_MAC, "option_mac"), ACCEPT),
        _rule(_stop_for(GuardReason.ND)),
    ),
    # duplicate address detection (RFC 4862), with a nonce (RFC 7527) or without
    "detection": (
        _rule(_not_in(PORT, "loose"), _not_in(PORT, _TARGET, "target"), _stop_for(GuardReason.ND)),
        _rule(_is(_LENGTH6, 24), ACCEPT),
        _rule(_is(_OPTION, 0x0E01), ACCEPT),
        _rule(_stop_for(GuardReason.ND)),
    ),
    "advertisement": (
        _rule(_is(_FROM6, "::"), _stop_for(GuardReason.ND)),
        _rule(_not_in(PORT, "loose"), _not_in(PORT, _TARGET, "target"), _stop_for(GuardReason.ND)),
        _rule(_is(_LENGTH6, 24), ACCEPT),
        _rule(_is(_OPTION, 0x0201), _in(PORT, _OPTION_MAC, "option_mac"), ACCEPT),
        _rule(_stop_for(GuardReason.ND)),
    ),
    "router_solicitation": (
        _rule(_is(_LENGTH6, 8), ACCEPT),
        _rule(
            _is_not(_FROM6, "::"),
            _is(_LENGTH6, 16),
            _is(_RS_OPTION, 0x0101),
            _in(PORT, _RS_OPTION_MAC, "solicit_mac"),
            ACCEPT,
        ),
        _rule(_stop_for(GuardReason.ND)),
    ),
    # everything else of a guarded port; what is no Ethernet II ends at the last rule
    "other": (
        _rule(_not_in(PORT, SOURCE, "macs"), _stop_for(GuardReason.MAC)),
        _rule(_in(PORT, "any_source"), _is(TYPE, "ip"), _goto("from4")),
        _rule(_in(PORT, "any_source"), _is(TYPE, "ip6"), _goto("from6")),
        # no map of verdicts: while a table is replaced, the kernel takes the elements of the old one's maps away first,
        # and for a millisecond what they led to would end at the last rule here
        _rule(_is(TYPE, "arp"), _goto("resolution")),
        _rule(_is(TYPE, "ip"), _goto("unknown4")),
        _rule(_is(TYPE, "ip6"), _goto("unknown6")),
        _rule(_is(TYPE, 0x8035), _goto("announcement")),
        _rule(_in(PORT, "tagged"), _is(TYPE, "8021q", "8021ad"), ACCEPT),
        _rule(_in(PORT, "spanning"), _is(_TO, "01:80:c2:00:00:00"), ACCEPT),
        _rule(_stop_for(GuardReason.TYPE)),
    ),
    "resolution": (
        _rule(*_ARP_HEAD, _in(PORT, SOURCE, _ARP_MAC, _ARP_IP, "arp_sender"), ACCEPT),
        # who has no address yet asks for its own (RFC 5227); a probe for another's keeps that one from it
        _rule(
            *_ARP_HEAD[:4], _is(Payload("arp", "operation"), "request"), _is(_ARP_IP, "0.0.0.0"),
            _in(PORT, _ARP_MAC, "macs"), _in(PORT, Payload("arp", "daddr ip"), "probed"), ACCEPT,
        ),
        _rule(*_ARP_HEAD, _in(PORT, "loose"), _in(PORT, _ARP_MAC, "macs"), ACCEPT),
        _rule(_stop_for(GuardReason.ARP)),
    ),
    # a guest that was moved announces itself by RARP (QEMU): a request of Ethernet and IPv4 with its MAC twice
    "announcement": (
        _rule(
            _is(_TO, "ff:ff:ff:ff:ff:ff"), _is(RawPayload("nh", 0, 64), 0x0001_0800_0604_0003),
            _in(PORT, RawPayload("nh", 64, 48), "announced"), _in(PORT, RawPayload("nh", 144, 48), "announced"), ACCEPT,
        ),
        _rule(_stop_for(GuardReason.TYPE)),
    ),
    # IPv4 from an address that is not one of its own: still without one, or for a subnet behind it
    "unknown4": (
        _rule(
            _is(_FROM4, "0.0.0.0"), _is(Payload("ip", "daddr"), "255.255.255.255"),
            _is(_UDP_FROM, 68), _is(_UDP_TO, 67), _in(PORT, _CHADDR, "chaddr"), ACCEPT,
        ),
        _rule(_is(_FROM4, "0.0.0.0"), _is(TYPE, "ip"), _is(_IGMP, *_REPORTS), ACCEPT),
        _rule(_in(PORT, SOURCE, _FROM4, "behind4"), _goto("from4")),
        _rule(_stop_for(GuardReason.IPV4)),
    ),
    "unknown6": (
        _rule(_is(_FROM6, "::"), _is(PROTOCOL, "ipv6-icmp"), _goto("control6")),
        _rule(_in(PORT, SOURCE, _FROM6, "behind6"), _goto("from6")),
        _rule(_stop_for(GuardReason.IPV6)),
    ),
    # frames of the control protocols, which a bridge takes for itself
    "control": (
        _rule(_in(PORT, "spanning"), ACCEPT),
        _rule(_is(_TO, Range("01:80:c2:00:00:00", "01:80:c2:00:00:0f")), _stop_for(GuardReason.TYPE)),
    ),
    # what reaches a guest: its own frames and those to groups, from DHCP servers that the file names
    "to_guest": (
        _rule(_in(TO_PORT, "no_advertisements"), _is(_ICMP6, "nd-router-advert"), _stop_for(GuardReason.OTHERS)),
        _rule(
            _in(TO_PORT, "known_servers"), _is(_UDP_FROM, 67), _not_in(TO_PORT, _FROM4, "answers_from"),
            _stop_for(GuardReason.OTHERS),
        ),
        _rule(
            _in(TO_PORT, "known_servers"), _is(_UDP_TO, 68), _not_in(TO_PORT, _FROM4, "answers_from"),
            _stop_for(GuardReason.OTHERS),
        ),
        _rule(_is(Masked(RawPayload("ll", 0, 8), 1), 1), ACCEPT),
        _rule(_not_in(TO_PORT, _TO, "macs"), _stop_for(GuardReason.OTHERS)),
    ),
}  # fmt: skip


def _stop(reason: GuardReason) -> Chain:
    port = TO_PORT if reason is GuardReason.OTHERS else PORT
    rules = [_rule(SetUpdate("update", f"stopped_{reason}", port, (Counter(),)))]
    if (claimed := CLAIMS.get(reason)) is not None:
        key = Concatenation((port, claimed))
        rules.append(_rule(SetUpdate("update", f"claimed_{reason}", key, (Counter(),))))
    return Chain(f"stop_{reason}", (*rules, _rule(DROP)))


def _storm_set(kind: str, rate: int) -> str:
    return f"limit_{kind}_{rate}"


def _limited(ports: Iterable[GuardedPort], kind: str, rate: int) -> list[Value]:
    return [port.name for port in ports if (kind, rate) in rates(port)]


_CLAIM_TYPES = {GuardReason.ARP: "ipv4_addr", GuardReason.ND: "integer", GuardReason.TYPE: "ether_type"}


def _counting_sets(storms: Iterable[tuple[str, int]]) -> Iterable[NamedSet]:
    for kind, rate in storms:
        yield named_set(f"rate_{kind}_{rate}", "ifname", ["dynamic"])
    for reason in GuardReason:
        yield named_set(f"stopped_{reason}", "ifname", ["dynamic"])
        if reason in _CLAIM_TYPES:
            yield named_set(f"claimed_{reason}", f"ifname . {_CLAIM_TYPES[reason]}", ["dynamic"])
