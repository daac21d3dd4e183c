"""Where Bascule keeps its state: a folder for each network namespace, so that none disturbs another.

``BASCULE_STATE_DIR`` names another place than /var/lib/bascule; the runtime folder is then below it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, NotPermitted, Problem
from bascule.system.disk import durable
from bascule.system.net.monitor import namespace_cookie

STATE, RUNTIME = Path("/var/lib/bascule"), Path("/run/bascule")


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
    """The folders of the network namespace that we are in; nothing is made yet."""
    main = _is_main()
    key = "host" if main else f"netns-{namespace_cookie()}"
    own = os.environ.get("BASCULE_STATE_DIR")
    state, runtime = (Path(own).absolute(), Path(own).absolute() / "run") if own else (STATE, RUNTIME)
    return StateDirectory(state / key, runtime / key, is_main=main)


def _is_main() -> bool:
    """Whether this is the namespace of process 1."""
    with contextlib.suppress(OSError):
        first, ours = Path("/proc/1/ns/net").stat(), Path("/proc/thread-self/ns/net").stat()
        return (first.st_dev, first.st_ino) == (ours.st_dev, ours.st_ino)
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
