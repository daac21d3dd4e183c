"""Where things of guests are kept on this host."""

from __future__ import annotations

import os
from pathlib import Path


def qemu_folder() -> Path:
    """Where bare QEMU guests are kept."""
    return Path(os.environ.get("BASCULE_STATE_DIR") or "/var/lib/bascule") / "guests"
