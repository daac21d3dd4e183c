"""Run a plan's commands, each through the provider that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from bascule.errors import BasculeError
from bascule.host.live import HERE, LiveHost
from bascule.plan.batch import batches, tools
from bascule.plan.change import Note, Plan
from bascule.system.run import require_tools


def execute(
    plan: Plan,
    *,
    where: LiveHost = HERE,
    keep: Sequence[int] = (),
    faults: list[BasculeError] | None = None,
    go_on: bool = False,
) -> tuple[Note, ...]:
    """Run the commands in order and stop at the first that fails; what somebody should know.

    ``keep`` are descriptors that the programs inherit: the lock holds as long as one of them still runs. Where
    ``faults`` is given, what fails is put there and does not stop the other providers; with ``go_on`` not even the
    commands that come after it, where its provider knows which one it was.

    Raises MissingTool before anything is done; CommandFailed or NotPermitted with the step, the object and the
    reason.
    """
    require_tools(tools(plan))
    notes: list[Note] = []
    for provider, batch in batches(plan):
        left = batch
        while left.commands:
            try:
                notes += provider.effects().execute(left, where=where, keep=keep)
                break
            except BasculeError as error:
                if faults is None:
                    raise
                faults.append(error)
                if not go_on or error.index is None:
                    break
                left = left.after(error.index)
    return tuple(notes)
