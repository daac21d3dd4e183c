"""The way back of a change: every provider's three-way merge, together one state to go to."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.providers.protocol import Merged, Provider, ThreeWay
from bascule.providers.registry import PROVIDERS


def way_back(change: ThreeWay) -> Merged:
    """The state to go back to: what the change altered as it was before, what other hands altered as it is now."""
    goal, kept = change.now, list[str]()
    for provider in PROVIDERS:
        if not _was_asked(provider, change):
            continue
        merged = provider.merge(change)
        goal = provider.with_part(goal, merged.part)
        kept += merged.kept
    return Merged(part=goal, kept=tuple(kept))


def _was_asked(provider: Provider, change: ThreeWay) -> bool:
    """Before the change and now: of a part that was not, nothing can be said."""
    return all(provider.part(state) is not None for state in (change.before, change.now))


def parts_alone(change: ThreeWay) -> ThreeWay:
    """The same of the parts that are not the kernel's and nft's."""
    before, wanted, now = (HostState(parts=x.parts) for x in (change.before, change.wanted, change.now))
    applied = None if change.applied is None else HostState(parts=change.applied.parts)
    return replace(change, before=before, wanted=wanted, now=now, applied=applied)


def first_pass(goal: HostState, now: HostState) -> HostState:
    """The goal for the first of several passes."""
    for provider in PROVIDERS:
        if provider.part(goal) is not None:
            goal = provider.with_part(goal, provider.first_pass(goal, now))
    return goal


def settle(goal: HostState, change: ThreeWay) -> HostState:
    """The goal again for another look, ``change.now``: what came meanwhile is left alone."""
    for provider in PROVIDERS:
        if provider.part(goal) is not None and _was_asked(provider, change):
            goal = provider.with_part(goal, provider.settle(goal, change))
    return goal
