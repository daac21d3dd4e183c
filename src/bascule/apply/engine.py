"""Run a plan's commands, and take back what was done when one of them fails.

The undo needs no per-step inverse: it is the plan from what is there now to what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bascule.errors import BasculeError, Problem
from bascule.host.live import LiveHost
from bascule.model.state import HostState
from bascule.plan.batch import batches, tools
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.system.net.netns import Namespace
from bascule.system.run import require_tools

Observe = Callable[[], HostState]


def execute(plan: Plan, *, namespace: Namespace | None = None, keep: Sequence[int] = ()) -> None:
    """Run the commands in order and stop at the first that fails.

    ``keep`` are descriptors that the programs inherit: the lock holds as long as one of them still runs.

    Raises MissingTool before anything is done; CommandFailed or NotPermitted with the step, the object and the
    kernel's reason.
    """
    require_tools(tools(plan))
    where = LiveHost(namespace)
    for provider, batch in batches(plan):
        provider.effects().execute(batch, where=where, keep=keep)


def apply_or_take_back(plan: Plan, before: HostState, observe: Observe, *, namespace: Namespace | None = None) -> None:
    """Execute; on any failure bring the state back to ``before`` and raise what failed.

    The error says whether the way back succeeded too.
    """
    try:
        execute(plan, namespace=namespace)
    except BaseException as failed:  # Ctrl-C as well: the host must not stay half changed
        left = take_back(before, observe, namespace=namespace)
        if not isinstance(failed, BasculeError):
            raise
        raise type(failed)(*failed.problems, *_told(left)) from failed


def take_back(before: HostState, observe: Observe, *, namespace: Namespace | None = None) -> Plan:
    """Go back to ``before`` by the difference; what then still differs (nothing, if all went well)."""
    execute(diff(observe(), before), namespace=namespace)
    return diff(observe(), before)


def _told(left: Plan) -> tuple[Problem, ...]:
    if not left:
        return ()
    what = "; ".join(f"{change.subject}: {change.action}" for change in left.changes)
    return (
        Problem(
            code="NOT-TAKEN-BACK",
            message=f"the way back is not complete, this still differs from before: {what}",
            hint="see 'bascule plan --commands' for what it would take",
        ),
    )
