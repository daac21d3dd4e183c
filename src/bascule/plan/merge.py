"""The way back of a change: every provider's three-way merge, together one state to go to."""

from __future__ import annotations

from msgspec import Struct

from bascule.model.state import HostState
from bascule.providers import PROVIDERS
from bascule.providers.protocol import ThreeWay


class WayBack(Struct, frozen=True, kw_only=True):
    """Where to go, and what stays different from before because somebody else wanted it so, in words."""

    goal: HostState
    kept: tuple[str, ...] = ()


def way_back(change: ThreeWay) -> WayBack:
    """The state to go back to: what the change altered as it was before, what other hands altered as it is now."""
    goal, kept = change.now, list[str]()
    for provider in PROVIDERS:
        if provider.part(change.now) is None or provider.part(change.before) is None:
            continue
        merged = provider.merge(change)
        goal = provider.with_part(goal, merged.part)
        kept += merged.kept
    return WayBack(goal=goal, kept=tuple(kept))


def settle(goal: HostState, change: ThreeWay) -> HostState:
    """The goal again for another look, ``change.now``: what came meanwhile is left alone."""
    for provider in PROVIDERS:
        if provider.part(goal) is not None:
            goal = provider.with_part(goal, provider.settle(goal, change))
    return goal
