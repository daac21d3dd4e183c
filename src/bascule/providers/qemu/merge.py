"""The way back for bare QEMU guests: definitions and taps as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from bascule.providers.protocol import Merged
from bascule.providers.qemu.state import QemuGuest, QemuState, plugged_into


def merge(before: QemuState, wanted: QemuState, now: QemuState, applied: QemuState | None) -> Merged:
    """Where to go; ``applied`` is what was right after the change, None if it never got so far."""
    kept: list[str] = []
    guests, again = dict(now.guests), list[str]()
    for name in {**before.guests, **wanted.guests}:
        old, there = before.guests.get(name), now.guests.get(name)
        if wanted.guests.get(name) == old or there is None:
            if wanted.guests.get(name) != old and old is not None:
                kept.append(f"guest {name} is gone")
            continue
        made = applied.guests.get(name) if applied is not None else None
        if old is None and there.running:
            kept.append(f"guest {name} is new and runs; it stays defined")
        elif old is None:
            del guests[name]
        else:
            guests[name] = _guest(name, old, made, there, kept)
            if applied is None and old.running and there.running:  # it may have been ended with a cable out
                again += [tap for tap in old.bridges if tap in there.bridges]
    return Merged(part=replace(now, guests=guests, again=tuple(again)), kept=tuple(kept))


def put_right(before: QemuState, wanted: QemuState, now: QemuState) -> QemuState:
    """Guests that the change defined, and NICs that it plugged, as they were wanted; what else is theirs stays."""
    guests = dict(now.guests)
    for name, shall in wanted.guests.items():
        old, there = before.guests.get(name), now.guests.get(name)
        if shall != old:
            gone = replace(shall, running=False, bridges={})
            guests[name] = gone if there is None else _with_nics(there, shall, old.rows if old else ())
    return replace(now, guests=guests)


def _with_nics(there: QemuGuest, shall: QemuGuest, old: Sequence[Mapping[str, Any]]) -> QemuGuest:
    ours = {row["tap"]: row for row in shall.rows if row not in old}
    known = {row["tap"] for row in there.rows}
    rows = [*(ours.get(row["tap"], row) for row in there.rows), *(row for tap, row in ours.items() if tap not in known)]
    bridges = {tap: plugged_into(ours[tap]) if on and tap in ours else on for tap, on in there.bridges.items()}
    return replace(there, definition={**there.definition, "nics": rows}, bridges=bridges)


def _guest(name: str, before: QemuGuest, made: QemuGuest | None, now: QemuGuest, kept: list[str]) -> QemuGuest:
    definition = before.definition
    if made is not None and now.definition not in (made.definition, before.definition):
        kept.append(f"guest {name}: its definition was changed since; it stays")
        definition = now.definition
    bridges = dict(now.bridges)
    if now.running and before.running:
        known = {row["tap"] for row in before.rows}
        for row in (made or now).rows:
            if row["tap"] not in known:
                bridges.pop(row["tap"], None)
        bridges |= {tap: bridge for tap, bridge in before.bridges.items() if bridge}
    return replace(now, definition=definition, bridges=bridges)
