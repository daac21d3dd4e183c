"""After a change: whoever reads the files takes the links over."""

from __future__ import annotations

from collections.abc import Callable

from bascule.apply.port_cleanup import clean_ports
from bascule.apply.rollback.checkpoint import Folder
from bascule.apply.rollback.files import changed_since
from bascule.errors import BasculeError
from bascule.persist.takeover import take_over
from bascule.system.clock import Progress


def follow(folder: Folder, so_far: str, tell: Callable[[str], None], progress: Progress) -> None:
    """Let whoever reads the files take the links over; then nothing is left of what he did meanwhile."""
    backups = folder.read().files
    files = tuple(file.path for file in backups)
    faults, swept = take_over(files, progress), tuple[str, ...]()
    try:
        swept = clean_ports(folder) if files else ()
    except BasculeError as error:  # the change stands all the same
        faults += tuple(problem.message for problem in error.problems)
    progress("")
    for fault in faults:
        tell(f"warning: {so_far}, but their reader does not follow yet: {fault}")
    for path in changed_since(backups):
        tell(f"warning: {path} was written by somebody else since the change; 'bascule plan' says if it is in the way")
    for line in swept:
        tell(f"warning: set again on a port by others, and taken off: {line}")
