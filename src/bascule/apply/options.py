"""What the administrator chooses when a change is planned and made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.plan.file_change import FileChange


class DriverChoice(Struct, frozen=True, kw_only=True):
    """Who runs the guests: a driver's name, ``none``, or "" for whoever is there; and libvirt's connection.

    ``lasting``: what is made may be written where the machine starts it again.
    """

    driver: str = "none"
    uri: str | None = None
    lasting: bool = True


class Writer(Protocol):
    """Keeps the change over a reboot, in the files of the host's configuration system."""

    notes: Sequence[Note]  # of the last look at the changes: what else is kept over a reboot, and what is not

    def changes(self, wanted: HostState) -> Sequence[FileChange]:
        """Every file that ``write`` will make, change, move or remove; they are backed up into the checkpoint."""

    def write(self, wanted: HostState) -> Sequence[str]:
        """Write them; the paths that were written. Raises BasculeError or OSError."""


NO_DRIVER, ANY_DRIVER = DriverChoice(), DriverChoice(driver="")
