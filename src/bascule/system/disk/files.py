"""Files: those that a person named, those of a configuration tree, and writing what a person named."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bascule.errors import BasculeError, NotPermitted, Problem, SiteFault, UsageFault
from bascule.system.disk import durable

STDOUT = "standard output"
STDIN = "standard input"
SITE_FILE = "site file"
SITE_FILE_MAX = 4 << 20  # bytes; a site with 10,000 guests has about 2 MiB
SILENCE_S = 30.0  # of a pipe or a device: whoever fills it may be on the other side of an SSH line


def read_bytes(
    path: str | Path, *, limit: int = SITE_FILE_MAX, silence_s: float = SILENCE_S, what: str = SITE_FILE
) -> bytes:
    """The content of a file of at most ``limit`` bytes that a person named; ``what`` says what it should be.

    ``-`` is standard input. Raises SiteFault (UsageFault where it is to be another than the site file) for what is
    missing, no file, too large or sends nothing for ``silence_s`` seconds, NotPermitted for what may not be read. A
    terminal is waited for without a limit: a person types there.
    """
    try:
        if str(path) == "-":
            return _within(_read(sys.stdin.fileno(), limit + 1, silence_s, STDIN), limit, STDIN, what)
        return _file(str(path), limit, silence_s, what)
    except _Unfit as unfit:
        raise (SiteFault if what == SITE_FILE else UsageFault)(*unfit.problems) from unfit


class _Unfit(BasculeError):
    """What is named is no such file."""


def _unfit(message: str, hint: str | None = None) -> _Unfit:
    return _Unfit(Problem(code="FILE", message=message, hint=hint))


def _file(path: str, limit: int, silence_s: float, what: str) -> bytes:
    file, name = Path(path), f"'{path}'"
    try:
        kind = file.stat().st_mode
        if stat.S_ISDIR(kind):
            ends = {".yaml", ".yml"} if what == SITE_FILE else {".json"}
            candidates = sorted(each.name for each in file.iterdir() if each.suffix in ends)[:5]
            hint = f"name the file: {', '.join(candidates)}" if candidates else "name the file itself"
            raise _unfit(f"{name} is a directory, not a {what}", hint)
        if stat.S_ISSOCK(kind):
            pipe = ", or send the text through a pipe: … | bascule check -" if what == SITE_FILE else ""
            raise _unfit(f"{name} is a socket, not a {what}", f"name a file{pipe}")
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return _within(_read(handle, limit + 1, silence_s, name), limit, name, what)
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _unfit(f"{name} does not exist", instead(file)) from error
    except PermissionError as error:
        raise NotPermitted.of("FILE", f"{name} may not be read", hint="run it as its owner, or as root") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unfit(f"{name} cannot be read: {reason}") from error


def _read(handle: int, size: int, silence_s: float, name: str) -> bytes:
    """At most ``size`` bytes, up to the end; a FIFO that nobody has open for writing has none."""
    ready = select.poll()
    ready.register(handle, select.POLLIN)
    data, wait_ms = b"", None if os.isatty(handle) else silence_s * 1000
    while len(data) < size:
        if not ready.poll(wait_ms):
            hint = "name a file, or see why whoever writes to it sends nothing"
            raise _unfit(f"{name} sent nothing for {silence_s:g} s", hint)
        with suppress(BlockingIOError):  # another reader of the same pipe was faster
            if not (chunk := os.read(handle, size - len(data))):
                break
            data += chunk
    return data


def instead(file: Path) -> str:
    """What may be meant by the name of a file that is not there."""
    from difflib import get_close_matches

    if file.is_symlink():
        return f"it is a link to '{file.readlink()}', which is not there"
    if not file.parent.is_dir():
        is_file = f"'{file.parent}' is a file, so nothing is in it"
        return is_file if file.parent.exists() else f"there is no directory '{file.parent}'"
    with suppress(OSError):
        there = sorted(each.name for each in file.parent.iterdir() if not each.name.startswith("."))
        for close in get_close_matches(file.name, there, n=1):
            return f"did you mean '{file.with_name(close)}'?"
    return "give the name of a file that exists"


def write_file(path: str | Path, data: str | bytes) -> None:
    """Write what a person named: a file, a device, a pipe, or ``-`` for standard output.

    A file that is there stays as it is until the new one is whole, and no half of a new one is left: on a full disk
    nothing is lost. Raises OSError with the file's name.
    """
    target = Path("/dev/stdout" if str(path) == "-" else path)
    content = data.encode("utf-8", errors="replace") if isinstance(data, str) else data
    found = target.stat() if target.exists() else None
    try:
        if found is not None and _is_replaceable(target, found):
            owner = (found.st_uid, found.st_gid) if os.geteuid() == 0 else None
            durable.write_whole(target.resolve(), content, mode=stat.S_IMODE(found.st_mode), owner=owner)
        else:
            target.write_bytes(content)
    except OSError as error:
        error.filename = str(target)
        if found is None:
            with suppress(OSError):
                target.resolve().unlink()
        raise


def _is_replaceable(target: Path, found: os.stat_result) -> bool:
    """Whether another file may take its place: it has no second name, and its owner stays the same."""
    ours = os.geteuid() in {0, found.st_uid} and os.access(target.resolve().parent, os.W_OK)
    # these lead to what is open, and whoever opened it goes on writing there
    opened = str(target).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and ours and not opened


def _within(data: bytes, limit: int, name: str, what: str) -> bytes:
    if len(data) > limit:
        raise _unfit(f"{name} is larger than {limit >> 20} MiB, which no {what} is", "is this the right file?")
    return data


CONFIG_FILE_MAX = 16 << 20  # bytes; 100,000 lines of configuration are about 4 MiB
HOPS = 40  # symbolic links that are followed before it is a circle, as the kernel does


def below(root: Path, path: str) -> Path:
    """Where a path really is when ``root`` is taken for /: symbolic links are followed inside of it only.

    Raises OSError (ELOOP) for links that go round in a circle.
    """
    done = root
    parts = [part for part in reversed(path.split("/")) if part not in {"", "."}]
    hops = 0
    while parts:
        part = parts.pop()
        if part == "..":
            done = done.parent if done != root else root
            continue
        step = done / part
        if not step.is_symlink():
            done = step
            continue
        hops += 1
        if hops > HOPS:
            raise OSError(errno.ELOOP, "symbolic links form a loop", str(root / path))
        target = str(step.readlink())
        if target.startswith("/"):
            done = root
        parts += [part for part in reversed(target.split("/")) if part not in {"", "."}]
    return done


def is_closed(folder: Path) -> bool:
    """Whether this user may not look into a folder; what is in it, and whether it is there, is not known then."""
    try:
        folder.stat()
        return not os.access(folder, os.R_OK | os.X_OK)
    except PermissionError:
        return True
    except OSError:
        return False


def find_below(root: Path, pattern: str) -> Iterator[str]:
    """The paths below ``root`` that fit a pattern, without leading slash, in the order of their names.

    Nothing for what does not exist or may not be listed; folders behind symbolic links are followed inside ``root``.
    """
    folder, _, name = pattern.rpartition("/")
    folders = find_below(root, folder) if set(folder) & set("*?[") else iter([folder])
    for each in folders:
        yield from _entries(root, each, name, depth=0)


def _entries(root: Path, folder: str, name: str, *, depth: int) -> Iterator[str]:
    from fnmatch import fnmatchcase

    if not set(name) & set("*?["):
        path = f"{folder}/{name}".lstrip("/")
        if os.path.lexists(root / path):
            yield path
        return
    try:
        entries = sorted(os.listdir(below(root, folder)))  # noqa: PTH208  # names are all that is needed
    except OSError:
        return
    for entry in entries:
        path = f"{folder}/{entry}".lstrip("/")
        if name != "**":
            if fnmatchcase(entry, name) and not (entry.startswith(".") and not name.startswith(".")):
                yield path
            continue
        try:
            is_folder = below(root, path).is_dir()
        except OSError:
            is_folder = False
        if not is_folder:
            yield path
        elif depth < HOPS:
            yield from _entries(root, path, name, depth=depth + 1)


def read_below(root: Path, path: str, *, folders: dict[str, Path] | None = None) -> str:
    """The text of a configuration file (``text_of``).

    ``folders`` remembers where folders really are, for those who read many files. Raises OSError for what cannot be
    read, ValueError with a sentence for what is no text file.
    """
    folder, _, name = path.rpartition("/")
    known = {} if folders is None else folders
    if folder not in known:
        known[folder] = below(root, folder)
    data = _read_regular(f"{known[folder]}/{name}")
    if data is None:  # a symbolic link
        data = _read_regular(str(below(root, path)))
    if data is None:
        raise OSError(errno.ELOOP, "symbolic links form a loop", path)
    if _is_binary(data):
        raise ValueError("binary")
    return text_of(data)


def text_of(data: bytes) -> str:
    """What is not UTF-8 is taken for Latin-1, as old comments are; a line ends as it does here.

    A NUL byte is U+FFFD, which stands for what is no letter and spoils what it is in.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\0", "\ufffd")


def _is_binary(data: bytes) -> bool:
    """Whether most lines have a NUL byte; a few of them are what a power cut or a bad disk leaves in a text."""
    if b"\0" not in data:
        return False
    lines = [line for line in data.split(b"\n") if line.strip()]
    return 2 * sum(b"\0" in line for line in lines) > len(lines)


def _read_regular(file: str) -> bytes | None:
    """The bytes of a regular file; None for a symbolic link. A pipe or device is told, never waited for."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        if error.errno == errno.ENXIO:
            raise ValueError("no regular file") from error
        raise
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError("a folder")
        if stat.S_ISCHR(status.st_mode):
            raise ValueError("masked: it leads to a device")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        if status.st_size > CONFIG_FILE_MAX:
            raise ValueError(f"larger than {CONFIG_FILE_MAX >> 20} MiB, which no configuration is")
        data = b""
        while chunk := os.read(handle, min(CONFIG_FILE_MAX, 1 << 20)):
            data += chunk
            if len(data) == status.st_size:
                break  # all of it: not asked again in each of 6,000 files
        return data
    finally:
        os.close(handle)
