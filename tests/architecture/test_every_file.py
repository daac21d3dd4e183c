"""Files and units are what the state says after each plan: none of ours is left, and none of what is wanted is missing.

The plans are those from one field of test_every_part.py to the other; what they write and remove is done to names.
"""

from __future__ import annotations

import pytest

from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.providers.files import SYMLINK
from bascule.providers.registry import PROVIDERS
from tests.architecture.test_every_part import BEFORE, REST, STATE

ELSEWHERE = ("BootRules.units", "BootRules.file", "BootFlows.units", "BootFlows.file")  # where they stand never changes
PAIRS = [(place, *x) for place, one in REST if place not in ELSEWHERE for x in ((STATE, one), (one, STATE))]
PAIRS += [("all", BEFORE, STATE), ("nothing", STATE, BEFORE)]
Files = dict[str, tuple[str, int]]


def files_of(state: HostState) -> tuple[Files, set[str]]:
    """The files, and the units that are started with the machine."""
    found = {path: told for one in PROVIDERS for path, told in one.files(state).items()}
    plain = {path: told for path, told in found.items() if told[1] != SYMLINK}
    return plain, {path.rpartition("/")[2] for path in found.keys() - plain.keys()}


def after(plan: Plan, files: Files, units: set[str]) -> tuple[Files, set[str]]:
    """What a plan makes of them."""
    files, units = dict(files), set(units)
    unread = False  # whether systemd knows an older text of a unit
    for command in (command for change in plan.changes for command in change.commands):
        match command.tool, *command.words:
            case "install", "-D", "-m", mode, _, path:
                assert command.stdin is not None
                files[path] = (command.stdin, int(mode, 8))
                unread = unread or path.endswith(".service")
            case "rm", "-f", *paths:
                for path in paths:
                    files.pop(path, None)
                    unread = unread or path.endswith(".service")
            case "systemctl", "daemon-reload":
                unread = False
            case "systemctl", "enable", unit:
                assert not unread
                units.add(unit)
            case "systemctl", "disable", *_, unit:
                units.discard(unit)
    assert not unread
    return files, units


@pytest.mark.parametrize(("place", "old", "new"), PAIRS, ids=[f"{x[0]}-{x[1] is STATE}" for x in PAIRS])
def test_files_are_as_the_state_says(place: str, old: HostState, new: HostState) -> None:
    files, units = after(diff(old, new), *files_of(old))
    files = {path: told for path, told in files.items() if not path.endswith("guest.json")}
    assert (files, units) == files_of(new), place


@pytest.mark.parametrize(("place", "old", "new"), PAIRS, ids=[f"{x[0]}-{x[1] is STATE}" for x in PAIRS])
def test_what_writes_a_file_is_known_to_outlive_a_restart(place: str, old: HostState, new: HostState) -> None:
    """Else nobody would take it back when the machine starts before the change was confirmed."""
    for one in PROVIDERS:
        assert one.lasts(old, new) or one.files(old) == one.files(new), (place, one.name)


def test_there_are_files_of_each_kind() -> None:
    files, units = files_of(STATE)
    assert {path.rpartition(".")[2] for path in files} >= {"service", "rules", "sh"}
    assert units
