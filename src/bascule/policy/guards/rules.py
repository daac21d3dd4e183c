"""The rules of the guards, one table for all ports of a host; pure.

They stand in the bridge family at prerouting: behind it the bridge learns the sender's MAC, so that a frame that is
stopped later has done its harm already (net/bridge/br_input.c). One look-up says port, MAC, no tag, and address: tags
fail it, for `ether type` is a part of the key. Rules never change with the guests, only the elements of their sets.
What is accepted here is accepted by this table alone; other people's tables still see it.
"""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.ruleset.normal_form import match, named_set
from bascule.model.ruleset.rules import (
    Chain,
    ExtensionHeader,
    Hook,
    Masked,
    Meta,
    Payload,
    Range,
    RateLimit,
    RawPayload,
    Rule,
    SetUpdate,
    Table,
    VerdictStatement,
)
from bascule.policy.guards.nested import nested_chains, nested_sets, nesting, to_nested
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.sets import NESTED_SETS, SETS, elements
from bascule.policy.guards.statements import (
    ACCEPT,
    ASKS_FOR_ITSELF,
    CHADDR,
    PORT,
    PORT_FROM,
    PORT_TO,
    PROTOCOL,
    RETURN,
    SERVERS,
    SOURCE,
    TCP,
    TYPE,
    UDP,
    equal,
    goto,
    none_of,
    not_equal,
    not_within,
    rule,
    stop_for,
    within,
)  # fmt: skip
from bascule.policy.guards.stopping import counting_sets, limited, rates, stop, storm_set
from bascule.policy.guards.table import FAMILY, TABLE
from bascule.policy.guards.to_guests import EGRESS, TO_GUESTS

FIRST = -300  # before br_netfilter (0) and before anybody's filter (-200)

NEXT = Payload("ip6", "nexthdr")
EXTENSIONS = ("ip", "ipv6-route", "ipv6-opts", "mobility-header", "shim6", 253, 254)  # RFC 7045; ip is hop-by-hop (0)
HIDING = (*EXTENSIONS, "ah", "ipv6-frag")  # what a fragment must not begin with
TAKEOVER_PORTS = (1985, 2029, 3222)  # HSRP, HSRP for IPv6, GLBP
# what must not be behind an authentication header, into which no rule looks
NEVER_BEHIND_AH = (0, 2, 43, 44, 51, 58, 60, 103, 112, 135)


def guard_table(ports: Iterable[GuardedPort], mark: str) -> Table:
    """The table of all guards of a host."""
    ports = tuple(ports)
    found = elements(ports)
    forms = (*SETS, *(NESTED_SETS if nesting(ports) else ()))
    sets = [named_set(one.name, one.type, one.flags, found.get(one.name, ())) for one in forms]
    sets += nested_sets(ports)
    storms = sorted({(kind, rate) for port in ports for kind, rate in rates(port)})
    sets += [named_set(storm_set(*storm), "ifname", (), limited(ports, *storm)) for storm in storms]
    chains = (
        Chain("ingress", _ingress(storms), Hook("filter", "prerouting", FIRST, "accept")),
        Chain("local", (rule(within(PORT, "ports"), goto("control")),), Hook("filter", "input", FIRST, "accept")),
        Chain("egress", EGRESS, _LAST),
        *(Chain(name, _with_nested(name, rules, ports)) for name, rules in (_CHAINS | TO_GUESTS).items()),
        *nested_chains(ports),
        *(stop(reason) for reason in GuardReason),
    )
    counting = tuple(counting_sets(storms))
    return Table(FAMILY, TABLE, chains, (*sets, *counting), mark)


_LAST = Hook("filter", "postrouting", FIRST, "accept")


def _with_nested(name: str, rules: tuple[Rule, ...], ports: tuple[GuardedPort, ...]) -> tuple[Rule, ...]:
    """The chains for others' MACs, where a port has guests inside."""
    if name == "other" and nesting(ports):
        return (rule(within(PORT, "nesting"), not_within(PORT, SOURCE, "macs"), goto("nested")), *rules)
    return (rules[0], *to_nested(ports), *rules[1:]) if name == "to_guest" else rules


# ---- the chains

