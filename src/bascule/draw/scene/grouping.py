"""Guests that are alike: one element with a count says more than forty equal boxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bascule.model.site import Guest, Site

_NUMBERED = re.compile(r"(.*?)(\d+)")


def stem(name: str) -> str:
    """A name without the number at its end: web-07 and web-12 have the same stem."""
    found = _NUMBERED.fullmatch(name)
    return found[1] if found else name


def groups(guests: Iterable[Guest], *, from_count: int | None, apart: Iterable[str] = ()) -> list[tuple[Guest, ...]]:
    """The guests in their order, those that are alike together at the place of the first.

    Alike means: the same name but for a number at the end, the same plugs, guards and services, the same memory.
    ``from_count`` says how many alike become one; None keeps all apart. ``apart`` are never put together.
    """
    apart = set(apart)
    by_key: dict[object, list[Guest]] = {}
    order: dict[str, int] = {}
    for guest in guests:
        plugs = tuple(
            (nic.plug, nic.into, nic.vlan, nic.vlans, nic.guarding.level, nic.guarding.fdb) for nic in guest.nics
        )
        key: object = (stem(guest.name), plugs, guest.serves, guest.memory)
        if guest.name in apart or stem(guest.name) == guest.name:
            key = guest.name
        by_key.setdefault(key, []).append(guest)
        order[guest.name] = len(order)
    found: list[tuple[Guest, ...]] = []
    for members in by_key.values():
        if from_count is not None and len(members) >= max(from_count, 2):
            found.append(tuple(members))
        else:
            found += [(guest,) for guest in members]
    return sorted(found, key=lambda members: order[members[0].name])


def span(names: Sequence[str]) -> str:
    """The names of a group from the lowest number to the highest: ``web-01…web-12``; some between may be missing."""
    in_order = sorted(names, key=lambda name: int(found[2]) if (found := _NUMBERED.fullmatch(name)) else 0)
    return f"{in_order[0]}…{in_order[-1]}"


def leaves_names_out(names: Sequence[str]) -> bool:
    """Whether a span of them would not say which they are, because numbers between are missing."""
    numbers = [int(found[2]) for name in names if (found := _NUMBERED.fullmatch(name))]
    return len(numbers) != len(names) or max(numbers) - min(numbers) >= len(numbers)


def untouched(site: Site) -> frozenset[str]:
    """The guests that somebody speaks of elsewhere in the file: they stay apart, for a reader looks for them."""
    named = {name for e in site.expectations for name in (e.source, e.target)}
    for machine in site.machines.values():
        named |= set(machine.let_through)
    for host in site.hosts.values():
        named |= {forward.guest for network in host.virtual_networks.values() for forward in network.forwards}
    return frozenset(named)
