"""What most providers answer alike; a provider overrides what is otherwise with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.providers.protocol import ThreeWay


class PlainProvider:
    """A provider whose part stands in ``HostState.parts`` under its name."""

    name: ClassVar[str]
    tools: ClassVar[frozenset[str]]
    programs: ClassVar[frozenset[str]] = frozenset()

    def part(self, state: HostState) -> Any:
        """Its part of a state; None where it was not asked."""
        return state.parts.get(self.name)

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with another part; None takes the entry away."""
        parts = {name: one for name, one in state.parts.items() if name != self.name}
        return replace(state, parts=parts if part is None else {**parts, self.name: part})

    def as_it_runs(self, site: Site, host: Host, observed: HostState) -> Site:  # for others
        """The site as it is."""
        return site

    def moves(self, before: HostState, after: HostState) -> frozenset[str]:  # for others
        """None."""
        return frozenset()

    def makes(self, after: HostState) -> frozenset[str]:  # for others
        """None."""
        return frozenset()

    def first_pass(self, goal: HostState, now: HostState) -> Any:  # for others
        """It goes there at once."""
        return self.part(goal)

    def settle(self, goal: HostState, change: ThreeWay) -> Any:  # for others
        """Nothing of it comes by itself."""
        return self.part(goal)

    def lasts(self, before: HostState, wanted: HostState) -> bool:  # for others
        """It goes with the kernel."""
        return False

    def files(self, state: HostState) -> Mapping[str, tuple[str, int]]:  # for others
        """It has none."""
        return MappingProxyType({})
