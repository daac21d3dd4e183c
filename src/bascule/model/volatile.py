"""Facts of the moment: kept for pictures, messages and the way back, and no part of a comparison."""

from __future__ import annotations

from msgspec import Struct


class Volatile(Struct, frozen=True, eq=False):
    """What is seen with a value and says nothing of its configuration: two of a kind always compare equal."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) or NotImplemented

    def __ne__(self, other: object) -> bool:
        return type(self) is not type(other) and NotImplemented

    def __lt__(self, other: object) -> bool:
        """Equal ones have no order: routes that differ in nothing else can be sorted."""
        return type(self) is not type(other) and NotImplemented

    def __hash__(self) -> int:
        return hash(type(self))


class Lifetime(Volatile, frozen=True, kw_only=True):
    """The seconds that an address or a route still has, None for ever.

    ``kept_by``: the program, and where it is told so, that gives the address to this machine or to another (VRRP).
    """

    valid_s: int | None = None
    preferred_s: int | None = None
    kept_by: str = ""

    def after(self, seconds: float) -> Lifetime:
        """What is left of it so many seconds later; 0 where it has ended."""
        left = (None if s is None else max(s - round(seconds), 0) for s in (self.valid_s, self.preferred_s))
        valid_s, preferred_s = left
        return Lifetime(valid_s=valid_s, preferred_s=preferred_s)


FOREVER = Lifetime()
