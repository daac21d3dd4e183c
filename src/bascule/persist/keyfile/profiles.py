"""Where a link's profile stands, and by which UUID NetworkManager knows it."""

from __future__ import annotations

import uuid

from bascule.persist.keyfile import FOLDER

NAMESPACE = uuid.UUID("6f3c1b0e-0f1c-5d55-9d2e-626173637565")


def path_of(name: str) -> str:
    """The file of a link's profile."""
    return f"{FOLDER}/{name}.nmconnection"


def profile_uuid(name: str) -> str:
    """The same for one link for ever, so that a profile that is written anew stays the same one."""
    return str(uuid.uuid5(NAMESPACE, name))
