"""The plan that leads from one state of a host to another: the steps of every provider, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.step import Context, Phase, Step
from bascule.providers.protocol import Provider
from bascule.providers.registry import PROVIDERS

PLAIN = Context()


def diff(before: HostState, after: HostState, context: Context = PLAIN) -> Plan:
    """The plan that turns ``before`` into ``after``; empty when they say the same.

    A provider keeps the order of its own steps within a phase; one whose part is unknown in either state is left out.
    """
    found = list(_steps(before, after, PROVIDERS))
    moved = frozenset(link for one in found for link in one.moves)
    made = frozenset(link for one in found for link in one.makes)
    if moved or made:
        found = [late for one in found if (late := _around(one, moved, made)) is not None]
    found.sort(key=lambda step: step.phase)
    return Plan(changes=tuple(step.change(context) for step in found))


def _steps(before: HostState, after: HostState, providers: Iterable[Provider]) -> Iterator[Step]:
    for provider in providers:
        if provider.part(before) is not None and provider.part(after) is not None:
            yield from provider.diff(before, after)


def moved_links(before: HostState, after: HostState) -> frozenset[str]:
    """The links that whoever runs the guests puts on their bridges himself."""
    return frozenset(link for one in _others(before, after) for link in one.moves)


def made_links(before: HostState, after: HostState) -> frozenset[str]:
    """The links that another provider than the kernel makes and alters."""
    return frozenset(link for one in _others(before, after) for link in one.makes)


def _others(before: HostState, after: HostState) -> Iterator[Step]:
    """The steps of those who make links, or put them on bridges, by their own daemon's words."""
    if before.parts and after.parts:
        hands = [provider for provider in PROVIDERS if provider.runs_guests or provider.makes_networks]
        yield from _steps(HostState(parts=before.parts), HostState(parts=after.parts), hands)


def _around(one: Step, moved: frozenset[str], made: frozenset[str]) -> Step | None:
    """A step that leaves the moving of links to another provider, and comes after it where it needs it done."""
    if one.subject in moved and one.phase in {Phase.DETACH, Phase.ENSLAVE}:
        return None
    if one.subject in moved and one.phase is Phase.PORT:
        return replace(one, phase=Phase.LATE_PORT)
    if one.phase is Phase.DELETE and moved and one.subject not in made:
        return replace(one, phase=Phase.LATE_DELETE)
    return one
