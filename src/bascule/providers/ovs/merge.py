"""The way back for the switches: row by row, column by column. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from bascule.providers.ovs.guard_steps import merged_flows, righted_flows
from bascule.providers.ovs.state import MARK, OWN_KEYS, MirrorRow, PortRow, Row, SwitchState
from bascule.providers.protocol import Merged

R = TypeVar("R", bound=Row)


def merge(before: SwitchState, wanted: SwitchState, now: SwitchState, applied: SwitchState | None) -> Merged:
    """Where to go. ``applied`` is what was right after the change, None if it never got so far."""
    kept: list[str] = []
    after = applied or wanted
    bridges = _rows(before.bridges, wanted.bridges, after.bridges, now.bridges, kept)
    ports = _rows(before.ports, wanted.ports, after.ports, now.ports, kept)
    mirrors = _rows(before.mirrors, wanted.mirrors, after.mirrors, now.mirrors, kept)
    lost = {name: port for name, port in ports.items() if port.bridge not in bridges}
    for name, port in lost.items():
        if name != port.bridge:
            kept.append(f"{name} is new and loses its bridge {port.bridge}, which is removed")
    return Merged(
        part=replace(
            now,
            bridges=bridges,
            ports={name: port for name, port in ports.items() if name not in lost},
            flows=merged_flows(before.flows, wanted.flows, now.flows),
            mirrors={key: one for key, one in mirrors.items() if one.bridge in bridges},
            unheard=now.unheard - now.seen.halfway,
        ),
        kept=tuple(kept),
    )


def _rows(
    before: Mapping[str, R], wanted: Mapping[str, R], after: Mapping[str, R], now: Mapping[str, R], kept: list[str]
) -> dict[str, R]:
    found: dict[str, R] = {}
    for name in {**before, **now}:
        old, seen = before.get(name), now.get(name)
        if old is None and seen is not None:
            if name not in wanted:
                found[name] = seen  # somebody else's
        elif old is not None and seen is None:
            if wanted.get(name) != old:
                found[name] = old  # gone by the change, or half-way
            else:
                kept.append(f"{old.table.lower()} {name} is gone")
        elif old is not None and seen is not None:
            found[name] = _row(old, wanted.get(name), after.get(name), seen, kept)
    return found


def _row(old: R, wanted: R | None, after: R | None, seen: R, kept: list[str]) -> R:
    """What the change altered as it was; what only others altered as it is."""
    if old == seen:
        return seen
    values = {}
    for field in old.__struct_fields__:
        mine, there = getattr(old, field), getattr(seen, field)
        ours = [getattr(one, field) for one in (wanted, after) if one is not None]
        if mine == there or any(value != mine for value in ours) or wanted is None:
            values[field] = mine
            continue
        kept.append(f"{old.table.lower()} {old.name}: {field} was changed since; it stays")
        values[field] = there
    return type(old)(**values)


def put_right(before: SwitchState, wanted: SwitchState, now: SwitchState, links: frozenset[str]) -> SwitchState:
    """The switches as they are, with what a change made of them as it left it; ``links`` are those of the kernel now.

    A port without its link is no drift: its guest has stopped. What others wrote into a map of ours stays.
    """
    righted = _righted(before.ports, wanted.ports, now.ports)
    ports = {name: port for name, port in righted.items() if name in now.ports or _is_there(port, links)}
    mirrors = {  # one of whose ports has gone is as it is
        key: one
        if all(name in ports for column in MirrorRow.ports for name in getattr(one, column))
        else now.mirrors.get(key)
        for key, one in _righted(before.mirrors, wanted.mirrors, now.mirrors).items()
    }
    return replace(
        now,
        bridges=_righted(before.bridges, wanted.bridges, now.bridges),
        ports=ports,
        mirrors={key: one for key, one in mirrors.items() if one is not None},
        flows=righted_flows(before.flows, wanted.flows, now),
        unheard=still_unheard(now, ports, links, {name for name, row in ports.items() if row.site}),
    )


def still_unheard(
    now: SwitchState, ports: Mapping[str, PortRow], links: Container[str], ours: Container[str]
) -> frozenset[str]:
    """What stays unheard: of others, of ports that go or move, and what will have none of ``links``.

    What was closed to be opened again is opened in any case.
    """
    opened = {
        one.name
        for name, port in ports.items()
        if name in ours and (old := now.ports.get(name)) is not None and old.bridge == port.bridge
        for one in port.interfaces
        if one.name in links
    }
    return now.unheard - now.seen.halfway - opened


def _is_there(port: PortRow, links: frozenset[str]) -> bool:
    return all(one.type or one.name in links for one in port.interfaces)


def _righted(before: Mapping[str, R], wanted: Mapping[str, R], now: Mapping[str, R]) -> dict[str, R]:
    """Rows with the mark, whichever change made them, and what the last one altered of others'."""
    found = dict(now)
    for name, row in wanted.items():
        old, seen = before.get(name), now.get(name)
        if row.site or row != old:
            found[name] = row if seen is None else _as_left(None if row.site else old, row, seen)
    return found


def _as_left(old: Any, mine: Any, there: Any) -> Any:
    """A row as a change left it; ``old`` is one of others before the change, of which the rest is theirs."""
    values = {}
    for field in mine.__struct_fields__:
        value, seen = getattr(mine, field), getattr(there, field)
        if old is not None and getattr(old, field) == value:
            value = seen
        elif field in SHARED:
            theirs = {key: text for key, text in seen.items() if not _is_own(key)}
            value = theirs | {key: text for key, text in value.items() if _is_own(key)}
        elif field == "interfaces":
            known = {one.name: one for one in seen}
            value = tuple(_as_left(None, one, known[one.name]) if one.name in known else one for one in value)
        values[field] = value
    return type(mine)(**values)


SHARED = {"external_ids", "other_config"}  # maps into which others write as well


def _is_own(key: str) -> bool:
    """Whether a key of a map is one that Bascule writes."""
    return key.startswith(MARK) or key in OWN_KEYS
