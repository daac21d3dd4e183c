"""Open vSwitch: the switches of a host's database, changed by one transaction that first waits for what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Command
from bascule.plan.step import Step
from bascule.providers.merging import changed
from bascule.providers.plain import PlainProvider
from bascule.providers.protocol import Merged, PlanInputs, SwitchTrouble, ThreeWay, Wanted

if TYPE_CHECKING:
    from bascule.model.guarding import Guarding
    from bascule.providers.ovs.state import SwitchState


class OvsProvider(PlainProvider):
    """Rows by their names. What the kernel shows of its switches and ports is read as links of the host."""

    name: ClassVar[str] = "ovs"
    state: ClassVar[str] = "SwitchState"
    drifts: ClassVar[bool] = True
    keeps_links: ClassVar[bool] = True
    outlives_restart: ClassVar[bool] = True  # its database is a file
    tools: ClassVar[frozenset[str]] = frozenset({"ovsdb-client", "ovs-vsctl", "ovs-ofctl"})
    programs: ClassVar[frozenset[str]] = frozenset({"ovs-vsctl", "ovs-ofctl"})

    def program(self, command: Command) -> str:
        """The transaction, and the wait until it is done, go over a socket of our own."""
        return "" if "wait-until" in command.words else super().program(command)

    def lay_over(self, state: HostState) -> HostState:
        """Its bridges as switches, and the links under them as their ports."""
        part: SwitchState | None = self.part(state)
        if part is None:
            return state
        from bascule.providers.ovs.overlay import lay_over

        return lay_over(state, part)

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """Rows for the links that the target has put under a bridge of Open vSwitch."""
        part: SwitchState | None = self.part(observed)
        if part is None:
            return Wanted()
        from bascule.providers.ovs.want import want

        return want(site, host, part, observed, wanted)

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """One transaction, and the word that it is done."""
        old, new = self.part(before), self.part(after)
        if old == new:
            return ()
        from bascule.providers.ovs.diff import steps

        return steps(old, new, before, after)

    def merge(self, change: ThreeWay) -> Merged:
        """Row by row, column by column."""
        from bascule.providers.ovs.merge import merge

        before, wanted, now, applied = self.parts(change)
        return merge(before, wanted if wanted is not None else before, now, applied)

    def not_done(self, state: HostState) -> str:
        """What ovs-vswitchd has not made of its rows."""
        part: SwitchState | None = self.part(state)
        return f"ovs-vswitchd {part.seen.trouble}" if part is not None and part.seen.trouble else ""

    def was_waited_for(self, state: HostState) -> bool:
        """Whether ovs-vswitchd had still to make what its rows say."""
        part: SwitchState | None = self.part(state)
        return part is not None and part.seen.waited

    def put_right(self, change: ThreeWay) -> Any:
        """Rows that the change made or altered, as it left them; without the ports of guests that are shut down."""
        there = self.part(change.now)
        if there is None:
            return None
        from bascule.providers.ovs.merge import put_right

        return put_right(self.part(change.before), self.part(change.wanted), there, frozenset(change.now.links))

    def as_if_there(self, state: HostState) -> HostState:
        """The state with an empty database."""
        from bascule.providers.ovs.state import SwitchState

        return self.with_part(state, SwitchState(socket=""))

    def troubles(self, state: HostState, declared: Mapping[str, bool]) -> Iterable[SwitchTrouble]:
        """Who does what its database says, rules of others beside the guards', ports whose links are gone."""
        from bascule.providers.ovs.troubles import troubles

        return troubles(self.part(state), state, declared)

    def unseen_frames(self, guarding: Guarding) -> Mapping[str, str]:
        """Those for which OpenFlow has no field."""
        from bascule.providers.ovs.unseen_frames import unseen_frames

        return unseen_frames(guarding)

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:
        """The switches that it makes, alters or deletes."""
        old, new = self.part(before), self.part(wanted)
        some = (*changed(old.bridges, new.bridges), *changed(old.flows, new.flows))
        ports = changed(old.ports, new.ports)
        told = dict.fromkeys((*some, *((new.ports.get(p) or old.ports[p]).bridge for p in ports)))
        return (f"Open vSwitch {', '.join(told)}",) if told else ()


OVS = OvsProvider()