_SENDER = RawPayload("ll", 48, 64)  # MAC and type in one load: the kernel pays for each load of this header
# the address by its place, for nft asks for the packet's protocol before a field of IP, and the type says it already
_OWN4 = (PORT, _SENDER, RawPayload("nh", 96, 32), "own4")
_OWN6 = (PORT, _SENDER, RawPayload("nh", 64, 128), "own6")
_UDP_FROM, _UDP_TO = Payload("udp", "sport"), Payload("udp", "dport")
# The first look asks for bits by their place: nft asks nothing else before them, and a number beside them costs the
# kernel a tenth of a set or a range. The look-up of the sender says that the frame is IPv4, or IPv6.
_PROTOCOL4, _PROTOCOL6 = RawPayload("nh", 72, 8), RawPayload("nh", 48, 8)
# no DHCP and no group of routers; what comes from a server's port was sent the longer way before
_SPECIAL4, _SPECIAL6 = (67, 68, *TAKEOVER_PORTS), (546, 547, *TAKEOVER_PORTS)
_TARGET, _MESSAGE6 = RawPayload("th", 64, 128), RawPayload("th", 64, 8)  # of DHCPv6
_OPTION, _OPTION_MAC = RawPayload("th", 192, 16), RawPayload("th", 208, 48)  # of NS and NA
_RS_OPTION, _RS_OPTION_MAC = RawPayload("th", 64, 16), RawPayload("th", 80, 48)
_ICMP6, _ICMP4, _IGMP = Payload("icmpv6", "type"), Payload("icmp", "type"), Payload("igmp", "type")
_REPORTS = ("membership-report-v1", "membership-report-v2", "membership-report-v3", "leave-group")
# queries, DVMRP, PIM version 1, multicast router discovery, RGMP
_ROUTING_GROUPS = ("membership-query", Range(0x13, 0x14), Range(0x30, 0x32), Range(0xFC, 0xFF))
# advertisement, redirect, renumbering, inverse discovery, home agents, certification path, fast handover, RPL
_OF_ROUTERS = (
    "nd-router-advert", "nd-redirect", "router-renumbering", "ind-neighbor-solicit", "ind-neighbor-advert",
    145, 147, 149, 154, 155,
)  # fmt: skip
_LATER_FRAGMENT = match(Masked(Payload("ip", "frag-off"), 0x1FFF), 0, operator="!=")
_BEHIND_AH = RawPayload("th", 0, 8)
_FROM4, _FROM6, _LENGTH6 = Payload("ip", "saddr"), Payload("ip6", "saddr"), Payload("ip6", "length")
_ARP_MAC, _ARP_IP = Payload("arp", "saddr ether"), Payload("arp", "saddr ip")
_TO = Payload("ether", "daddr")


def _ingress(storms: Iterable[tuple[str, int]]) -> tuple[Rule, ...]:
    limits = tuple(
        rule(
            within(PORT, storm_set(kind, rate)),
            equal(Meta("pkttype"), kind),
            SetUpdate("update", f"rate_{kind}_{rate}", PORT, (RateLimit(rate, "second", rate, over=True),)),
            stop_for(GuardReason.STORM),
        )
        for kind, rate in storms
    )
    return (
        *limits,
        # most frames end at one of these, after one look-up
        rule(equal(_PROTOCOL4, TCP), within(*_OWN4), ACCEPT),
        rule(equal(_PROTOCOL6, TCP), within(*_OWN6), ACCEPT),
        *(rule(equal(PORT_FROM, server), within(PORT, "ports"), goto("guarded")) for server in SERVERS),
        rule(equal(_PROTOCOL4, UDP), *none_of(PORT_TO, *_SPECIAL4), within(*_OWN4), ACCEPT),
        rule(equal(_PROTOCOL6, UDP), *none_of(PORT_TO, *_SPECIAL6), within(*_OWN6), ACCEPT),
        rule(within(PORT, "ports"), goto("guarded")),
    )


_ARP_HEAD = (
    equal(Payload("arp", "htype"), 1),
    equal(Payload("arp", "ptype"), "ip"),
    equal(Payload("arp", "hlen"), 6),
    equal(Payload("arp", "plen"), 4),
    equal(Payload("arp", "operation"), "request", "reply"),
)


def _unless_own(address: RawPayload) -> tuple[Rule, ...]:
    """What ends neighbour discovery of IPv6 with an address that is not the sender's own."""
    return (
        rule(within(PORT, _SENDER, address, "own6"), RETURN),
        rule(within(PORT, _SENDER, address, "apart_own6"), RETURN),
        rule(stop_for(GuardReason.ND)),
    )


