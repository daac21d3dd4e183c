"""A plan's commands as the fewest calls of those who run them, in order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from msgspec import Struct

from bascule.plan.change import Change, Command, Plan
from bascule.providers.protocol import Provider
from bascule.providers.registry import of_tool


class Batch(Struct, frozen=True):
    """Neighbouring commands; ``changes`` names for each command the change that it belongs to."""

    commands: tuple[Command, ...]
    changes: tuple[Change, ...]

    def by_tool(self) -> Iterator[Batch]:
        """The same in pieces of one tool each."""
        return (Batch(*zip(*part, strict=True)) for _, part in groupby(self._pairs, lambda pair: pair[0].tool))

    @property
    def _pairs(self) -> Iterator[tuple[Command, Change]]:
        return zip(self.commands, self.changes, strict=True)

    def after(self, index: int) -> Batch:
        """What is left when the command of this number is done."""
        return Batch(self.commands[index + 1 :], self.changes[index + 1 :])


def batches(plan: Plan) -> Iterator[tuple[Provider, Batch]]:
    """Neighbouring commands of one provider together."""
    pairs = ((command, change) for change in plan.changes for command in change.commands)
    for provider, part in groupby(pairs, lambda pair: of_tool(pair[0].tool)):
        yield provider, Batch(*zip(*part, strict=True))


def tools(plan: Plan) -> tuple[str, ...]:
    """The programs that it takes to run a plan."""
    used = dict.fromkeys(of_tool(command.tool).program(command) for command in plan.commands)
    return tuple(filter(None, used))


def script(plan: Plan) -> str:
    """The exact commands, one paste-able line each."""
    return "".join(f"{command}\n" for command in plan.commands)
