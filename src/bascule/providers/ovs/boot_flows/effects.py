"""The files that load the guards' rules of OpenFlow are read here, and written by the provider of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from bascule.providers.effects import ObserveScope, PlainEffects, is_enabled, text_of_file
from bascule.providers.ovs.boot_flows.state import BootFlows
from bascule.system.disk.files import is_closed


class BootFlowsEffects(PlainEffects):
    """They are those of this machine: a namespace is not started by systemd."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> BootFlows | None:
        """All three; None where what lasts is not asked for."""
        if scope.state is None or is_closed(scope.state):
            return None
        part = BootFlows(file=str(scope.state / "switches.flows"))
        return replace(
            part,
            rules=text_of_file(part.file),
            script=text_of_file(part.script_path),
            unit=text_of_file(part.unit_path),
            enabled=is_enabled(part.unit_path, part.starter),
        )
