"""The site file of a server: read again when it changes; what is wrong with it is told, and the last good one stays."""

from __future__ import annotations

from pathlib import Path

from bascule import workflow
from bascule.errors import BasculeError
from bascule.host.identity import as_found, choose_host

Stamp = tuple[int, int, int]


class Source:
    """A site and the host that is looked at. Without a file: this host, whatever it has."""

    def __init__(self, site_file: str | None, host: str | None, root: str | None = None) -> None:
        """With the host's files below ``root``. Raises SiteFault, UsageFault."""
        self.site_file = site_file
        self.root = root
        self._wish = host
        self._stamp: Stamp | None = None
        self.problem = ""
        if site_file is None:
            self.site, self.host = as_found(host)
        else:
            self._stamp = _stamp(site_file)
            self.site = workflow.load(site_file)
            self.host = choose_host(self.site, host)

    def renew(self) -> bool:
        """Read the file again if it is another one; whether anything is different now."""
        if self.site_file is None:
            return False
        stamp = _stamp(self.site_file)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            site = workflow.load(self.site_file)
            host = choose_host(site, self._wish)
        except (BasculeError, OSError) as error:
            self.problem = f"the site file is wrong now, and this is its last good version: {first(error)}"
            return True
        self.site, self.host, self.problem = site, host, ""
        return True


def first(error: BaseException) -> str:
    """An error in a sentence or two."""
    if isinstance(error, BasculeError) and error.problems:
        problem = error.problems[0]
        place = f" ({problem.place})" if problem.place else ""
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        return f"{problem.message}{place}{more}" + (f"; {problem.hint}" if problem.hint else "")
    if isinstance(error, PermissionError):
        return f"{error.strerror}: start 'bascule serve' as root for this"
    return str(error) or type(error).__name__


def _stamp(path: str) -> Stamp | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
