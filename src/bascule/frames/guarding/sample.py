"""A kind of frame that a guard stops, or must let through; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from bascule.frames.guarding.build import Parties


class Sample(Struct, frozen=True):
    """A kind of frame; ``reason`` is why a guard stops it, None for one that it must let through.

    ``permission`` is the word of ``may`` with which a guest may send it. ``by_address`` says that only a guard that
    knows the guest's addresses can tell. ``rest`` are later pieces of its packets, which do no harm alone: they are
    sent after its frames, so that whoever joins fragments gets the whole.
    """

    name: str
    frames: Callable[[Parties], Iterable[bytes]]
    reason: str | None = None
    permission: str = ""
    by_address: bool = False
    rest: Callable[[Parties], Iterable[bytes]] | None = None
