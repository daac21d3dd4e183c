"""Guests inside a guest, of which the file says only how many there are: their MACs are learned, and no more of them.

Each such port has a set of its own, in which so many MACs find room; one that has been silent for ten minutes makes
room. A MAC that the file knows of somebody else is never learned. What the others may send, these may send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Masked,
    Match,
    NamedSet,
    Payload,
    RawPayload,
    Rule,
    SetReference,
    SetUpdate,
)
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.statements import (
    ACCEPT,
    ASKS_FOR_ITSELF,
    CHADDR,
    PORT,
    PROTOCOL,
    SOURCE,
    TO_PORT,
    TYPE,
    equal,
    goto,
    not_equal,
    rule,
    stop_for,
    within,
)  # fmt: skip

SILENT_S = 600
SENDER, RECEIVER = ("ll", 48), ("ll", 0)  # where MACs stand, as is ARP_MAC
RARP_HEAD = 0x0001_0800_0604_0003
FROM4, FROM6, NEXT = Payload("ip", "saddr"), Payload("ip6", "saddr"), Payload("ip6", "nexthdr")
ARP_IP, ARP_MAC = Payload("arp", "saddr ip"), ("nh", 64)
ARP_HEAD = RawPayload("nh", 0, 48)  # Ethernet, IPv4, and their lengths
LENGTH6, ICMP6 = Payload("ip6", "length"), Payload("icmpv6", "type")


def nesting(ports: Iterable[GuardedPort]) -> list[GuardedPort]:
    """The ports with guests inside of which only the number is known."""
    return [port for port in ports if port.guarding.nested]


def nested_sets(ports: Iterable[GuardedPort]) -> Iterator[NamedSet]:
    """A set for each port, as large as it has guests inside."""
    for number, port in enumerate(nesting(ports)):
        room, flags = port.guarding.nested or 0, ("dynamic", "timeout")
        yield NamedSet(_name(number), "integer . integer", flags, (), room, SILENT_S)


def nested_chains(ports: Iterable[GuardedPort]) -> Iterator[Chain]:
    """Where frames from other MACs than a guest's own lead; none without such a port."""
    some = nesting(ports)
    if not some:
        return
    learning = [
        rule(equal(PORT, str(port.name)), SetUpdate("update", _name(number), _mac(*SENDER)), goto(_name(number)))
        for number, port in enumerate(some)
    ]
    yield Chain(
        "nested",
        (
            rule(equal(Masked(RawPayload("ll", 48, 8), 1), 1), stop_for(GuardReason.MAC)),
            rule(within(SOURCE, "known_macs"), stop_for(GuardReason.MAC)),
            *learning,
            rule(stop_for(GuardReason.MAC)),
        ),
    )
    for number, port in enumerate(some):
        yield Chain(_name(number), tuple(_by_type(number)))
        yield Chain(f"nested_arp_{number}", tuple(_arp(number, port)))
        yield Chain(f"nested_ip_{number}", tuple(_ip(number, port)))
        yield Chain(f"nested_ip6_{number}", tuple(_ip6(number, port)))
        yield Chain(f"discovery_{number}", tuple(_discovery(number, port)))


def to_nested(ports: Iterable[GuardedPort]) -> Iterator[Rule]:
    """What is for a learned MAC leaves by its port."""
    for number, port in enumerate(nesting(ports)):
        yield rule(equal(TO_PORT, str(port.name)), _learned(RECEIVER, number), ACCEPT)


def _name(number: int) -> str:
    return f"nested_{number}"


def _learned(place: tuple[str, int], number: int) -> Match:
    return match(_mac(*place), SetReference(_name(number)))


def _mac(base: str, offset: int) -> Concatenation:
    """A MAC that begins at a bit of a header, in two parts.

    In one, nft's listing calls the frame's own ``ether saddr``, and what has that name it does not take from a file
    for a set of bits: who saves the listing could not load it.
    """
    return Concatenation((RawPayload(base, offset, 32), RawPayload(base, offset + 32, 16)))


def _by_type(number: int) -> Iterator[Rule]:
    """By the type of the frame first, so that what stands behind a tag is nothing of these."""
    for kind, name in (("arp", "arp"), ("ip", "ip"), ("ip6", "ip6")):
        yield rule(equal(TYPE, kind), goto(f"nested_{name}_{number}"))
    head, again = equal(RawPayload("nh", 0, 64), RARP_HEAD), _learned(("nh", 144), number)
    yield rule(equal(TYPE, 0x8035), head, _learned(ARP_MAC, number), again, ACCEPT)
    yield rule(stop_for(GuardReason.TYPE))


