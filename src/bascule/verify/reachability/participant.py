"""Somebody who may ask or be asked."""

from __future__ import annotations

from msgspec import Struct

from bascule.topology.trace.network import WireEnd


class Participant(Struct, frozen=True, kw_only=True):
    """Somebody who may ask or be asked. ``ends`` are its NICs on this host's wires; the host itself has none.

    ``addresses`` are those that it can be asked at, by IP version and number. ``note`` says what was assumed of it.
    """

    name: str
    ends: tuple[WireEnd, ...] = ()
    addresses: tuple[tuple[int, int], ...] = ()
    is_host: bool = False
    note: str = ""
