"""Which configuration system looks after the host's network, told from its files; two at once are both told."""

from __future__ import annotations

import re
from pathlib import Path

from bascule.persist.dialect import dialects
from bascule.persist.manager import Managers
from bascule.system.disk.files import find_below, read_below
from bascule.system.net.managers import runs_here


def detect(root: str | Path = "/") -> Managers:
    """What stands in a host's files; ``root`` other than / is a host that is not running."""
    here = _Root(Path(root))
    return Managers(tuple(manager for dialect in dialects() for manager in dialect.detect(here)))


def dhcpcd_at_boot(root: str | Path) -> str:
    """What starts a dhcpcd for all links when the machine starts, or nothing."""
    here = _Root(Path(root))
    units = [f"{target}.target.wants/{name}.service" for target in TARGETS for name in ("dhcpcd", "dhcpcd5")]
    found = here.enabled(*units) or next(iter(here.files("etc/runlevels/*/dhcpcd", "etc/rc[2-5].d/S[0-9]*dhcpcd")), "")
    return found and f"/{found.lstrip('/')}"


TARGETS = ("multi-user", "network", "network-online")


class _Root:
    """A root with what shows there that a configuration system is at work."""

    __slots__ = ("top",)

    def __init__(self, top: Path) -> None:
        self.top = top

    def files(self, *patterns: str, but: str = r"$^") -> list[str]:
        hits = [path for pattern in patterns for path in find_below(self.top, pattern)]
        return [path for path in hits if not re.search(but, path)]

    def text(self, path: str) -> str:
        try:
            return read_below(self.top, path)
        except (OSError, ValueError):
            return ""

    def there(self, *paths: str) -> str:
        return next((f"/{path}" for path in paths if (self.top / path).exists()), "")

    def enabled(self, *units: str) -> str:
        paths = [f"etc/systemd/system/{unit}" for unit in units]
        return next((f"/{path}" for path in paths if (self.top / path).is_symlink() or (self.top / path).exists()), "")

    def target(self, path: str) -> str:
        link = self.top / path
        return link.readlink().name if link.is_symlink() else ""

    def runs(self, program: str, *traces: str) -> str:
        if self.top != Path("/"):
            return self.there(*traces)
        return program if runs_here(program) else ""
