"""The one way back: look, merge, change, and look again until nothing is left to do.

`bascule undo`, the dead-man, the way back of a change that failed, the boot after a power cut and the rehearsal's last
check all go it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.rollback.renamed_links import followed, new_names, parameter
from bascule.errors import BasculeError, Problem
from bascule.host.live import HERE, LiveHost
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.plan.merge import first_pass, parts_alone, settle, way_back
from bascule.providers.kernel.next_hops import without_next_hops
from bascule.providers.kernel.observe import read_parameters
from bascule.providers.protocol import ThreeWay
from bascule.providers.registry import PROVIDERS
from bascule.system.clock import Progress, unseen

PASSES = 4  # looks at most: what the kernel does by itself on the way needs one more, what others do now and then too
PAUSE_S = 0.3  # before a way back that failed is tried again

Look = Callable[[], HostState]


class RollbackResult(Struct, frozen=True, kw_only=True):
    """How the way back went: ``left`` still differs from before, ``kept`` differs because others wanted it so."""

    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    changes: int = 0
    files: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()  # what went back beside the kernel's part and the files
    after_reboot: bool = False

    @property
    def ok(self) -> bool:
        """Whether the host is as it was before, in all that we touched."""
        return not self.left


def roll_back(
    change: ThreeWay, look: Look, *, where: LiveHost = HERE, keep: Sequence[int] = (), progress: Progress = unseen
) -> RollbackResult:
    """Go to what the merge says, in as many looks as it takes, and then compare.

    Guests and servers go back first, while what they are plugged into is there, old and new; what the kernel then
    shows is merged. ``look`` observes the host anew; what ``change`` says of now is not read.
    """
    change = replace(change, now=look())
    names = {} if change.rebooted else new_names(change.before, change.now)
    if names:
        look = partial(_look_by_names, look, change.before, names, where)
        change = followed(replace(change, now=look()))
    run = _RollbackPasses(look, where, keep, progress)
    run.goal = begun = change.now
    called = tuple(f"{old} is called {new} by now" for old, new in names.items())
    kept = called
    first = None if change.rebooted else way_back(change)  # before anything is changed: what others did meanwhile
    if change.now.parts:
        others = way_back(parts_alone(change))
        kept = (*called, *others.kept)
        if others.part.parts != change.now.parts:
            links = change.now.links if first is None else _with_missing(first.part, change.now)
            goal = replace(change.now, links=links, parts=others.part.parts)
            change = run.until_there(change, goal, goal, _settle_parts)
    if first is not None:  # a restart has taken away what kernel and nft had
        change = replace(change, moved=change.moved | _made_anew(begun, change.now))
        merged = way_back(change) if run.changes else first
        kept += tuple(words for words in merged.kept if words in first.kept)
        goal = merged.part
        change = run.until_there(change, goal, first_pass(goal, change.now), settle)
        kept += tuple(without_next_hops(change))
    left = [] if run.is_there else [*differences(diff(change.now, run.goal))]
    if left:
        left += [problem.message for error in run.failed for problem in error.problems]
    left += _not_done(change)
    return RollbackResult(left=tuple(left), kept=tuple(dict.fromkeys(kept)), changes=run.changes)


def _look_by_names(look: Look, before: HostState, names: Mapping[str, IfName], where: LiveHost) -> HostState:
    return with_parameters(look(), before, names, where)


def with_parameters(
    seen: HostState, before: HostState, names: Mapping[str, IfName], where: LiveHost = HERE
) -> HostState:
    """What is seen, with the kernel parameters of links under their new names."""
    keys = [new for key in before.sysctls if (new := parameter(key, names)) != key]
    with where.entered():
        return replace(seen, sysctls={**seen.sysctls, **read_parameters(keys)})


def _made_anew(begun: HostState, now: HostState) -> frozenset[str]:
    """The links that have come, gone or become others while guests and switches went back: that was nobody else."""
    kinds = [{name: type(link.options) for name, link in state.links.items()} for state in (begun, now)]
    return frozenset(name for name, _ in kinds[0].items() ^ kinds[1].items())


def _not_done(change: ThreeWay) -> Iterator[str]:
    """What is written down where somebody keeps it, and not done by him."""
    for one in PROVIDERS:
        before, wanted = one.part(change.before), one.part(change.wanted)
        if before is not None and before != wanted and (why := one.not_done(change.now)):
            yield f"{one.name}: {why}"


def _with_missing(goal: HostState, now: HostState) -> Mapping[IfName, Link]:
    """The links of now and those that were there before, such as the bridge that a guest goes back to."""
    return {**{n: x for n, x in goal.links.items() if x.is_makeable}, **now.links}


def _settle_parts(goal: HostState, change: ThreeWay) -> HostState:
    """The same for the parts of others, with the kernel as it is now."""
    return replace(change.now, parts=settle(replace(change.now, parts=goal.parts), change).parts)


class _RollbackPasses:
    """Looks, changes, and looks again. ``failed`` is what the last change could not do.

    ``is_there``: by the last look nothing differs from the goal.
    """

    def __init__(self, look: Look, where: LiveHost, keep: Sequence[int], progress: Progress) -> None:
        self.look, self.where, self.keep, self.progress = look, where, keep, progress
        self.goal = HostState()
        self.failed: list[BasculeError] = []
        self.changes = 0
        self.is_there = True

    def until_there(
        self, change: ThreeWay, goal: HostState, first: HostState, again: Callable[[HostState, ThreeWay], HostState]
    ) -> ThreeWay:
        """To ``goal`` by way of ``first``; ``again`` gives the goal for another look. The change as it is seen then."""
        self.goal = goal
        for attempt in range(PASSES):
            plan = diff(change.now, first if attempt == 0 else self.goal)
            self.is_there = not plan and attempt > 0
            if self.is_there:
                break
            self.progress("takes the change back")
            self.failed = []
            try:
                # what fails again and again does not keep all that comes after it from going back
                last = attempt == PASSES - 1
                execute(plan, where=self.where, keep=self.keep, faults=self.failed, go_on=last)
            except BasculeError as error:  # a program that it takes is missing
                self.failed.append(error)
            if self.failed:
                time.sleep(PAUSE_S)
            self.changes += len(plan.changes)
            change = replace(change, now=self.look())
            self.goal = again(self.goal, change)
        return change


def apply_or_roll_back(plan: Plan, change: ThreeWay, look: Look, *, where: LiveHost = HERE) -> None:
    """Execute a plan; on any failure go back to ``change.before`` and raise what failed.

    The error says whether the way back succeeded too.
    """
    try:
        execute(plan, where=where)
    except BaseException as failed:  # Ctrl-C as well: the host must not stay half changed
        back = roll_back(change, look, where=where)
        if not isinstance(failed, BasculeError):
            raise
        left = () if back.ok else (not_taken_back(back, "see 'bascule plan --commands' for what it would take"),)
        raise type(failed)(*failed.problems, *left) from failed


def not_taken_back(back: RollbackResult, hint: str) -> Problem:
    """That a way back did not come to its end."""
    text = f"the rollback is not complete, this still differs from before: {'; '.join(back.left)}"
    return Problem(code="NOT-TAKEN-BACK", message=text, hint=hint)


def differences(plan: Plan) -> Iterator[str]:
    """What a plan would still have to do, a line for each thing."""
    return (f"{change.subject}: {change.action}" for change in plan.changes)
