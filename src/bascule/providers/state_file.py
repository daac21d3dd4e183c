"""A host's state in a file: saved on one machine, planned against on another."""

from __future__ import annotations

import json

from bascule.errors import UsageFault
from bascule.model.state import HostState
from bascule.providers.json import from_json, to_json
from bascule.system.disk.files import read_bytes, write_file

STATE_MAX = 256 << 20  # bytes; 1,000 bridges with 5,000 taps are about 5 MiB


def save_state(path: str, state: HostState) -> None:
    """Write a state. Raises OSError."""
    write_file(path, json.dumps(to_json(state), indent=1) + "\n")


def read_state(path: str) -> HostState:
    """A saved state. Raises UsageFault where the file is none."""
    data = read_bytes(path, limit=STATE_MAX, what="saved state")
    try:
        return from_json(json.loads(data))
    except json.JSONDecodeError as error:
        why = f"line {error.lineno} is no JSON" if data.strip() else "the file is empty"
    except UnicodeDecodeError:
        why = "it is no text"
    except ValueError as error:
        why = str(error)
    hint = "write one on that host with: bascule plan SITE --save-observed FILE"
    raise UsageFault.of("STATE-FILE", f"'{path}' is not a saved state: {why}", hint=hint)
