"""A host's state in a file: saved on one machine, planned against on another."""

from __future__ import annotations

import json

from bascule.errors import BasculeError
from bascule.model.state import HostState
from bascule.providers.json import from_json, to_json
from bascule.system.disk.files import read_bytes, write_text

STATE_MAX = 256 << 20  # bytes; 1,000 bridges with 5,000 taps are about 5 MiB


def save_state(path: str, state: HostState) -> None:
    """Write a state. Raises OSError."""
    write_text(path, json.dumps(to_json(state), indent=1) + "\n")


def read_state(path: str) -> HostState:
    """A saved state. Raises BasculeError where the file is none."""
    try:
        return from_json(json.loads(read_bytes(path, limit=STATE_MAX)))
    except ValueError as error:
        raise BasculeError.of("STATE-FILE", f"'{path}' is not a saved state: {error}") from error
