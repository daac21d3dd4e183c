"""A plan's commands as the fewest runs of their tools, in order."""

from __future__ import annotations

from msgspec import Struct

from bascule.plan.change import Change, Command, Plan, Tool, are_plain


class Batch(Struct, frozen=True):
    """Commands for one run of one tool; ``changes`` names for each command the change that it belongs to."""

    tool: Tool
    commands: tuple[Command, ...]
    changes: tuple[Change, ...]

    @property
    def text(self) -> str:
        """The input of ``ip -batch -`` or ``bridge -batch -``: a line per command."""
        return "".join(_line(command.words) + "\n" for command in self.commands)


def _line(words: tuple[str, ...]) -> str:
    """Words as iproute2's batch reader takes them: it knows double quotes, and no escapes within them."""
    if are_plain(words):
        return " ".join(words)
    return " ".join(word if are_plain((word,)) else '"' + word.replace('"', "") + '"' for word in words)


def batches(plan: Plan) -> tuple[Batch, ...]:
    """Neighbouring commands of one tool together; an nft script stands alone."""
    found: list[tuple[Tool, list[Command], list[Change]]] = []
    for change in plan.changes:
        for command in change.commands:
            if not found or found[-1][0] != command.tool or command.tool == "nft":
                found.append((command.tool, [], []))
            found[-1][1].append(command)
            found[-1][2].append(change)
    return tuple(Batch(tool, tuple(commands), tuple(changes)) for tool, commands, changes in found)


def tools(plan: Plan) -> tuple[str, ...]:
    """The programs that it takes to run a plan."""
    used = dict.fromkeys(command.tool.partition(" ")[0] for command in plan.commands)
    return tuple(tool for tool in used if tool != "sysctl")  # written by ourselves


def script(plan: Plan) -> str:
    """The exact commands, one paste-able line each."""
    return "".join(f"{command}\n" for command in plan.commands)
