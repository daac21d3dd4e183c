"""What a provider is: the one place where a part of a host's state is compared, merged, observed and changed.

A provider keeps one part of :class:`HostState`: the kernel its links, routes, rules and parameters; nft the tables of
Bascule; libvirt, QEMU and dnsmasq what they keep. Its face (:class:`Provider`) is pure and cheap to import: what only
some hosts need (an XML parser, a library) is imported by the method that needs it. What looks at the host and changes
it
(:class:`bascule.providers.effects.Effects`) is another module, which nothing pure imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from bascule.model.site import Host, Site, SwitchedNic
from bascule.model.state import HostState
from bascule.plan.change import Command, Note
from bascule.plan.earlier import NOTHING, EarlierChanges
from bascule.plan.step import Step

if TYPE_CHECKING:
    from bascule.model.guarding import Guarding, GuardLevel
    from bascule.model.ruleset.openflow import LoadedRule
    from bascule.providers.effects import Effects, SwitchEffects


class PlanInputs(Struct, frozen=True, kw_only=True):
    """What a plan is made from beside the site file and the host's state.

    ``earlier`` is what changes of Bascule put there before, ``management`` the links on which the
    administrator's own line to the host runs, ``learned`` the port behind which each MAC was heard last (the FDB).
    ``lasting`` says that what is made may be started again with the machine, ``networks_are_made`` that somebody else
    makes the virtual networks, though he is not asked. ``held`` are the NICs on which links of other network
    namespaces sit, each with what they are and whose. ``connected`` tells the host's addresses to which others are
    connected, each with one of those, where anything is to change, ``served`` the protocol and port of what takes
    connections on it.
    """

    earlier: EarlierChanges = NOTHING
    management: frozenset[str] = frozenset()
    learned: Mapping[str, Any] = field(default_factory=dict)
    lasting: bool = False
    networks_are_made: bool = False
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    connected: Callable[[], Mapping[str, str]] = dict
    served: frozenset[tuple[str, int]] = frozenset()


class Wanted(Struct, frozen=True, kw_only=True):
    """A provider's part as the site file wants it.

    ``part`` None leaves the part without an entry. ``reasons`` and ``guests`` are by a step's subject, as in
    :class:`Context`.
    """

    part: Any = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    guests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


class ThreeWay(Struct, frozen=True, kw_only=True):
    """What a way back is decided from: what stood, what was to be made, what was made, what stands now.

    ``applied`` was observed right after the change; None when it was ended half-way. ``elapsed_s`` is the time since
    ``before`` was observed, by which leases have aged. ``moved`` are the links that a provider other than the kernel
    put under another master. ``by_files`` are addresses, by link, that files of the host's own give which the change
    brought back: whoever reads them sets those, and that is of the change. ``rebooted`` says that the kernel that was
    changed runs no more.
    """

    before: HostState
    wanted: HostState
    now: HostState
    applied: HostState | None = None
    elapsed_s: float = 0.0
    moved: frozenset[str] = frozenset()
    by_files: Mapping[str, frozenset[str]] = {}
    rebooted: bool = False


class Merged(Struct, frozen=True, kw_only=True):
    """A part to go back to, and what stays different from before because somebody else wanted it so, in words."""

    part: Any
    kept: tuple[str, ...] = ()


class Provider(Protocol):
    """One part of a host's state, pure."""

    @property
    def name(self) -> str:
        """As in ``HostState.parts``, in a checkpoint and in words."""

    @property
    def tools(self) -> frozenset[str]:
        """The ``tool`` of each command that it executes."""

    def program(self, command: Command) -> str:
        """The program that must be installed to execute one of its commands; "" where it takes none."""

    @property
    def runs_guests(self) -> bool:
        """Whether it runs guests, whose MACs must be found nowhere else."""

    @property
    def makes_networks(self) -> bool:
        """Whether it makes the virtual networks of the site file itself, bridges, rules and all."""

    @property
    def drifts(self) -> bool:
        """Whether `status` looks at it again even where the last change altered nothing of it."""

    @property
    def keeps_links(self) -> bool:
        """Whether links are where it says: where it cannot be seen, nobody knows whose port a NIC is."""

    def put_right(self, change: ThreeWay) -> Any:
        """The part as it would be now if nobody had touched what a change made."""

    def not_done(self, state: HostState) -> str:
        """Why what is written down of its part is not done on the host, in words; empty where it is."""

    def was_waited_for(self, state: HostState) -> bool:
        """Whether what the kernel shows may be older than the part: its provider had still to do what it was told."""

    def running(self, state: HostState) -> Mapping[str, str]:
        """The guests that run, as far as it was asked and knows; why one does nothing (``paused``), "" if it goes."""

    def part(self, state: HostState) -> Any:
        """Its part of a state; None where it was not asked: unknown is not empty."""

    def with_part(self, state: HostState, part: Any) -> HostState:
        """The state with another part; None takes the entry away."""

    def lay_over(self, state: HostState) -> HostState:
        """The state, just read, with what the provider knows of links that the kernel does not tell."""

    def as_it_runs(self, site: Site, host: Host, observed: HostState) -> Site:
        """The site with what running guests have now in place of derived names (a tap of libvirt's choice)."""

    def want(self, site: Site, host: Host, observed: HostState, wanted: HostState, inputs: PlanInputs) -> Wanted:
        """The part that the site file asks for; ``wanted`` has the parts of the providers before it in PROVIDERS.

        Called only where ``observed`` has the part, as ``diff`` and ``merge`` are where all their states have it.
        Raises BasculeError for what cannot be made.
        """

    def diff(self, before: HostState, after: HostState) -> Iterable[Step]:
        """The steps that lead from the one part to the other, each with its exact commands."""

    def merge(self, change: ThreeWay) -> Merged:
        """The part to go back to. It differs from ``now`` only by what the change did."""

    def first_pass(self, goal: HostState, now: HostState) -> Any:
        """The part of the goal for the first of several passes, where it must be reached in stages."""

    def settle(self, goal: HostState, change: ThreeWay) -> Any:
        """The part of the goal for another look, with ``change.now`` seen anew: what came meanwhile is left alone."""

    def names(self, before: HostState, wanted: HostState) -> tuple[str, ...]:
        """What of the part a change is about, a line for each kind of thing, for people."""

    def lasts(self, before: HostState, wanted: HostState) -> bool:
        """Whether something of the change outlives a restart of the machine."""

    def files(self, state: HostState) -> Mapping[str, tuple[str, int]]:
        """The files that systemd reads when the machine starts, by path: text and mode.

        The boot after a power cut puts back those of ``before``, and removes those that only ``wanted`` has.
        """

    def to_json(self, part: Any) -> Any:
        """A part of ``HostState.parts`` as plain dicts, lists, strings and numbers."""

    def from_json(self, data: Any) -> Any:
        """The part from a checkpoint. Raises ValueError when the document is not one."""

    def load(self) -> None:
        """Import all that the way back may need, while there is time."""

    def effects(self) -> Effects:
        """How it is seen and changed; imported by this call."""


