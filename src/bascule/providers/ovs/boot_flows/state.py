"""What loads the guards' rules of OpenFlow when the machine starts, and follows ports that come and go, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bascule.providers.boot_files import BootFiles

UNIT_NAME = "bascule-switches.service"


class BootFlows(BootFiles, frozen=True, kw_only=True):
    """``rules`` is the text of ``file``, ``script`` of what loads it; None: there is none."""

    name: ClassVar[str] = UNIT_NAME

    file: str
    rules: str | None = None
    script: str | None = None

    @property
    def script_path(self) -> str:
        """Where the script stands."""
        return f"{self.file}.sh"

    @property
    def texts(self) -> Mapping[str, tuple[str | None, int]]:
        """The rules, and the script that loads them."""
        return {self.file: (self.rules, 0o600), self.script_path: (self.script, 0o700)}
