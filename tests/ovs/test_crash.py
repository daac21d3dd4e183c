"""kill -9 before and after each word with Open vSwitch and among the kernel's steps behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bascule import workflow
from bascule.apply import commit, deadman, probes, transaction
from bascule.apply.rollback.checkpoint import newest
from bascule.apply.state_directory import here
from bascule.providers.kernel import effects as kernel
from bascule.providers.ovs import execute as ovs
from bascule.system import openvswitch
from bascule.system.net import iproute
from tests.apply import test_crash as kills
from tests.apply.crash import Faults
from tests.apply.hosts import Bed, environment, wait_for
from tests.lab import Lab
from tests.ovs.stage import SWITCHED, rows, switched

LINES = 1 if kills.SOAK else 12  # every so many lines of ip are a point


class OvsFaults(Faults):
    """Points at the words with the database, and at some of the kernel's lines."""

    def install(self) -> None:
        mock.patch.object(ovs, "ask", self.transact).start()
        mock.patch.object(kernel, "run_batch", self.some_lines).start()

    def transact(self, path: str, parameters: list[Any]) -> Any:
        """A point before and one after each transaction that changes something."""
        changes = any(isinstance(one, dict) and one["op"] != "select" for one in parameters)
        if changes:
            self.point("transaction")
        answer = ask(path, parameters)
        if changes:
            self.point("committed")
        return answer

    def some_lines(self, tool: str, text: str, **rest: Any) -> Any:
        lines = text.splitlines(keepends=True)
        for number in range(0, len(lines), LINES):
            kernel_batch(tool, "".join(lines[number : number + LINES]), **rest)
            self.point(tool)
        return None


kernel_batch, ask = iproute.batch, openvswitch.ask


@pytest.fixture
def bed(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(probes, "BEFORE_S", 0.05)
    monkeypatch.setattr(kills, "Faults", OvsFaults)
    bed = switched(lab, tmp_path)
    bed.calm()
    kills.SITES[bed.site] = workflow.load(str(bed.site))
    with environment(bed.env):
        yield bed


def test_apply_killed_and_taken_back(bed: Bed) -> None:
    before = bed.raw()
    status, total = kills.attempt(bed, None, watched=False)
    assert status == 0
    assert rows(bed).bridges.keys() == {"ovs0", "ovs3"}
    assert kills.undo(bed)[0] == 0
    for at in range(1, total + 1):
        assert kills.attempt(bed, at, watched=False)[0] == -9, at
        if kills.state_of(bed) not in {"taken-back", "none"}:
            assert kills.undo(bed)[0] == 0, at
        kills.assert_before(bed, before, f"apply killed at point {at} of {total}")
        assert rows(bed).bridges == {}, at


def test_undo_killed_and_run_again(bed: Bed) -> None:
    before = bed.raw()
    kills.attempt(bed, None, watched=False)
    _, total = kills.undo(bed)
    for at in range(1, total + 1, 1 if kills.SOAK else 2):
        kills.attempt(bed, None, watched=False)
        assert kills.undo(bed, at)[0] == -9
        if kills.state_of(bed) != "taken-back":
            assert kills.undo(bed)[0] == 0
        kills.assert_before(bed, before, f"undo killed at point {at} of {total}")
        assert rows(bed).bridges == {}, at


def test_the_deadman_takes_a_half_made_switch_back(bed: Bed) -> None:
    before = bed.raw()
    _, total = kills.attempt(bed, None, watched=True)
    assert kills.undo(bed)[0] == 0
    for at in range(2, total + 1, 4):
        assert kills.attempt(bed, at, watched=True)[0] == -9, at
        if wait_for(lambda: kills.state_of(bed), kills.QUIET.__contains__, 5.0) == "applied":
            assert kills.undo(bed)[0] == 0
        kills.assert_before(bed, before, f"apply killed at point {at} of {total}, dead-man")
        assert rows(bed).bridges == {}, at


LINUX = SWITCHED.replace("kind: openvswitch, datapath: netdev, ", "")  # of the same names: each moves under a guest


@pytest.mark.parametrize(("first", "then"), [(LINUX, SWITCHED), (SWITCHED, LINUX)], ids=["to-switch", "to-bridge"])
def test_a_migration_killed_at_each_moment(bed: Bed, first: str, then: str) -> None:
    """Each moment is another one's: undo, the dead-man, a confirmation that is killed. The guest is where it was."""

    def moved(at: int | None, *, watched: bool) -> tuple[int, int]:
        before = state_number(bed)
        status, total = kills.attempt(bed, at, watched=watched)
        assert status == (-9 if at else 0), at
        if watched and at:
            wait_for(lambda: kills.state_of(bed), (kills.QUIET | {"confirmed"}).__contains__, 5.0)
        if kills.state_of(bed) not in {"taken-back", "confirmed"} and state_number(bed) != before:
            assert kills.undo(bed)[0] == 0, at
        return status, total

    use(bed, first)
    assert kills.attempt(bed, None, watched=False, window_s=None)[0] == 0
    before, found = bed.calm(), rows(bed)
    use(bed, then)
    _, total = moved(None, watched=False)
    for at in range(1, total + 1, 1 if kills.SOAK else 2):
        moved(at, watched=at % 4 == 1)
        kills.assert_before(bed, before, f"migration killed at point {at} of {total}")
        assert (rows(bed).bridges, rows(bed).ports) == (found.bridges, found.ports), at
    kills.attempt(bed, None, watched=False)
    after, made = bed.raw(), rows(bed)
    for moment in (1, 4, 7, None):
        if kills.state_of(bed) != "confirmed":
            kills.ended(bed, moment, commit.confirm)
    assert kills.state_of(bed) == "confirmed"
    kills.assert_before(bed, after, "confirmed")
    assert (rows(bed).bridges, rows(bed).ports) == (made.bridges, made.ports)


def use(bed: Bed, text: str) -> None:
    bed.site.write_text(text)
    kills.SITES[bed.site] = workflow.load(str(bed.site))


def state_number(bed: Bed) -> int:
    """The number of the newest change."""
    with bed.host.entered():
        found = newest(here())
    return found[0].number if found else 0


def test_the_dead_man_waits_as_long_as_the_change_waits_for_the_switch(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little time is left for all the rest, a slow ovs-vswitchd is not taken for a dead apply."""
    monkeypatch.setattr(transaction, "GUARD_S", 0.0)
    monkeypatch.setattr(deadman, "STUCK_S", 0.0)
    assert kills.attempt(bed, None, watched=True, window_s=None)[0] == 0
    assert kills.state_of(bed) == "confirmed"
    assert rows(bed).bridges.keys() == {"ovs0", "ovs3"}
