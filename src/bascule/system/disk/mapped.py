"""Large files, read as they are needed."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from bascule.errors import NotPermitted, Problem, UsageFault
from bascule.system.disk.files import instead


def map_file(path: str) -> bytes | mmap.mmap:
    """A file's content without reading it all; a pipe is read to its end.

    Raises UsageFault for what is missing or no file, as a device, which may have no end; NotPermitted for what may not
    be read.
    """
    try:
        with Path(path).open("rb") as stream:
            if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                raise UsageFault.of("FILE", f"'{path}' is a device, not a file")
            try:
                return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            except (ValueError, OSError):  # empty, or a pipe
                return stream.read()
    except PermissionError as error:
        problem = Problem(code="FILE", message=f"'{path}' may not be read", hint="run it as its owner, or as root")
        raise NotPermitted(problem) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageFault.of("FILE", f"'{path}' does not exist", hint=instead(Path(path))) from error
    except IsADirectoryError as error:
        message = f"'{path}' is a directory, not a file"
        raise UsageFault.of("FILE", message, hint="name the file itself") from error
    except OSError as error:
        raise UsageFault.of("FILE", f"'{path}' cannot be read: {error.strerror}") from error
