"""What bounds the tests in machines: a limit that follows the machine, and the managers that take turns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.vm import test_reboot
from tests.vm.lab import machine
from tests.vm.lab.kernel import Kernel

CORE = Kernel(version="6.1", image=Path("vmlinuz"), root=Path("/"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A machine whose bare boot takes ``boot_s``, at the time ``now``."""
    fake = SimpleNamespace(now=0.0, boot_s=1.0)
    monkeypatch.setattr(machine, "bare_boot_s", lambda core: fake.boot_s)
    monkeypatch.setattr("time.monotonic", lambda: fake.now)
    yield fake
    monkeypatch.undo()


def test_who_has_become_slower_has_longer(clock: SimpleNamespace) -> None:
    patience = machine.Patience(CORE, 10)
    clock.now = 9.0
    assert patience.left_s == 1.0
    clock.now, clock.boot_s = 11.0, 3.0
    assert patience.left_s == 30.0 - 11.0
    clock.now, clock.boot_s = 31.0, 2.0
    assert patience.left_s == 0.0
    assert str(patience) == "30 s, as long as 10 bare boots (one took 1.0 s at the start, 3.0 s at the end)"


def test_a_limit_that_is_hit_says_why(clock: SimpleNamespace, tmp_path: Path) -> None:
    patience = machine.Patience(CORE, 10)
    log = tmp_path / "console"
    log.write_text("its last words\n")
    clock.now = 10.0
    with pytest.raises(TimeoutError, match=r"it did not end within 10 s, as long as 10 bare boots .*\n.*last words"):
        machine.wait(lambda: False, patience, "it did not end", log)


@pytest.mark.parametrize(("then", "hung"), [("exec sleep 60", True), ("while :; do :; done", False)])
def test_a_boot_that_waits_for_its_disk_for_ever_is_told_from_a_slow_one(
    then: str, hung: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "bare_boot_s", lambda core: 0.3)
    monkeypatch.setattr(machine, "IDLE_S", 1.0)
    log = tmp_path / "console"
    log.write_text("INFO: task busybox:61 blocked for more than 120 seconds.\n")  # an earlier boot, which went on
    words = f"echo 'INFO: task busybox:70 blocked for more than 120 seconds.' >>{log}; exec sh -c '{then}'"
    with pytest.raises(machine.Hung if hung else TimeoutError, match="busybox:70"):
        machine.run(["sh", "-c", words], machine.Patience(CORE, 10), log=log)


def test_managers_take_turns_in_continuous_integration_only(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {"networkd", "NetworkManager", "netplan", "ifupdown"}
    assert {name for names in test_reboot.TURNS for name in names} == every
    monkeypatch.delenv("CI", raising=False)
    assert set(test_reboot.turn()) == every
    monkeypatch.setenv("CI", "true")
    for digit, names in (("0", ("networkd", "ifupdown")), ("f", ("NetworkManager", "netplan"))):
        commit = SimpleNamespace(stdout=f"4b825dc642cb6eb9a060e54bf8d69288fbee490{digit}\n")
        monkeypatch.setattr("subprocess.run", lambda *_, commit=commit, **__: commit)
        assert test_reboot.turn() == names
