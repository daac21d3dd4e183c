"""The units that an older version had written for the boot after a loss of power still take its change back.

``states-0.1.0/unconfirmed-boot`` was recorded with version 0.1.0 on the machine of tests/apply/test_boot_rollback.py,
whose systemctl did nothing: networkd's files, a NAT network that systemd starts, and both units of the boot.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.apply.hosts import ADDITION, furnish
from tests.apply.old_states import OldState, Words
from tests.apply.test_boot_rollback import BASCULE, Machine
from tests.lab import Lab

pytestmark = pytest.mark.kernel


def test_the_units_of_the_boot_take_it_back(lab: Lab, tmp_path: Path) -> None:
    machine = Machine(furnish(lab, tmp_path, ADDITION))
    before = machine.files()
    tools, told = tmp_path / "bin", tmp_path / "told"
    tools.mkdir()
    (tools / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {told}\n')
    (tools / "systemctl").chmod(0o755)
    words = Words(machine.bed, {"PYTHON": sys.executable}, own="host")
    state = OldState(machine.bed, "unconfirmed-boot", words)
    state.load(boot_id="00000000-0000-4000-8000-000000000000")
    for path in (state.folder / "etc").rglob("*"):
        place = machine.etc / path.relative_to(state.folder / "etc")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.is_file():
            place.write_text(words.fill(path.read_text(), watcher=0, window_s=0.0))
    enabled = machine.units / "multi-user.target.wants/bascule-network-lab.service"
    enabled.parent.mkdir(exist_ok=True)
    enabled.symlink_to("/etc/systemd/system/bascule-network-lab.service")  # as `systemctl enable` had made it

    def starts(unit: str) -> str:
        text = (machine.units / unit).read_text()
        (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        return f"PATH={tools}:$PATH {command}"

    early, late = starts("bascule-boot.service"), starts("bascule-boot-rest.service")
    status = machine.run(f"{BASCULE} status")
    assert "change 1 was not confirmed before the machine was restarted; the kernel has lost it" in " ".join(
        status.stdout.split()
    )
    done = machine.run(early)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not enabled.is_symlink()  # before systemd comes to start it
    assert not (machine.units / "bascule-network-lab.service").exists()
    assert "daemon-reload" in told.read_text()
    done = machine.run(late)
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.files() == before
    assert not list(machine.bed.state.glob("host/networks/*.sh"))
    assert "change 1 was taken back" in machine.run(f"{BASCULE} status").stdout
    assert not list(machine.units.glob("**/bascule*"))
