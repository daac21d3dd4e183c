"""Where things of guests are kept on this host."""

from __future__ import annotations

import os
from pathlib import Path

from bascule.system.disk.files import is_closed


def qemu_folder() -> Path:
    """Where bare QEMU guests are kept."""
    return Path(os.environ.get("BASCULE_STATE_DIR") or "/var/lib/bascule") / "guests"


def unread_guests() -> tuple[str, ...]:
    """That this user may not look at them, where that is so."""
    return closed(qemu_folder(), "which guests of bare QEMU there are")


def closed(folder: Path, what: str) -> tuple[str, ...]:
    """That this user may not look into a folder of Bascule's own, where that is so."""
    return (f"'{folder}' is readable by root only: {what} is not known",) if is_closed(folder) else ()
