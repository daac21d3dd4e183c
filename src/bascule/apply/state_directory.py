"""Where Bascule keeps its state: a folder for each network namespace, so that none disturbs another.

``BASCULE_STATE_DIR`` names another place than /var/lib/bascule; the runtime folder is then below it. Symbolic links on
the way there are followed once, when a verb starts: a dead-man goes on where its change was written.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, NotPermitted, Problem
from bascule.system.disk import durable
from bascule.system.net.netlink import namespace_cookie
from bascule.system.net.netns import is_machines_own

STATE, RUNTIME = Path("/var/lib/bascule"), Path("/run/bascule")
VARIABLE = "BASCULE_STATE_DIR"


class StateDirectory(Struct, frozen=True):
    """The folders of one network namespace. ``is_main`` says whether it is the machine's own."""

    state: Path
    runtime: Path
    is_main: bool = False

    @property
    def checkpoints(self) -> Path:
        """A folder for each checkpoint, named by its number."""
        return self.state / "checkpoints"

    @property
    def lock(self) -> Path:
        """The file that whoever changes the host holds locked."""
        return self.runtime / "lock"

    def make(self) -> None:
        """Make the folders. Raises BasculeError, before anything has been changed, where that cannot be done."""
        for folder in (self.checkpoints, self.runtime):
            try:
                durable.make_folder(folder)
            except OSError as error:
                raise refused(folder, error) from error


def here() -> StateDirectory:
    """The folders of the network namespace that we are in; nothing is made yet.

    Raises BasculeError where a symbolic link on the way there leads nowhere: what was changed here is not known then.
    """
    main = is_machines_own()
    key = "host" if main else f"netns-{namespace_cookie()}"
    own = os.environ.get(VARIABLE)
    state, runtime = (_real(Path(own)), _real(Path(own)) / "run") if own else (_real(STATE), _real(RUNTIME))
    return StateDirectory(state / key, runtime / key, is_main=main)


def relative_words() -> str:
    """That the folder depends on where we are, for whoever finds no change there or makes one; empty if it does not."""
    own = os.environ.get(VARIABLE, "")
    if not own or Path(own).is_absolute():
        return ""
    return (
        f"{VARIABLE} is '{own}', a relative path: from this folder it is {Path(own).absolute()}, from others it is not"
    )


def _real(path: Path) -> Path:
    """Where a path leads. Raises BasculeError where a symbolic link on the way leads nowhere."""
    whole = path.absolute()
    for part in (whole, *whole.parents):
        if os.path.islink(part) and _leads_nowhere(part):  # noqa: PTH114  (pathlib's raises where we may not look)
            raise BasculeError.of(
                "STATE-DIR",
                f"'{part}' is a symbolic link that leads nowhere ({part.readlink()}): what Bascule has done on this "
                "host is not known",
                hint=f"mount what it leads to, or set {VARIABLE}",
            )
    return Path(os.path.realpath(whole))


def _leads_nowhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
    return False


def refused(path: Path, error: OSError) -> BasculeError:
    """Bascule's own state cannot be kept, so nothing is changed."""
    denied = isinstance(error, PermissionError)
    problem = Problem(
        code="STATE-DIR",
        message=f"'{path}' cannot be written: {error.strerror or error}; nothing was changed",
        hint="run it as root" if denied else "free some space, mount it writable, or set BASCULE_STATE_DIR",
    )
    return NotPermitted(problem) if denied else BasculeError(problem)
