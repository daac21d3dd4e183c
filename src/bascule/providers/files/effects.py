"""How files of other providers' steps are written, and systemd told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from bascule.errors import CommandFailed
from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Command, Note
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.system.disk import durable
from bascule.system.run import run


class FilesEffects(PlainEffects):
    """Each file is written whole or not at all, and is on the disk afterwards."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> None:
        """Nothing of its own."""

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Write, remove, tell systemd. Raises CommandFailed with the file and the reason, or systemctl's words."""
        for command, change in zip(batch.commands, batch.changes, strict=True):
            try:
                _one(command)
            except OSError as error:
                text = f"{change.subject}: {change.action}: {error.filename or command.words[-1]}: {error.strerror}"
                raise CommandFailed.of("STEP-FAILED", text) from error
        return ()


def _one(command: Command) -> None:
    if command.tool == "install":
        path = Path(command.words[-1])
        durable.make_folder(path.parent)
        durable.write_whole(path, command.stdin.encode(), mode=int(command.words[2], 8))
    elif command.words[0] == "-rf":
        shutil.rmtree(command.words[1], ignore_errors=True)
    elif command.tool == "rm":
        for name in command.words[1:]:
            durable.remove_file(Path(name))
    else:  # a unit that is not there any more cannot be disabled, and need not
        run(("systemctl", *command.words), check=command.words[0] != "disable")
