"""Short words for the statements of the guards' rules; pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import (
    Concatenation,
    Expression,
    Match,
    Meta,
    Payload,
    RawPayload,
    Rule,
    SetReference,
    Statement,
    Value,
    VerdictStatement,
)
from bascule.policy.guards.reasons import GuardReason

ACCEPT, DROP, RETURN = VerdictStatement("accept"), VerdictStatement("drop"), VerdictStatement("return")
PORT, TO_PORT = Meta("iifname"), Meta("oifname")
SOURCE, TYPE, PROTOCOL = Payload("ether", "saddr"), Payload("ether", "type"), Meta("l4proto")
PORT_FROM, PORT_TO = Payload("th", "sport"), Payload("th", "dport")  # of whichever protocol has ports
SERVERS = (67, 547)  # ports of DHCP servers of either family
TCP, UDP = 6, 17
CHADDR = RawPayload("th", 288, 48)  # the client's MAC in DHCP


def rule(*statements: Statement) -> Rule:
    """Statements in their order."""
    return Rule(statements)


def goto(chain: str) -> VerdictStatement:
    """On to a chain, and not back."""
    return VerdictStatement("goto", chain)


def stop_for(reason: GuardReason) -> VerdictStatement:
    """To where it is counted and dropped."""
    return goto(f"stop_{reason}")


def within(*key: Expression | str) -> Match:
    """Whether the packet's values stand in a set, whose name comes last."""
    return _lookup(key, "==")


def not_within(*key: Expression | str) -> Match:
    """Whether they do not."""
    return _lookup(key, "!=")


def _lookup(key: tuple[Expression | str, ...], operator: str) -> Match:
    *parts, name = key
    left = parts[0] if len(parts) == 1 else Concatenation(tuple(parts))  # type: ignore[arg-type]  # all but the last
    return match(left, SetReference(str(name)), operator=operator)  # type: ignore[arg-type]  # of expressions


def equal(left: Expression, *values: Value) -> Match:
    """Whether it is one of some values."""
    return match(left, *values)


def not_equal(left: Expression, *values: Value) -> Match:
    """Whether it is none of them."""
    return match(left, *values, operator="!=")


def none_of(left: Expression, *values: int) -> Iterator[Match]:
    """The same, number by number: several loads and tests of a few bits are quicker than one look into a set.

    Of one field alone: nft 1.0.6 makes one test of those of neighbouring fields, and "not both" of "neither".
    """
    yield from (match(left, value, operator="!=") for value in values)


# A client's message (1) for hardware of Ethernet (1) with a MAC of 6 bytes and not by way of a relay (giaddr): servers
# tell clients apart by the kind and the length of their hardware addresses as well (RFC 2131, 4.2)
ASKS_FOR_ITSELF = (equal(RawPayload("th", 64, 24), 0x01_01_06), equal(RawPayload("th", 256, 32), 0))
