"""The rules for what reaches guests: their own frames and those to groups, from routers and servers of the file; pure.

Rules at the port of a guest see all that is flooded, whoever sent it: a neighbour without a guard, or the wire.
"""

from __future__ import annotations

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import Masked, Payload, Range, RawPayload, Rule
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.statements import (
    ACCEPT,
    PORT_FROM,
    PORT_TO,
    SERVERS,
    SOURCE,
    TO_PORT,
    TYPE,
    equal,
    goto,
    none_of,
    not_equal,
    not_within,
    rule,
    stop_for,
    within,
)  # fmt: skip

_TO, _FROM4 = Payload("ether", "daddr"), Payload("ip", "saddr")
_UDP_FROM, _UDP_TO = Payload("udp", "sport"), Payload("udp", "dport")
_IS_ADVERTISEMENT = equal(Payload("icmpv6", "type"), "nd-router-advert")
# the senders that routers of IPv6 share (RFC 9568 §7.3), whoever is active
_SHARED = Range("00:00:5e:00:02:00", "00:00:5e:00:02:ff")
_HAS_HEADER = match(Masked(Payload("ip", "frag-off"), 0x1FFF), 0)  # no later fragment, which may look like one

_KIND = RawPayload("th", 0, 8)  # of ICMPv6; whatever else has this byte there takes the longer way

EGRESS = (
    *(rule(equal(PORT_FROM, server), within(TO_PORT, "ports"), goto("to_guest")) for server in SERVERS),
    # nearly all frames for a guest end here: they are no DHCP and no advertisement of either family
    rule(
        *none_of(_KIND, 134),
        *none_of(PORT_TO, 67, 68, 546, 547),
        within(TO_PORT, _TO, "meets"),
        ACCEPT,
    ),
    rule(within(TO_PORT, "ports"), goto("to_guest")),
)
TO_GUESTS: dict[str, tuple[Rule, ...]] = {
    "to_guest": (
        rule(within(TO_PORT, SOURCE, "apart_mac"), stop_for(GuardReason.OTHERS)),
        rule(not_within(TO_PORT, "strict"), ACCEPT),
        rule(_IS_ADVERTISEMENT, within(TO_PORT, "no_advertisements"), stop_for(GuardReason.UNDECLARED)),
        rule(
            _IS_ADVERTISEMENT, within(TO_PORT, "known_routers"), not_equal(SOURCE, _SHARED),
            not_within(TO_PORT, SOURCE, "advertisers"), stop_for(GuardReason.UNDECLARED),
        ),
        *(
            rule(equal(port, number), _HAS_HEADER, within(TO_PORT, "known_servers"),
                 not_within(TO_PORT, _FROM4, "answers_from"), stop_for(GuardReason.UNDECLARED))
            for port, number in ((_UDP_FROM, 67), (_UDP_TO, 68))
        ),
        *(
            rule(equal(TYPE, "ip6"), equal(port, number), within(TO_PORT, "known_servers6"),
                 not_within(TO_PORT, SOURCE, "answers6_from"), stop_for(GuardReason.UNDECLARED))
            for port, number in ((_UDP_FROM, 547), (_UDP_TO, 546))
        ),
        rule(equal(Masked(RawPayload("ll", 0, 8), 1), 1), ACCEPT),
        rule(not_within(TO_PORT, _TO, "macs"), stop_for(GuardReason.OTHERS)),
    ),
}  # fmt: skip
