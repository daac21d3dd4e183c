"""The MACs that the kernel's bridges have learned (bridge(8), fdb)."""

from __future__ import annotations

from typing import Any

from bascule.system.net.netns import Namespace
from bascule.system.run import rows

FDB = ("bridge", "-j", "-s", "fdb", "show")


def kernel_rows(namespace: Namespace | None = None, *, check: bool = True) -> list[dict[str, Any]]:
    """What bridge(8) tells of the kernel's tables. Raises MissingTool, and with ``check`` CommandFailed."""
    return rows(FDB, namespace=namespace, check=check)
