"""Run a plan's commands, and take back what was done when one of them fails.

The undo needs no per-step inverse: it is the plan from what is there now to what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bascule.errors import BasculeError, CommandFailed, NotPermitted, Problem
from bascule.model.state import HostState
from bascule.plan.batch import Batch, batches, tools
from bascule.plan.change import Change, Command, Plan
from bascule.plan.diff import diff
from bascule.system.net.iproute import batch as run_batch
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import Parameters
from bascule.system.run import require_tools, run

Observe = Callable[[], HostState]


def execute(plan: Plan, *, namespace: Namespace | None = None, keep: Sequence[int] = ()) -> None:
    """Run the commands in order and stop at the first that fails.

    ``keep`` are descriptors that the programs inherit: the lock holds as long as one of them still runs.

    Raises MissingTool before anything is done; CommandFailed or NotPermitted with the step, the object and the
    kernel's reason.
    """
    require_tools(tools(plan))
    for batch in batches(plan):
        if batch.tool in {"ip", "ip -6", "bridge"}:
            _through_iproute(batch, namespace, keep)
        elif batch.tool == "sysctl":
            _through_sysctl(batch, namespace)
        else:
            run(("nft", "-f", "-"), stdin=batch.commands[0].words[0], namespace=namespace, keep=keep)


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


# what was to be taken away is away: NetworkManager takes its own addresses off a NIC that becomes a port, too
GONE: dict[tuple[str, ...], str] = {
    ("address", "del"): "Cannot assign requested address",
    ("route", "del"): "No such process",
    ("rule", "del"): "No such file or directory",
}


def _through_iproute(batch: Batch, namespace: Namespace | None, keep: Sequence[int]) -> None:
    while True:
        error = run_batch(batch.tool, batch.text, namespace=namespace, keep=keep)
        if error is None:
            return
        index = error.line if error.line is not None else len(batch.commands) - 1
        if error.line is None or GONE.get(batch.commands[index].words[:2]) != error.reason:
            raise _failed(batch.changes[index], batch.commands[index], error.reason)
        if index + 1 == len(batch.commands):
            return
        batch = Batch(batch.tool, batch.commands[index + 1 :], batch.changes[index + 1 :])


def _through_sysctl(batch: Batch, namespace: Namespace | None) -> None:
    with Parameters(namespace) as parameters:
        for command, change in zip(batch.commands, batch.changes, strict=True):
            try:
                parameters.write(*command.words)
            except OSError as error:
                raise _failed(change, command, error.strerror or str(error)) from error


def _failed(change: Change, command: Command, reason: str) -> CommandFailed | NotPermitted:
    refused = reason in {"Operation not permitted", "Permission denied"}
    problem = Problem(
        code="NOT-PERMITTED" if refused else "STEP-FAILED",
        message=f"{change.subject}: {change.action}: the kernel says '{reason}'",
        hint="run it as root" if refused else f"the command was: {command}",
    )
    return NotPermitted(problem) if refused else CommandFailed(problem)
