"""Where the lab keeps what is slow to get, and how it says that something cannot be had."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class Unavailable(Exception):
    """The lab cannot run here; the text says what is missing and what brings it."""


def folder(name: str) -> Path:
    """A folder of the cache: below BASCULE_CACHE_DIR, else below XDG_CACHE_HOME or ~/.cache."""
    named = os.environ.get("BASCULE_CACHE_DIR")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bascule"
    found = base / "vm" / name
    found.mkdir(parents=True, exist_ok=True)
    return found


@contextlib.contextmanager
def alone(place: Path) -> Iterator[None]:
    """Whoever builds in a folder does it alone; others wait and then find it done."""
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget(place: Path) -> None:
    """Make room: of what was built before, only the newest stays, which another checkout may be using."""
    newest_first = sorted(place.glob("*.ext4"), key=lambda each: each.stat().st_mtime, reverse=True)
    for old in newest_first[1:]:
        old.unlink()
        for suffix in (".cpio", ".memory"):
            old.with_suffix(suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A folder to build in, gone afterwards; what is moved out of it was built whole."""
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


def tool(name: str, package: str) -> str:
    """The path of a program. Raises Unavailable with the package that brings it."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":" + SBIN)
    if found is None:
        raise Unavailable(f"'{name}' is not here: apt-get install {package}")
    return found


def call(*argv: str | Path, cwd: Path | None = None, stdin: bytes | None = None, timeout_s: float = 600) -> bytes:
    """Run a program to its end and take what it prints. Raises Unavailable with its own words if it fails."""
    words: Sequence[str] = [str(word) for word in argv]
    try:
        done = subprocess.run(words, cwd=cwd, input=stdin, capture_output=True, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"'{' '.join(words[:4])}': {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise Unavailable(f"'{' '.join(words[:4])}' failed: {' | '.join(said[-3:])}")
    return done.stdout
