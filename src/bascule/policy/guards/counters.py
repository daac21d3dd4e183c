"""What the guards have stopped since their table was loaded, from nft's JSON of it; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from typing import Any

from msgspec import Struct

from bascule.model.ruleset.nft_json import objects_of
from bascule.model.values import listed
from bascule.policy.guards.reasons import GuardReason
from bascule.policy.guards.table import ATTACK_PORT

SHOWN = 3  # claims that are named


class StoppedFrames(Struct, frozen=True, kw_only=True):
    """Frames of one port that were stopped for one reason; ``claims`` are what they said to be, with their number."""

    port: str
    reason: GuardReason
    frames: int
    claims: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        """A line for people."""
        named = listed((f"{claim} ({number:,})" for claim, number in self.claims), SHOWN)
        return f"{self.port}: {self.frames:,} frames {self.reason.words}" + (f": {named}" if named else "")


def read_counters(listing: str) -> tuple[StoppedFrames, ...]:
    """The counters in the output of ``nft -j list table bridge bascule_guards``, the most frequent of a port first."""
    counted: dict[tuple[str, GuardReason], int] = {}
    claims: dict[tuple[str, GuardReason], list[tuple[str, int]]] = {}
    for entry in objects_of(listing):
        told: Mapping[str, Any] = entry.get("set", {})
        kind, _, word = told.get("name", "").partition("_")
        if kind not in {"stopped", "claimed"} or word not in list(GuardReason):
            continue
        reason = GuardReason(word)
        for value, number in _elements(told):
            if kind == "stopped":
                counted[str(value), reason] = number
            else:
                port, claim = value["concat"]
                claims.setdefault((port, reason), []).append((_claim(claim, reason), number))
    found = [
        StoppedFrames(port=port, reason=reason, frames=number, claims=_most(claims.get((port, reason), [])))
        for (port, reason), number in counted.items()
        # a bridge that does not know a MAC floods: that is nobody's fault; and our own attacks are no news
        if reason is not GuardReason.OTHERS and port != ATTACK_PORT
    ]
    return tuple(sorted(found, key=lambda one: (one.port, -one.frames)))


def _elements(told: Mapping[str, Any]) -> Iterator[tuple[Any, int]]:
    for element in told.get("elem", ()):
        inner = element.get("elem", {}) if isinstance(element, dict) else {}
        if "counter" in inner:
            yield inner["val"], inner["counter"]["packets"]


def _claim(told: object, reason: GuardReason) -> str:
    """What was claimed, as people write it: an address, or the protocol of the frame."""
    if reason is GuardReason.ND:
        return str(IPv6Address(int(told, 16) if isinstance(told, str) else int(str(told))))
    return f"{told:#06x}" if isinstance(told, int) else str(told)


def _most(claims: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(claims, key=lambda one: (-one[1], one[0])))