class SwitchTrouble(Struct, frozen=True, kw_only=True):
    """What is wrong with bridges of somebody who keeps his own: what was seen (``evidence``), and what to do.

    ``is_problem``: guests are not reached, or not kept to their guards; else it is a burden.
    """

    id: str
    subject: str
    text: str
    evidence: tuple[str, ...] = ()
    fix: str = ""
    bridges: tuple[str, ...] = ()
    is_problem: bool = True


class KeptSwitches(Protocol):
    """The part of a provider that makes bridges of its own beside the kernel's."""

    @property
    def bridges(self) -> Mapping[str, Any]:
        """By their names."""

    @property
    def ports(self) -> Mapping[str, Any]:
        """By their names; the link of one may be gone."""

    def join(self, bridge: str, tap: str, nic: SwitchedNic, *, isolated: bool) -> Command:
        """A guest's tap becomes a port, with its VLANs from its first frame on, wherever it was a port."""

    def leave(self, tap: str) -> Command:
        """A guest's tap is no port any more."""

    def guards_on(self, bridge: str) -> Mapping[str, GuardLevel]:
        """The guard of each port that has one."""

    def unseen_guards(self) -> frozenset[str]:
        """Ports that have had their guards from it, where it does not answer whether they stand."""

    def passed_over(self) -> Iterable[tuple[str, str]]:
        """Bridges on which rules of others may let frames pass their guards, with the words for it."""

    def guard_rules(self) -> Mapping[str, tuple[LoadedRule, ...]]:
        """The guards' rules on each bridge that has some, as if all their ports were there."""


class SwitchProvider(Provider, Protocol):
    """A provider whose part is :class:`KeptSwitches` (``keeps_links``)."""

    def part(self, state: HostState) -> KeptSwitches | None:
        """Those of a state."""

    def as_if_there(self, state: HostState) -> HostState:
        """The state as if it ran and had no bridge."""

    def troubles(self, state: HostState, declared: Mapping[str, bool]) -> Iterable[SwitchTrouble]:
        """What is wrong with its bridges; of those in the file ``declared`` says which are not the kernel's."""

    def unseen_frames(self, guarding: Guarding) -> Mapping[str, str]:
        """The kinds of hostile frames that such a guard lets through on its bridges, each with the reason."""

    def effects(self) -> SwitchEffects:
        """How they are seen."""
