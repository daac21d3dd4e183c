"""The files that load tables at boot are read here, and written by the provider of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from bascule.errors import MissingTool
from bascule.providers.boot_files import UNITS
from bascule.providers.boot_rules.state import BootRules
from bascule.providers.effects import ObserveScope, PlainEffects, is_enabled, text_of_file
from bascule.system.disk.files import is_closed
from bascule.system.run import find_tool


class BootRulesEffects(PlainEffects):
    """They are those of this machine: a namespace is not started by systemd."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> BootRules | None:
        """Both files; None where what lasts is not asked for, and there is none of an earlier change."""
        if scope.state is None or is_closed(scope.state):
            return None
        part = BootRules(file=str(scope.state / "rules.nft"), program=_program(), units=UNITS)
        return replace(
            part,
            rules=text_of_file(part.file),
            unit=text_of_file(part.unit_path),
            enabled=is_enabled(part.unit_path, part.starter),
            udev=text_of_file(part.udev_path),
        )


def _program() -> str:
    try:
        return find_tool("nft")
    except MissingTool:
        return BootRules(file="").program
