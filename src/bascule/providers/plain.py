"""What most providers answer alike; a provider overrides what is otherwise with it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import convert, to_builtins
from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.providers.protocol import ThreeWay

if TYPE_CHECKING:
    from bascule.plan.change import Command
    from bascule.providers.effects import Effects

ON_THE_WAY_BACK = ("merge", "settling", "diff", "overlay", "words", "observe", "execute")


class PlainProvider:
    """A provider whose part stands in ``HostState.parts`` under its name."""

    name: ClassVar[str]
    state: ClassVar[str] = ""  # the class of its part, in the file state.py of its folder
    tools: ClassVar[frozenset[str]]
    programs: ClassVar[frozenset[str]] = frozenset()
    runs_guests: ClassVar[bool] = False
    makes_networks: ClassVar[bool] = False
    drifts: ClassVar[bool] = False
    outlives_restart: ClassVar[bool] = False
    keeps_links: ClassVar[bool] = False

    def program(self, command: Command) -> str:
        """What the command calls, if that is a program that it runs."""
        name = command.tool.partition(" ")[0]
        return name if name in self.programs else ""

    def part(self, state: HostState) -> Any:
        """Its part of a state; None where it was not asked."""
        return state.parts.get(self.name)

    def parts(self, change: ThreeWay) -> tuple[Any, Any, Any, Any]:
        """Its parts before a change, as wanted and now, and after the change where that is known."""
        applied = self.part(change.applied) if change.applied is not None else None
        return self.part(change.before), self.part(change.wanted), self.part(change.now), applied

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with another part; None takes the entry away."""
        parts = {name: one for name, one in state.parts.items() if name != self.name}
        return replace(state, parts=parts if part is None else {**parts, self.name: part})

    def not_done(self, state: HostState) -> str:  # for others
        """What is there is done."""
        return ""

    def was_waited_for(self, state: HostState) -> bool:  # for others
        """Nobody but its reader works at it."""
        return False

    def running(self, state: HostState) -> Mapping[str, str]:  # for others
        """It runs no guests."""
        return {}

    def lay_over(self, state: HostState) -> HostState:  # for others
        """The state as it is."""
        return state

    def as_it_runs(self, site: Site, host: Host, observed: HostState) -> Site:  # for others
        """The site as it is."""
        return site

    def first_pass(self, goal: HostState, now: HostState) -> Any:  # for others
        """It goes there at once."""
        return self.part(goal)

    def settle(self, goal: HostState, change: ThreeWay) -> Any:  # for others
        """Nothing of it comes by itself."""
        return self.part(goal)

    def put_right(self, change: ThreeWay) -> Any:
        """As it is now."""
        return self.part(change.now)

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:  # for others
        """Nothing that is told apart."""
        return ()

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """What goes with the kernel does not."""
        return self.outlives_restart and bool(self.part(before) != self.part(wanted))

    def files(self, state: HostState) -> Mapping[str, tuple[str, int]]:  # for others
        """It has none."""
        return MappingProxyType({})

    def to_json(self, part: Any) -> Any:
        """The part as plain values."""
        return to_builtins(part)

    def from_json(self, data: Any) -> Any:
        """The same back. Raises ValueError for what is none."""
        return convert(data, getattr(import_module(f"{type(self).__module__}.state"), self.state))

    def load(self) -> None:
        """Its effects, and the files of its folder that are imported when they are used."""
        self.effects()
        package = type(self).__module__
        for name in ON_THE_WAY_BACK:
            if find_spec(f"{package}.{name}"):
                import_module(f"{package}.{name}")

    def effects(self) -> Effects:
        """How it is seen and changed: by the class in effects.py of its folder that is named as this one."""
        module = import_module(f"{type(self).__module__}.effects")
        made: Effects = getattr(module, type(self).__name__.replace("Provider", "Effects"))()
        return made
