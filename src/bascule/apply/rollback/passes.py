"""The one way back: look, merge, change, and look again until nothing is left to do.

`bascule undo`, the dead-man, the way back of a change that failed, the boot after a power cut and the rehearsal's last
check all go it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.errors import BasculeError, Problem
from bascule.host.live import HERE, LiveHost
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.plan.merge import first_pass, settle, way_back
from bascule.providers.protocol import ThreeWay
from bascule.system.clock import Progress, unseen

PASSES = 4  # looks at most: what the kernel does by itself on the way needs one more, what others do now and then too
PAUSE_S = 0.3  # before a way back that failed is tried again

Look = Callable[[], HostState]


class Back(Struct, frozen=True, kw_only=True):
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
) -> Back:
    """Go to what the merge says, in as many looks as it takes, and then compare.

    ``look`` observes the host anew; what ``change`` says of now is not read.
    """
    change = replace(change, now=look())
    way = way_back(change)
    goal = way.part
    failed: BasculeError | None = None
    changes = 0
    for attempt in range(PASSES):
        now = change.now
        plan = diff(now, first_pass(goal, now) if attempt == 0 else goal)
        if not plan and attempt > 0:
            break
        progress("takes the change back")
        try:
            execute(plan, where=where, keep=keep)
            failed = None
        except BasculeError as error:
            failed = error
            time.sleep(PAUSE_S)
        changes += len(plan.changes)
        change = replace(change, now=look())
        goal = settle(goal, change)
    left = [*differences(diff(change.now, goal))]
    if failed is not None and left:
        left += [problem.message for problem in failed.problems]
    return Back(left=tuple(left), kept=way.kept, changes=changes)


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
        raise type(failed)(*failed.problems, *_told(back)) from failed


def _told(back: Back) -> tuple[Problem, ...]:
    if back.ok:
        return ()
    return (
        Problem(
            code="NOT-TAKEN-BACK",
            message=f"the way back is not complete, this still differs from before: {'; '.join(back.left)}",
            hint="see 'bascule plan --commands' for what it would take",
        ),
    )


def differences(plan: Plan) -> Iterator[str]:
    """What a plan would still have to do, a line for each thing."""
    return (f"{change.subject}: {change.action}" for change in plan.changes)
