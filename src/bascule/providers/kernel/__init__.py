"""The kernel: links with their addresses, routes, policy rules, and the kernel parameters that were asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.step import Step
from bascule.providers.kernel.diff import steps
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, Surroundings, ThreeWay, Wanted

if TYPE_CHECKING:
    from bascule.providers.effects import Effects


class KernelProvider(PlainProvider):
    """Its part stands flat in the state, since everything reads it."""

    name: ClassVar[str] = "kernel"
    programs: ClassVar[frozenset[str]] = frozenset({"ip", "bridge"})
    tools: ClassVar[frozenset[str]] = frozenset({"ip", "ip -6", "bridge", "sysctl"})  # sysctl is written by ourselves

    def part(self, state: HostState) -> HostState:
        """The state, for all of it but the other providers' parts is the kernel's."""
        return state

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with the links, routes, rules and parameters of another one."""
        return replace(state, links=part.links, routes=part.routes, rules=part.rules, sysctls=part.sysctls)

    def want(
        self, site: Site, host: Host, observed: HostState, wanted: HostState, surroundings: Surroundings
    ) -> Wanted:
        """What the target has laid out."""
        return Wanted(part=wanted)

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """The steps of ``ip``, ``bridge`` and ``sysctl``."""
        return steps(before, after)

    def merge(self, change: ThreeWay) -> Merged:
        """Facet by facet, link by link."""
        from bascule.providers.kernel.merge import merge

        return merge(change)

    def first_pass(self, goal: HostState, now: HostState) -> HostState:
        """A bridge that is not ours keeps its MAC and MTU until its ports are back."""
        from bascule.providers.kernel.merge import with_bridges_left

        return with_bridges_left(goal, now)

    def settle(self, goal: HostState, change: ThreeWay) -> HostState:
        """Links, addresses and routes that came meanwhile are left alone."""
        from bascule.providers.kernel.merge import settle

        return settle(goal, change.now, change.wanted)

    def to_json(self, part: Any) -> Any:
        """The host state's own document."""
        from bascule.model.state_json import to_json

        return to_json(part)

    def from_json(self, data: Any) -> Any:
        """The same back."""
        from bascule.model.state_json import from_json

        return from_json(data)

    def effects(self) -> Effects:
        """iproute2 and /proc/sys."""
        from bascule.providers.kernel.effects import KernelEffects

        return KernelEffects()


KERNEL = KernelProvider()