_CHAINS: dict[str, tuple[Rule, ...]] = {
    # what did not pass at the first look
    "guarded": (
        rule(within(*_OWN4), goto("from4")),
        rule(within(*_OWN6), goto("from6")),
        rule(within(PORT, "isolated"), VerdictStatement("jump", "isolation")),
        rule(within(*_OWN4[:-1], "apart_own4"), goto("from4")),
        rule(within(*_OWN6[:-1], "apart_own6"), goto("from6")),
        rule(goto("other")),
    ),
    # to other isolated guests of its network, also by way of a router on the segment
    "isolation": (
        rule(within(PORT, _TO, "apart_mac"), stop_for(GuardReason.ISOLATED)),
        rule(within(PORT, Payload("ip", "daddr"), "apart4"), stop_for(GuardReason.ISOLATED)),
        rule(within(PORT, Payload("ip6", "daddr"), "apart6"), stop_for(GuardReason.ISOLATED)),
        rule(within(PORT, Payload("arp", "daddr ip"), "apart4"), stop_for(GuardReason.ISOLATED)),
        rule(equal(_ICMP6, "nd-neighbor-solicit"), within(PORT, _TARGET, "apart_target"),
             stop_for(GuardReason.ISOLATED)),
        rule(RETURN),
    ),
    # IPv4 from an address that it may use
    "from4": (
        rule(equal(PROTOCOL, "tcp"), ACCEPT),
        rule(not_equal(_UDP_TO, *_SPECIAL4), not_equal(_UDP_FROM, 67), ACCEPT),
        rule(_LATER_FRAGMENT, ACCEPT),  # has no header; the first one is judged, and nothing is whole without it
        rule(equal(PROTOCOL, "udp"), goto("udp4")),
        rule(equal(PROTOCOL, "igmp"), goto("groups4")),
        rule(equal(PROTOCOL, "pim"), not_within(PORT, "queriers"), stop_for(GuardReason.QUERIER)),
        rule(equal(PROTOCOL, "vrrp"), not_within(PORT, "groups"), stop_for(GuardReason.VRRP)),
        rule(equal(PROTOCOL, "ah"), goto("authenticated")),
        rule(equal(_ICMP4, "redirect", "router-advertisement"), goto("router")),
        rule(not_equal(PROTOCOL, 255), ACCEPT),
        rule(stop_for(GuardReason.HEADERS)),  # lengths that do not fit: the kernel cannot tell what it carries
    ),
    "authenticated": (
        rule(within(PORT, "groups"), equal(_BEHIND_AH, 112), ACCEPT),
        rule(not_equal(_BEHIND_AH, *NEVER_BEHIND_AH), ACCEPT),
        rule(stop_for(GuardReason.HEADERS)),
    ),
    "udp4": (
        rule(equal(_UDP_FROM, 67), not_within(PORT, "servers"), stop_for(GuardReason.DHCP)),
        rule(equal(_UDP_TO, 68), not_within(PORT, "servers"), stop_for(GuardReason.DHCP)),  # from any port
        rule(equal(_UDP_TO, *TAKEOVER_PORTS), not_within(PORT, "groups"), stop_for(GuardReason.VRRP)),
        rule(not_equal(_UDP_TO, 67), ACCEPT),
        rule(within(PORT, "servers"), ACCEPT),
        rule(*ASKS_FOR_ITSELF, within(PORT, CHADDR, "mac_bits"), ACCEPT),
        rule(stop_for(GuardReason.CHADDR)),
    ),
    "groups4": (
        rule(equal(TYPE, "ip"), equal(_IGMP, *_ROUTING_GROUPS), goto("querier")),
        rule(ACCEPT),
    ),
    # IPv6 from an address that it may use
    "from6": (
        rule(equal(NEXT, "tcp"), ACCEPT),
        rule(equal(ExtensionHeader("frag"), "exists"), VerdictStatement("jump", "fragment")),
        rule(equal(PROTOCOL, "ipv6-icmp"), goto("control6")),
        rule(equal(_UDP_FROM, 547), not_within(PORT, "servers"), stop_for(GuardReason.DHCP)),
        rule(equal(_UDP_TO, 546), not_within(PORT, "servers"), stop_for(GuardReason.DHCP)),
        # a relay asks in everybody's name
        rule(equal(_UDP_TO, 547), equal(_MESSAGE6, 12, 13), not_within(PORT, "servers"), stop_for(GuardReason.CHADDR)),
        rule(equal(_UDP_TO, *TAKEOVER_PORTS), not_within(PORT, "groups"), stop_for(GuardReason.VRRP)),
        rule(equal(NEXT, *EXTENSIONS), stop_for(GuardReason.HEADERS)),
        rule(equal(PROTOCOL, "pim"), not_within(PORT, "queriers"), stop_for(GuardReason.QUERIER)),
        rule(equal(PROTOCOL, "vrrp"), not_within(PORT, "groups"), stop_for(GuardReason.VRRP)),
        rule(equal(PROTOCOL, "ah"), goto("authenticated")),
        rule(not_equal(PROTOCOL, 255), ACCEPT),
        rule(stop_for(GuardReason.HEADERS)),
    ),
    # a first fragment must show what it carries (RFC 7112), and neighbour discovery is never fragmented (RFC 6980)
    "fragment": (
        rule(not_equal(NEXT, "ipv6-frag"), stop_for(GuardReason.HEADERS)),
        rule(equal(ExtensionHeader("frag", "nexthdr"), *HIDING), stop_for(GuardReason.HEADERS)),
        rule(not_equal(ExtensionHeader("frag", "frag-off"), 0), RETURN),
        rule(not_equal(ExtensionHeader("frag", "nexthdr"), "ipv6-icmp"), RETURN),
        rule(not_equal(RawPayload("th", 0, 8), Range(130, 138), Range(141, 143), Range(149, 155)), RETURN),
        rule(stop_for(GuardReason.HEADERS)),
    ),
    "control6": (
        rule(equal(_ICMP6, "nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert"), goto("discovery")),
        rule(equal(_ICMP6, *_OF_ROUTERS), goto("router")),
        rule(equal(_ICMP6, "mld-listener-query", Range(151, 153)), goto("querier")),
        rule(equal(_ICMP6, "mld-listener-report", "mld-listener-done", "mld2-listener-report"), ACCEPT),
        rule(equal(NEXT, "ipv6-icmp", "ipv6-frag"), not_equal(_FROM6, "::"), ACCEPT),
        rule(stop_for(GuardReason.HEADERS)),
    ),
    "router": (rule(within(PORT, "routers"), ACCEPT), rule(stop_for(GuardReason.ROUTER))),
    "querier": (rule(within(PORT, "queriers"), ACCEPT), rule(stop_for(GuardReason.QUERIER))),
    # neighbour discovery as RFC 4861 §7.1 takes it, with no option but the one that carries the MAC
    "discovery": (
        rule(not_equal(NEXT, "ipv6-icmp"), stop_for(GuardReason.HEADERS)),
        rule(not_equal(Payload("ip6", "hoplimit"), 255), stop_for(GuardReason.ND)),
        rule(equal(_ICMP6, "nd-router-solicit"), goto("router_solicitation")),
        rule(not_within(PORT, "loose"), not_equal(_FROM6, "::"), VerdictStatement("jump", "own_source6")),
        rule(not_equal(_LENGTH6, 24, 32), stop_for(GuardReason.ND)),
        rule(equal(_ICMP6, "nd-neighbor-advert"), goto("advertisement")),
        rule(equal(_FROM6, "::"), goto("detection")),
        rule(equal(_LENGTH6, 24), ACCEPT),
        rule(equal(_OPTION, 0x0101), within(PORT, _OPTION_MAC, "mac_bits"), ACCEPT),
        rule(stop_for(GuardReason.ND)),
    ),
    # chains of their own, for nft tells these bits as fields once the same rule has asked for one of IPv6
    "own_source6": _unless_own(RawPayload("nh", 64, 128)),
    "own_target6": _unless_own(_TARGET),
    # duplicate address detection (RFC 4862), with a nonce (RFC 7527) or without
    "detection": (
        rule(not_within(PORT, "loose"), VerdictStatement("jump", "own_target6")),
        rule(equal(_LENGTH6, 24), ACCEPT),
        rule(equal(_OPTION, 0x0E01), ACCEPT),
        rule(stop_for(GuardReason.ND)),
    ),
    "advertisement": (
        rule(equal(_FROM6, "::"), stop_for(GuardReason.ND)),
        rule(not_within(PORT, "loose"), VerdictStatement("jump", "own_target6")),
        rule(equal(_LENGTH6, 24), ACCEPT),
        rule(equal(_OPTION, 0x0201), within(PORT, _OPTION_MAC, "mac_bits"), ACCEPT),
        rule(stop_for(GuardReason.ND)),
    ),
    "router_solicitation": (
        rule(equal(_LENGTH6, 8), ACCEPT),
        rule(
            not_equal(_FROM6, "::"),
            equal(_LENGTH6, 16),
            equal(_RS_OPTION, 0x0101),
            within(PORT, _RS_OPTION_MAC, "mac_bits"),
            ACCEPT,
        ),
        rule(stop_for(GuardReason.ND)),
    ),
    # everything else of a guarded port; what is no Ethernet II ends at the last rule
    "other": (
        rule(not_within(PORT, SOURCE, "macs"), stop_for(GuardReason.MAC)),
        rule(within(PORT, "any_source"), equal(TYPE, "ip"), goto("from4")),
        rule(within(PORT, "any_source"), equal(TYPE, "ip6"), goto("from6")),
        # no map of verdicts: while a table is replaced, the kernel takes the elements of the old one's maps away first,
        # and for a millisecond what they led to would end at the last rule here
        rule(equal(TYPE, "arp"), goto("resolution")),
        rule(equal(TYPE, "ip"), goto("unknown4")),
        rule(equal(TYPE, "ip6"), goto("unknown6")),
        rule(equal(TYPE, 0x8035), goto("announcement")),
        rule(within(PORT, "tagged"), equal(TYPE, "8021q", "8021ad"), ACCEPT),
        rule(within(PORT, "spanning"), equal(_TO, "01:80:c2:00:00:00"), ACCEPT),
        rule(stop_for(GuardReason.TYPE)),
    ),
    "resolution": (
        rule(*_ARP_HEAD, within(PORT, SOURCE, _ARP_MAC, _ARP_IP, "arp_sender"), ACCEPT),
        # who has no address yet asks for its own (RFC 5227); a probe for another's keeps that one from it
        rule(
            *_ARP_HEAD[:4], equal(Payload("arp", "operation"), "request"), equal(_ARP_IP, "0.0.0.0"),
            within(PORT, SOURCE, _ARP_MAC, Payload("arp", "daddr ip"), "arp_sender"), ACCEPT,
        ),
        rule(  # one that is cut off has no target
            *_ARP_HEAD, within(PORT, "loose"), within(PORT, _ARP_MAC, "macs"),
            not_equal(Payload("arp", "daddr ip"), "255.255.255.255"), ACCEPT,
        ),
        rule(stop_for(GuardReason.ARP)),
    ),
    # a guest that was moved announces itself by RARP (QEMU): a request of Ethernet and IPv4 with its MAC twice
    "announcement": (
        rule(
            equal(_TO, "ff:ff:ff:ff:ff:ff"), equal(RawPayload("nh", 0, 64), 0x0001_0800_0604_0003),
            within(PORT, RawPayload("nh", 64, 48), "mac_bits"),
            within(PORT, RawPayload("nh", 144, 48), "mac_bits"), ACCEPT,
        ),
        rule(stop_for(GuardReason.TYPE)),
    ),
    # IPv4 from an address that is not one of its own: still without one, or for a subnet behind it
    "unknown4": (
        rule(
            equal(_FROM4, "0.0.0.0"), equal(Payload("ip", "daddr"), "255.255.255.255"),
            equal(_UDP_FROM, 68), equal(_UDP_TO, 67), *ASKS_FOR_ITSELF, within(PORT, CHADDR, "mac_bits"), ACCEPT,
        ),
        rule(equal(_FROM4, "0.0.0.0"), equal(TYPE, "ip"), equal(_IGMP, *_REPORTS), ACCEPT),
        rule(within(PORT, SOURCE, _FROM4, "behind4"), goto("from4")),
        rule(stop_for(GuardReason.IPV4)),
    ),
    "unknown6": (
        rule(equal(_FROM6, "::"), equal(PROTOCOL, "ipv6-icmp"), goto("control6")),
        rule(within(PORT, SOURCE, _FROM6, "behind6"), goto("from6")),
        rule(stop_for(GuardReason.IPV6)),
    ),
    # frames of the control protocols, which a bridge takes for itself
    "control": (
        rule(within(PORT, "spanning"), ACCEPT),
        rule(equal(_TO, Range("01:80:c2:00:00:00", "01:80:c2:00:00:0f")), stop_for(GuardReason.TYPE)),
    ),
}  # fmt: skip
