"""Ctrl-C at any moment: the host is as before, or the change is whole; the last line says which, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import Struct

from tests.lab import called
from tests.patience import HUNG_S
from tests.random_hosts.snapshot import differences, snapshot
from tests.real_hosts.field import ONE_NIC, Field

MOMENTS = 6
NOTHING = "interrupted; nothing is left behind"
GONE = "the host is as it was before"
WAITS = "waits for 'bascule confirm' and is taken back in"
IN_IMPORT = -signal.SIGINT  # while it is imported, without a word


class Ended(Struct, frozen=True):
    """One that was interrupted: its exit status and its last line."""

    status: int
    last: str


def seen(field: Field) -> dict[str, list[str]]:
    with field.host.entered():
        return snapshot()


def same(one: dict[str, list[str]], other: dict[str, list[str]]) -> bool:
    return not list(differences(one, other))


def interrupted(field: Field, after_s: float | None, *words: str) -> tuple[Ended, float]:
    """A verb that Ctrl-C meets, as a terminal sends it: to the whole process group. And how long it took."""
    begun = time.monotonic()
    process = field.start(*words, start_new_session=True)
    if after_s is not None:
        time.sleep(after_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=HUNG_S)
    took_s = time.monotonic() - begun
    assert "Traceback" not in text or "/bascule/" not in text, text
    status = IN_IMPORT if "Traceback" in text else process.returncode  # of Python, which has not begun yet
    return Ended(status, (text.splitlines() or [""])[-1]), took_s


def left(field: Field) -> list[str]:
    """Processes of ours that run on, but for a dead-man, and files that lie about."""
    found = [path.name for path in (field.folder / "tmp").iterdir()]
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            ours = str(field.folder / "state").encode() in (path / "environ").read_bytes()
            if ours and path.name != str(os.getpid()) and "bascule.apply.deadman" not in command:
                found.append(command)
    return found


@pytest.fixture
def field(real_host: Field) -> Field:
    (real_host.folder / "tmp").mkdir()
    real_host.environment["TMPDIR"] = str(real_host.folder / "tmp")
    return real_host


def moments(took_s: float) -> list[float]:
    """Spread over all of its time."""
    return [took_s * (number + 0.7) / MOMENTS for number in range(MOMENTS)]


@pytest.mark.kernel
@pytest.mark.parametrize("window", [("--confirm-within", "300s"), ("--no-confirm",)])
def test_apply_is_interrupted(field: Field, window: tuple[str, ...]) -> None:
    site, before = field.site(ONE_NIC), seen(field)
    words = ("apply", site, "--yes", *window)
    _, took_s = interrupted(field, None, *words)
    after = seen(field)
    assert field.bascule("undo", "--yes").returncode == 0 and same(before, seen(field))
    for after_s in moments(took_s):
        ended, _ = interrupted(field, after_s, *words)
        now, told = seen(field), (after_s, ended)
        if same(before, now):
            assert ended.status in {IN_IMPORT, 130, 75}, told
            assert ended.status == IN_IMPORT or NOTHING in ended.last or GONE in ended.last, told
        else:
            assert same(after, now), told
            assert ended.status == 0 or (ended.status == 130 and "; change " in ended.last), told
            assert field.bascule("undo", "--yes").returncode == 0 and same(before, seen(field)), told
        assert left(field) == [], told


@pytest.mark.kernel
def test_rehearse_is_interrupted(field: Field) -> None:
    site, before = field.site(ONE_NIC), seen(field)
    _, took_s = interrupted(field, None, "rehearse", site)
    for after_s in moments(took_s):
        ended, _ = interrupted(field, after_s, "rehearse", site)
        assert ended.status in {0, IN_IMPORT} or (ended.status, ended.last) == (130, NOTHING), ended
        assert same(before, seen(field)) and left(field) == [], (after_s, ended)


@pytest.mark.kernel
def test_confirm_and_undo_are_interrupted(field: Field) -> None:
    """What was not confirmed goes on waiting, and says so; a way back that has begun is gone to its end."""
    site, before = field.site(ONE_NIC), seen(field)
    took_s = 0.5
    for number in range(MOMENTS):
        assert field.bascule("apply", site, "--yes", "--confirm-within", "300s").returncode == 0
        after, after_s = seen(field), took_s * number / MOMENTS
        ended, took = interrupted(field, after_s if number else None, "confirm")
        took_s = took if not number else took_s
        if json.loads(field.bascule("status", "--json").stdout)["status"] == "applied":
            assert ended.status == IN_IMPORT or (ended.status == 130 and WAITS in ended.last), ended
        else:
            assert ended.status == 0 or "is confirmed; 'bascule undo' takes it back" in ended.last, ended
        assert same(after, seen(field)) and left(field) == [], ended
        ended, _ = interrupted(field, after_s, "undo", "--yes")
        if same(before, seen(field)):
            assert ended.status == 0 or "is taken back" in ended.last, ended
        else:
            assert same(after, seen(field)) and ended.status in {130, IN_IMPORT}, ended
            assert field.bascule("undo", "--yes").returncode == 0 and same(before, seen(field)), ended
        assert left(field) == [], ended


MADE_AND_NOT_SAID = """\
import bascule.cli.verbs.apply as verb
def interrupted(*_, **__):
    raise KeyboardInterrupt
verb._finish = interrupted
from bascule.cli import program
program()
"""


@pytest.mark.parametrize(("window", "words"), [("--confirm-within=300s", WAITS), ("--no-confirm", "is confirmed")])
def test_a_change_that_is_made_and_not_yet_said_is_told(field: Field, window: str, words: str) -> None:
    """'nothing is left behind' was said of a change that stood."""
    command = (sys.executable, "-c", MADE_AND_NOT_SAID, "apply", field.site(ONE_NIC), "--yes", window)
    with field.host.entered(), called("kvm"):
        done = subprocess.run(command, env=field.env(), capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1].startswith("interrupted; change 1 ") and words in done.stderr, done.stderr
    assert field.bascule("undo", "--yes").returncode == 0
