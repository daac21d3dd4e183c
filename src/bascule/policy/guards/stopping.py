"""Where frames that are stopped end: counted by port and reason, some also by what they claimed to be; pure."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.ruleset.normal_form import named_set
from bascule.model.ruleset.rules import (
    Chain,
    Concatenation,
    Counter,
    NamedSet,
    Payload,
    RawPayload,
    SetUpdate,
    Value,
)
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.statements import DROP, PORT, SOURCE, TO_PORT, TYPE, rule

CLAIMS: dict[GuardReason, Payload | RawPayload] = {
    GuardReason.ARP: Payload("arp", "saddr ip"),
    GuardReason.ND: RawPayload("th", 64, 128),
    GuardReason.TYPE: TYPE,
    GuardReason.UNDECLARED: SOURCE,
}


def rates(port: GuardedPort) -> Iterable[tuple[str, int]]:
    """The limits of a port: what kind of frames, and how many in a second."""
    for kind, rate in (("broadcast", port.guarding.broadcast), ("multicast", port.guarding.multicast)):
        if rate is not None:
            yield kind, rate


def stop(reason: GuardReason) -> Chain:
    """The chain for a reason."""
    port = TO_PORT if reason in {GuardReason.OTHERS, GuardReason.UNDECLARED} else PORT
    rules = [rule(SetUpdate("update", f"stopped_{reason}", port, (Counter(),)))]
    if (claimed := CLAIMS.get(reason)) is not None:
        key = Concatenation((port, claimed))
        rules.append(rule(SetUpdate("update", f"claimed_{reason}", key, (Counter(),))))
    return Chain(f"stop_{reason}", (*rules, rule(DROP)))


def storm_set(kind: str, rate: int) -> str:
    """The name of the set of ports with a limit."""
    return f"limit_{kind}_{rate}"


def limited(ports: Iterable[GuardedPort], kind: str, rate: int) -> list[Value]:
    """The ports with a limit."""
    return [port.name for port in ports if (kind, rate) in rates(port)]


_CLAIM_TYPES = {GuardReason.ARP: "ipv4_addr", GuardReason.ND: "integer", GuardReason.TYPE: "ether_type",
                GuardReason.UNDECLARED: "ether_addr"}  # fmt: skip


def counting_sets(storms: Iterable[tuple[str, int]]) -> Iterable[NamedSet]:
    """The sets that grow while frames are stopped."""
    for kind, rate in storms:
        yield named_set(f"rate_{kind}_{rate}", "ifname", ["dynamic"])
    for reason in GuardReason:
        yield named_set(f"stopped_{reason}", "ifname", ["dynamic"])
        if reason in _CLAIM_TYPES:
            yield named_set(f"claimed_{reason}", f"ifname . {_CLAIM_TYPES[reason]}", ["dynamic"])
