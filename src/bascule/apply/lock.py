"""Only one at a time changes a host."""

from __future__ import annotations

from bascule.apply.state_directory import StateDirectory, refused
from bascule.errors import BasculeError
from bascule.system.disk import durable
from bascule.system.disk.lockfile import Lock, LockHeld


def lock(place: StateDirectory, verb: str, *, wait_s: float = 0.0) -> Lock:
    """The host's lock. Raises BasculeError naming who holds it."""
    try:
        durable.make_folder(place.runtime)  # /run is empty after a restart
        return Lock.take(place.lock, verb, wait_s=wait_s)
    except LockHeld as held:
        who = held.holder
        name = f"bascule {who.verb} (process {who.pid})" if who.verb else "another bascule"
        raise BasculeError.of(
            "LOCKED",
            f"{name} is changing this host; nothing was changed by this call",
            hint="wait for it to end; 'bascule status' shows what it does",
        ) from held
    except OSError as error:
        raise refused(place.lock, error) from error
