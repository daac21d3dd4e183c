"""The files that load the guards' rules of OpenFlow are read here, and written by the provider of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.boot_flows.state import BootFlows
from bascule.providers.effects import ObserveScope


class BootFlowsEffects:
    """They are those of this machine: a namespace is not started by systemd."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """None."""
        return ()

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> BootFlows | None:
        """All three; None where what lasts is not asked for."""
        if scope.state is None:
            return None
        part = BootFlows(file=str(scope.state / "switches.flows"))
        unit = _text(part.unit_path)
        is_for_it = unit is not None and part.file in unit
        return replace(part, rules=_text(part.file), script=_text(part.script_path), unit=unit if is_for_it else None)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """It has no tool of its own."""
        raise NotImplementedError


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
