"""kill -9 at every point of an apply, of the way back, of the dead-man: the host ends as before or as asked for."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bascule import workflow
from bascule.apply import commit, probes
from bascule.apply.prepare import prepare
from bascule.apply.rollback.checkpoint import newest
from bascule.apply.rollback.watchdog import lives
from bascule.apply.state_directory import here
from bascule.apply.transaction import ApplyOptions, apply
from bascule.model.site import Site
from bascule.system.disk.lockfile import holder
from tests.apply.crash import REAL_WRITE, Faults, ForkedGuard, NoGuard, in_child
from tests.apply.hosts import Bed, difference, environment, furnish, wait_for
from tests.lab import Lab

SOAK = bool(os.environ.get("BASCULE_SOAK"))
SITES: dict[Path, Site] = {}
QUIET = {"taken-back", "none", "applied", "armed"}  # armed: nothing was changed yet, and nobody watches yet
EVERY = 1 if SOAK else 7  # of the points, each run another one in turn


def make(bed: Bed, window_s: float | None = 60.0) -> None:
    prepared = prepare(SITES[bed.site], SITES[bed.site].hosts["h"])
    apply(prepared, ApplyOptions(window_s=window_s))


def attempt(
    bed: Bed, at: int | None, *, watched: bool, window_s: float | None = 60.0, guard_at: int | None = None
) -> tuple[int, int]:
    """An apply that is killed at a point: how it ended, and how many points it has."""
    read, write = os.pipe()

    def work() -> None:
        with bed.host.entered():
            if watched:
                ForkedGuard.install(lambda: Faults(guard_at).install() if guard_at else None)
            else:
                NoGuard.install()
            faults = Faults(at)
            faults.install()
            make(bed, window_s)
            counted(write, faults.count)

    status = in_child(work)
    os.close(write)
    count = int(os.read(read, 64) or 0)
    os.close(read)
    return status, count


def counted(fd: int, count: int) -> None:
    REAL_WRITE(fd, str(count).encode())


def undo(bed: Bed, at: int | None = None) -> tuple[int, int]:
    """An undo that may be killed at a point."""
    return ended(bed, at, lambda: commit.take_back().back.ok)


def ended(bed: Bed, at: int | None, end: Callable[[], object]) -> tuple[int, int]:
    """An end of a change that may be killed at a point: how it went, and how many points it has."""
    read, write = os.pipe()

    def work() -> None:
        with bed.host.entered():
            faults = Faults(at)
            faults.install()
            done = end()
            counted(write, faults.count)
            raise SystemExit(0 if done else 1)

    status = in_child(work)
    os.close(write)
    count = int(os.read(read, 64) or 0)
    os.close(read)
    return status, count


def state_of(bed: Bed) -> str:
    with bed.host.entered():
        found = newest(here())
    return str(found[1].status) if found else "none"


@pytest.fixture
def bed(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(probes, "BEFORE_S", 0.05)  # nobody here is slow to answer
    bed = furnish(lab, tmp_path)
    bed.calm()
    SITES[bed.site] = workflow.load(str(bed.site))  # here, so that the forked processes need not import its reader
    with environment(bed.env):
        attempt(bed, None, watched=False)  # makes the folders: the later ones have the same points
        undo(bed)
        yield bed


def assert_before(bed: Bed, before: dict[str, Any], what: str) -> None:
    left = wait_for(lambda: difference(before, bed.raw()), lambda found: not found, 3.0)
    assert not left, (what, left)


def points(total: int, turn: int) -> list[int]:
    return list(range(1 + turn % EVERY, total + 1, EVERY))


def test_apply_killed_and_nobody_watches(bed: Bed) -> None:
    before = bed.raw()
    status, total = attempt(bed, None, watched=False)
    assert (status, total > 40) == (0, True)
    after = bed.raw()
    assert difference(before, after)
    assert undo(bed)[0] == 0
    assert_before(bed, before, "undo without a crash")
    for at in points(total, 0):
        status, _ = attempt(bed, at, watched=False)
        assert status == -9, (at, status)
        settled = state_of(bed)
        if settled not in {"taken-back", "none"}:
            assert undo(bed)[0] == 0, at
        assert_before(bed, before, f"apply killed at point {at} of {total}, undo")


def test_apply_killed_and_the_deadman_takes_it_back(bed: Bed) -> None:
    before = bed.raw()
    _, total = attempt(bed, None, watched=True)
    assert undo(bed)[0] == 0
    for at in points(total, 3):
        status, _ = attempt(bed, at, watched=True)
        assert status == -9, (at, status)
        settled = wait_for(lambda: state_of(bed), QUIET.__contains__, 5.0)
        assert settled in QUIET, (at, settled)
        if settled == "applied":  # killed after the change was complete: it waits for its confirmation, as it should
            assert undo(bed)[0] == 0
        assert_before(bed, before, f"apply killed at point {at} of {total}, dead-man")


def test_undo_killed_and_run_again(bed: Bed) -> None:
    before = bed.raw()
    attempt(bed, None, watched=False)
    _, total = undo(bed)
    assert total > 20
    for at in points(total, 5):
        attempt(bed, None, watched=False)
        assert undo(bed, at)[0] == -9
        if state_of(bed) != "taken-back":
            assert undo(bed)[0] == 0
        assert_before(bed, before, f"undo killed at point {at} of {total}")


def test_both_killed_then_finished(bed: Bed) -> None:
    """The apply is killed, then the way back from its half-made state is killed as well, then run again."""
    before = bed.raw()
    _, total = attempt(bed, None, watched=False)
    undo(bed)
    for at in range(20, total, 1 if SOAK else 11):
        attempt(bed, at, watched=False)
        if state_of(bed) in {"taken-back", "none"}:
            continue
        undo(bed, 3 + at % 17)
        if state_of(bed) != "taken-back":
            assert undo(bed)[0] == 0
        assert_before(bed, before, f"apply killed at {at}, undo at {3 + at % 17}")


def test_a_change_without_confirmation_is_watched_while_it_is_made(bed: Bed) -> None:
    before = bed.raw()
    _, total = attempt(bed, None, watched=True, window_s=None)
    assert state_of(bed) == "confirmed"
    assert undo(bed)[0] == 0
    for at in points(total, 1) if SOAK else points(total, 1)[::3]:
        assert attempt(bed, at, watched=True, window_s=None)[0] == -9
        settled = wait_for(lambda: state_of(bed), lambda s: s in {"taken-back", "none", "confirmed"}, 5.0)
        if settled == "confirmed":
            assert undo(bed)[0] == 0
        assert_before(bed, before, f"killed at {at}")


def test_the_deadman_is_killed_at_work(bed: Bed) -> None:
    before = bed.raw()
    _, total = attempt(bed, None, watched=False)
    _, way_back = undo(bed)
    for guard_at in points(way_back, 2):
        attempt(bed, total - 4, watched=True, guard_at=guard_at)
        wait_for(lambda: state_of(bed) == "taken-back" or not is_watched(bed), bool, 5.0)
        wait_for(lambda: busy(bed), lambda held: not held, 5.0)
        if state_of(bed) != "taken-back":
            assert undo(bed)[0] == 0
        assert_before(bed, before, f"dead-man killed at its point {guard_at}")


def is_watched(bed: Bed) -> bool:
    """Whether the dead-man of the last change is there."""
    with bed.host.entered():
        found = newest(here())
    return found is not None and lives(found[1].watchdog)


def busy(bed: Bed) -> bool:
    with bed.host.entered():
        return holder(here().lock).is_alive


def test_killed_at_random_moments(bed: Bed) -> None:
    """The real command line and the real dead-man, killed by the clock."""
    before = bed.raw()
    chance = random.Random(3)
    ends = []
    for _ in range(40 if SOAK else 4):
        process = bed.start("apply", str(bed.site), "--yes")
        time.sleep(chance.uniform(0.3, 2.5))
        process.kill()
        process.communicate()
        settled = wait_for(lambda: state_of(bed), QUIET.__contains__, 10.0)
        assert settled in QUIET
        ends.append(settled)
        if settled == "applied":
            assert bed.run("undo").returncode == 0
        assert_before(bed, before, "killed at a random moment")
