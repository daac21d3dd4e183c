"""How much a guest NIC may carry."""

from __future__ import annotations

from msgspec import Struct

UNITS = (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3), ("bit", 1))


class Bandwidth(Struct, frozen=True, kw_only=True):
    """Bits in a second of whole Ethernet frames: ``up`` is what the guest sends, ``down`` what it gets; None is all."""

    up: int | None = None
    down: int | None = None

    def __bool__(self) -> bool:
        return self.up is not None or self.down is not None

    def __str__(self) -> str:
        told = [f"{way} {rate_words(rate)}" for way, rate in (("up", self.up), ("down", self.down)) if rate is not None]
        return ", ".join(told) or "no limit"


def rate_words(rate: int) -> str:
    """A rate as the site file and tc write it: 100Mbit."""
    unit, size = next((one for one in UNITS if rate % one[1] == 0), UNITS[-1])
    return f"{rate // size}{unit}"
