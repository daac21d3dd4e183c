"""The files that load tables at boot are read here, and written by the provider of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import MissingTool
from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.boot_rules.state import UNITS, BootRules
from bascule.providers.effects import ObserveScope
from bascule.system.run import find_tool


class BootRulesEffects:
    """They are those of this machine: a namespace is not started by systemd."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """None."""
        return ()

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> BootRules | None:
        """Both files; None where what lasts is not asked for, and there is none of an earlier change."""
        if scope.state is None:
            return None
        part = BootRules(file=str(scope.state / "rules.nft"), program=_program(), units=UNITS)
        unit = _text(part.unit_path)
        is_for_it = unit is not None and part.file in unit
        udev = _text(part.udev_path) if is_for_it else None
        return replace(part, rules=_text(part.file), unit=unit if is_for_it else None, udev=udev)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """It has no tool of its own."""
        raise NotImplementedError


def _program() -> str:
    try:
        return find_tool("nft")
    except MissingTool:
        return BootRules(file="").program


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
