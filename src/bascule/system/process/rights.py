"""Which of root's rights this process has: capabilities(7), of which a container or a service may lack some."""

from __future__ import annotations

import os
from pathlib import Path

from bascule.errors import NotPermitted

CAPABILITIES = {"NET_ADMIN": 12, "NET_RAW": 13, "SYS_ADMIN": 21}  # linux/capability.h


def missing(*names: str) -> list[str]:
    """Those of some capabilities that the calling thread does not have."""
    status = Path("/proc/thread-self/status").read_text()
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name in names if not held >> CAPABILITIES[name] & 1]


def require_rights(what: str, *names: str) -> None:
    """Raise NotPermitted where the process lacks a capability that ``what`` ("a change of the network") needs."""
    if lacking := missing(*names):
        needed, lacks = (" and ".join(f"CAP_{name}" for name in some) for some in (names, lacking))
        message = f"{what} needs {needed}; this process lacks {lacks}"
        raise NotPermitted.of("NOT-PERMITTED", message, hint=hint(lacking))


def hint(names: list[str]) -> str:
    """How one comes by capabilities: an ordinary user as root, a root without them by whoever started it."""
    if os.geteuid() != 0:
        return "run it as root"
    options = " ".join(f"--cap-add {name}" for name in names)
    return f"this root lacks rights (a container, a service?): start it with --privileged or {options}"
