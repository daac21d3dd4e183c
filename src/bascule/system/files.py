"""Reading files that a person named."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from bascule.errors import NotPermitted, Problem, SiteFault

SITE_FILE_MAX = 4 << 20  # bytes; a site with 10,000 guests has about 2 MiB


def read_bytes(path: str | Path, *, limit: int = SITE_FILE_MAX) -> bytes:
    """The content of a site file of at most ``limit`` bytes; ``-`` is standard input.

    Raises SiteFault for what is missing, no file or too large, NotPermitted for what may not be read.
    """
    if str(path) == "-":
        data = sys.stdin.buffer.read(limit + 1)
        return _within(data, limit, "standard input")
    file = Path(path)
    try:
        kind = file.stat().st_mode
        if stat.S_ISDIR(kind):
            candidates = sorted(each.name for each in file.iterdir() if each.suffix in {".yaml", ".yml"})[:5]
            hint = f"name the file: {', '.join(candidates)}" if candidates else "name the file itself"
            raise SiteFault(Problem(code="FILE", message=f"'{path}' is a directory, not a site file", hint=hint))
        with file.open("rb") as stream:
            return _within(stream.read(limit + 1), limit, f"'{path}'")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SiteFault(
            Problem(code="FILE", message=f"'{path}' does not exist", hint="the site file is the argument of the verb")
        ) from error
    except PermissionError as error:
        raise NotPermitted(
            Problem(code="FILE", message=f"'{path}' may not be read", hint="run it as its owner, or as root")
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SiteFault(Problem(code="FILE", message=f"'{path}' cannot be read: {reason}")) from error


def _within(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise SiteFault(
            Problem(
                code="FILE",
                message=f"{name} is larger than {limit >> 20} MiB, which no site file is",
                hint="is this the right file?",
            )
        )
    return data