def _arp(number: int, port: GuardedPort) -> Iterator[Rule]:
    head = (equal(ARP_HEAD, 0x0001_0800_0604), _learned(ARP_MAC, number))
    if port.is_strict:
        yield rule(*head, within(PORT, ARP_IP, "nested4"), ACCEPT)
        nobody, probed = equal(RawPayload("nh", 112, 32), 0), within(PORT, Payload("arp", "daddr ip"), "nested4")
        request = equal(RawPayload("nh", 0, 64), 0x0001_0800_0604_0001)
        yield rule(request, _learned(ARP_MAC, number), nobody, probed, ACCEPT)
    else:
        yield rule(*head, ACCEPT)
    yield rule(stop_for(GuardReason.ARP))


def _ip(number: int, port: GuardedPort) -> Iterator[Rule]:
    asks = (equal(Payload("udp", "sport"), 68), equal(Payload("udp", "dport"), 67))
    own = (*ASKS_FOR_ITSELF, _learned((CHADDR.base, CHADDR.offset), number))
    yield rule(equal(FROM4, "0.0.0.0"), *asks, *own, ACCEPT)
    yield rule(equal(FROM4, "0.0.0.0"), stop_for(GuardReason.IPV4))
    if port.is_strict:
        yield rule(within(PORT, FROM4, "nested4"), *asks, *own, ACCEPT)
        yield rule(within(PORT, FROM4, "nested4"), goto("from4"))
        yield rule(stop_for(GuardReason.IPV4))
    else:
        yield rule(*asks, *own, ACCEPT)
        yield rule(goto("from4"))


def _ip6(number: int, port: GuardedPort) -> Iterator[Rule]:
    solicitations = equal(ICMP6, "nd-router-solicit", "nd-neighbor-solicit", "nd-neighbor-advert")
    yield rule(solicitations, goto(f"discovery_{number}"))
    yield rule(within(FROM6, "known_local"), stop_for(GuardReason.IPV6))
    yield rule(equal(FROM6, "::"), equal(PROTOCOL, "ipv6-icmp"), goto("control6"))
    yield rule(equal(FROM6, "::"), stop_for(GuardReason.IPV6))
    if port.is_strict:
        yield rule(equal(Masked(RawPayload("nh", 64, 16), 0xFFC0), 0xFE80), goto("from6"))  # fe80::/10
        yield rule(within(PORT, FROM6, "nested6"), goto("from6"))
        yield rule(stop_for(GuardReason.IPV6))
    else:
        yield rule(goto("from6"))


def _discovery(number: int, port: GuardedPort) -> Iterator[Rule]:
    yield rule(not_equal(NEXT, "ipv6-icmp"), stop_for(GuardReason.HEADERS))
    yield rule(not_equal(Payload("ip6", "hoplimit"), 255), stop_for(GuardReason.ND))
    yield rule(within(FROM6, "known_local"), stop_for(GuardReason.ND))
    yield rule(equal(ICMP6, "nd-router-solicit"), equal(LENGTH6, 8), ACCEPT)
    solicited = _learned(("th", 80), number)
    yield rule(
        equal(ICMP6, "nd-router-solicit"),
        equal(LENGTH6, 16),
        equal(RawPayload("th", 64, 16), 0x0101),
        solicited,
        ACCEPT,
    )
    yield rule(equal(ICMP6, "nd-router-solicit"), stop_for(GuardReason.ND))
    option = _learned(("th", 208), number)
    asks = (equal(ICMP6, "nd-neighbor-solicit"), not_equal(FROM6, "::"))
    yield rule(*asks, equal(LENGTH6, 24), ACCEPT)
    yield rule(*asks, equal(LENGTH6, 32), equal(RawPayload("th", 192, 16), 0x0101), option, ACCEPT)
    yield rule(*asks, stop_for(GuardReason.ND))
    claims = [equal(RawPayload("th", 64, 16), 0xFE80)]  # its own link-local address, which nobody can know
    claims.append(within(PORT, RawPayload("th", 64, 128), "nested_target"))
    for claim in claims:
        yield rule(equal(LENGTH6, 24), claim, ACCEPT)
        yield rule(equal(LENGTH6, 32), claim, equal(RawPayload("th", 192, 16), 0x0201), option, ACCEPT)
        yield rule(
            equal(ICMP6, "nd-neighbor-solicit"),
            equal(LENGTH6, 32),
            claim,
            equal(RawPayload("th", 192, 16), 0x0E01),
            ACCEPT,
        )
    if not port.is_strict:
        yield rule(equal(LENGTH6, 24), ACCEPT)
        yield rule(equal(LENGTH6, 32), option, ACCEPT)
    yield rule(stop_for(GuardReason.ND))
