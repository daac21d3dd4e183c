"""Tell a manager that files are others now: netplan makes those of its back ends anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bascule.errors import BasculeError
from bascule.system.run import run

NETPLAN = "/etc/netplan/"
GENERATORS = ("/usr/libexec/netplan/generate", "/usr/lib/netplan/generate")


def regenerate(paths: Iterable[str]) -> list[str]:
    """Let netplan generate, if one of the files is its own; what could not be done, in words."""
    if not any(path.startswith(NETPLAN) for path in paths):
        return []
    generator = next((path for path in GENERATORS if Path(path).exists()), None)
    return tell(generator) if generator else tell("netplan", "generate")


def tell(*command: str) -> list[str]:
    """Run a manager's own command; what could not be done, in words."""
    try:
        run(command, timeout_s=20.0)
    except BasculeError as error:
        return [problem.message for problem in error.problems]
    return []
