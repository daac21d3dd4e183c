"""The power is cut at every write of an apply, of its way back, of the boot that finishes it: old files or kept ones.

Nothing survives such a cut but the disk: no dead-man, no kernel state. What is asked at each point is whether the next
boot has what takes the files back, or need not have it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.apply import at_boot, commit, probes, transaction
from bascule.apply import state_directory as place
from bascule.apply.prepare import prepare
from bascule.apply.rollback import boot_unit, files
from bascule.apply.rollback import watchdog as guard
from bascule.apply.rollback.checkpoint import Folder, Status, newest
from bascule.apply.transaction import ApplyOptions
from bascule.errors import BasculeError
from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.persist.writer import WritePlan
from bascule.persist.writer import commit as commit_files
from bascule.plan.change import Note
from bascule.plan.diff import diff
from bascule.plan.file_change import FileChange
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.system.disk.aside import ASIDE
from tests.apply.crash import REAL_WRITE, Faults, NoGuard, in_child
from tests.apply.hosts import ADDITION, Bed, environment, furnish
from tests.lab import Lab

SOAK = bool(os.environ.get("BASCULE_SOAK"))
BEFORE = {"gone": "gone\n", "same": "same\n", "shared": "of two\n", "text": "before\n"}
AFTER = {"new": "new\n", "same": "same\n", "shared": "of one\n", "text": "after\n"}
FOREIGN = {"gone", "shared"}


class Writer:
    """As a configuration system has one: files of ours that change, come and go; foreign ones that go aside."""

    notes: Sequence[Note] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def changes(self, wanted: HostState) -> Sequence[FileChange]:
        return [
            FileChange(
                path=str(self.folder / name),
                action="move" if name in FOREIGN else "write" if name in AFTER else "remove",
                old=BEFORE.get(name),
                new=AFTER.get(name),
                place=str(self.folder.parent / ASIDE.removeprefix("etc/") / name),
            )
            for name in {**BEFORE, **AFTER}
            if BEFORE.get(name) != AFTER.get(name)
        ]

    def write(self, wanted: HostState) -> Sequence[str]:
        changes = self.changes(wanted)
        commit_files(WritePlan(root=self.folder, changes=tuple(changes)))
        return [one.path for one in changes]


class Machine:
    """A host where the kernel has all of the site already, so that only files are written; its /etc, its units."""

    def __init__(self, bed: Bed, top: Path) -> None:
        self.bed, self.etc, self.units = bed, top / "etc/network", top / "etc/systemd/system"
        self.aside = top / ASIDE
        self.site: Site = workflow.load(str(bed.site))
        self.boots = 0
        self.renew()

    def renew(self) -> None:
        """The files as before; nothing of an earlier change."""
        for folder in (self.etc, self.aside.parent, self.bed.state):
            shutil.rmtree(folder, ignore_errors=True)
        self.etc.mkdir(parents=True)
        self.units.mkdir(parents=True, exist_ok=True)
        for name, text in BEFORE.items():
            (self.etc / name).write_text(text)

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in sorted(self.etc.iterdir()) if not _is_half(path)}

    def left(self) -> list[Path]:
        """What is left of the units, whole."""
        return [p for p in self.units.rglob("*") if (p.is_symlink() or not p.is_dir()) and not _is_half(p)]

    def apply(self, window_s: float | None = 60.0) -> None:
        transaction.apply(
            prepare(self.site, self.site.hosts["h"]), ApplyOptions(window_s=window_s, writer=Writer(self.etc))
        )

    def runs(self) -> list[Path]:
        """What the next boot would run. A unit without its link is nobody's; the next change writes over it."""
        return [path for path in self.left() if path.is_symlink()]

    def child(self, work: Callable[[], object], at: int | None = None) -> tuple[int, int]:
        """Do it in a process whose power is cut at a point: how it ended, and how many points it has."""
        read, write = os.pipe()

        def all_of_it() -> None:
            with self.bed.host.entered():
                NoGuard.install()
                mock.patch("bascule.system.boot.boot_id", lambda: f"boot-{self.boots}").start()
                faults = Faults(at)
                faults.install()
                result = work()
                REAL_WRITE(write, str(faults.count).encode())
                raise SystemExit(result or 0)

        status = in_child(all_of_it)
        os.close(write)
        count = int(os.read(read, 64) or 0)
        os.close(read)
        return status, count

    def boot(self, at: int | None = None, what: str = "files") -> tuple[int, int]:
        """The next boot runs the unit, if there is one."""
        unit = self.units / (boot_unit.EARLY if what == "files" else boot_unit.LATE)
        link = self.units / f"{boot_unit.WANTED_BY[unit.name]}.wants" / unit.name
        if not (link.is_symlink() and unit.exists()):
            return 0, 0
        self.boots += 1
        folder, lock = unit.read_text().partition("ExecStart=")[2].split('"')[11:14:2]
        return self.child(lambda: at_boot.main([what, folder, lock]), at)

    def status(self) -> str:
        with self.bed.host.entered():
            found = newest(place.here())
        return str(found[1].status) if found else "none"


def _is_half(path: Path) -> bool:
    """What was beside its place when the power went; nobody reads it, and whoever removes the units takes it along."""
    return path.name.startswith(".")


@pytest.fixture
def machine(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(probes, "BEFORE_S", 0.05)
    bed = furnish(lab, tmp_path, ADDITION)
    bed.calm()
    bed.apply("--no-confirm")
    machine = Machine(bed, tmp_path)
    real = place.here
    for module in (transaction, commit):  # this namespace is the machine's own, and systemd starts it
        monkeypatch.setattr(module, "here", lambda: replace(real(), is_main=True))
    monkeypatch.setattr(boot_unit, "has_systemd", lambda: True)
    monkeypatch.setattr(guard, "has_systemd", lambda: False)
    monkeypatch.setattr(boot_unit, "OWN", f"{tmp_path}/etc/")
    monkeypatch.setattr(boot_unit, "UNITS", machine.units)
    monkeypatch.setattr("bascule.providers.boot_rules.effects.UNITS", str(machine.units))
    monkeypatch.setattr("bascule.providers.dnsmasq.effects.UNITS", str(machine.units))
    monkeypatch.setattr(boot_unit, "MARK", tmp_path / "run/bascule/boot-guard")
    with environment(bed.env):
        yield machine


def assert_old_or_kept(machine: Machine, what: str) -> None:
    """After the boot: the files of before, unless the change was confirmed; and nothing of ours left."""
    confirmed = machine.status() == "confirmed"
    assert machine.files() == (AFTER if confirmed else BEFORE), what
    kept = {path.name: path.read_text() for path in machine.aside.glob("*")}
    assert kept == ({name: BEFORE[name] for name in FOREIGN} if confirmed else {}), what
    assert machine.runs() == [], what
    assert machine.status() in {"confirmed", "taken-back", "none"}, what


@pytest.mark.parametrize("window_s", [60.0, None])
def test_the_power_is_cut_at_every_write_of_apply(machine: Machine, window_s: float | None) -> None:
    assert machine.child(lambda: machine.apply(window_s))[0] == 0  # makes the folders
    machine.boot()
    machine.renew()
    status, total = machine.child(lambda: machine.apply(window_s))
    assert (status, total > 50) == (0, True)
    assert machine.files() == AFTER
    assert bool(machine.left()) is (window_s is not None)
    ends = set()
    for at in range(1, total + 1, 1 if SOAK or window_s else 3):
        machine.boot()
        machine.renew()
        assert machine.child(lambda: machine.apply(window_s), at)[0] == -9, at
        if machine.files() != BEFORE and machine.status() != "confirmed":
            assert machine.runs(), at  # the unit is there before the first file
        assert machine.boot()[0] == 0, at
        if machine.status() == "armed":  # nothing was changed; the next apply or undo closes it
            assert machine.files() == BEFORE
            continue
        assert_old_or_kept(machine, f"apply killed at point {at} of {total}")
        ends.add(machine.status())
    assert ends >= ({"taken-back", "none"} if window_s else {"taken-back", "none", "confirmed"})


@pytest.mark.parametrize("verb", ["confirm", "undo", "undo of a confirmed one"])
def test_the_power_is_cut_at_every_write_of_a_decision(machine: Machine, verb: str) -> None:
    def decided() -> None:
        commit.confirm() if verb == "confirm" else commit.take_back()

    def made() -> None:
        machine.boot()
        machine.renew()
        assert machine.child(lambda: machine.apply(None if verb.endswith("one") else 60.0))[0] == 0

    made()
    status, total = machine.child(decided)
    assert (status, total > 5) == (0, True)
    assert_old_or_kept(machine, f"{verb} without a crash")
    assert machine.left() == []
    for at in range(1, total + 1):
        made()
        assert machine.child(decided, at)[0] == -9
        assert machine.boot()[0] == 0, at
        assert_old_or_kept(machine, f"{verb} killed at point {at} of {total}")


def test_the_power_is_cut_at_every_write_of_the_boot_after(machine: Machine) -> None:
    def made() -> None:
        machine.renew()
        assert machine.child(machine.apply)[0] == 0
        assert machine.files() == AFTER

    made()
    status, total = machine.boot()
    assert (status, total > 10) == (0, True)
    assert_old_or_kept(machine, "a boot without a crash")
    assert machine.left() == []
    for at in range(1, total + 1):
        made()
        assert machine.boot(at)[0] == -9
        assert machine.boot()[0] == 0
        assert_old_or_kept(machine, f"boot killed at point {at} of {total}")


def test_a_file_that_cannot_be_put_back_is_tried_again_and_no_other(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others did to the files that are back already, after a boot that could not finish, is theirs."""
    assert machine.child(machine.apply)[0] == 0
    real = files.restore

    def full(files: Any) -> Any:
        done, _, kept = real([file for file in files if not file.path.endswith("text")])
        return done, (f"{machine.etc}/text: No space left on device",), kept

    monkeypatch.setattr(at_boot, "restore", full)
    assert machine.boot()[0] == 1
    assert machine.status() == "failed"
    assert machine.left()
    assert machine.files() == {**BEFORE, "text": AFTER["text"]}
    (machine.etc / "gone").write_text("by hand\n")
    monkeypatch.setattr(at_boot, "restore", real)
    assert machine.boot()[0] == 0
    assert machine.status() == "taken-back"
    assert machine.files() == {**BEFORE, "gone": "by hand\n"}
    assert machine.left() == []


def test_the_units_of_networks_go_back_as_files_and_the_rest_later(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd's own part is played by a recorder here."""
    folder = machine.bed.state / "networks"
    said = machine.bed.state.parent / "said"  # by a process of its own

    def record(argv: Sequence[str], **_: Any) -> list[str]:
        with said.open("a") as file:
            file.write(" ".join(argv) + "\n")
        return []

    monkeypatch.setattr("bascule.providers.files.effects.run", record)
    monkeypatch.setattr(at_boot, "tell", lambda *argv: record(argv))
    before = DnsmasqState(
        folder=str(folder), units=str(machine.units), servers={"old": Server(script="old script\n", unit="old unit\n")}
    )
    after = {"fresh": Server(script="new script\n", unit="new unit\n")}
    after["old"] = Server(script="another script\n", unit="old unit\n")
    wanted = replace(before, servers=after)
    wants = machine.units / "multi-user.target.wants"
    folder.mkdir(parents=True)
    wants.mkdir(exist_ok=True)
    (folder / "old.sh").write_text("old script\n")
    (machine.units / "bascule-network-old.service").write_text("old unit\n")
    (wants / "bascule-network-old.service").symlink_to(machine.units / "bascule-network-old.service")

    def apply() -> None:
        prepared = prepare(machine.site, machine.site.hosts["h"])
        monkeypatch.setattr(transaction, "again", lambda prepared, _: prepared)
        here = replace(prepared.observed, parts={"dnsmasq": before})
        there = replace(prepared.wanted, parts={"dnsmasq": wanted})
        prepared = replace(prepared, observed=here, wanted=there, plan=diff(here, there))
        transaction.apply(prepared, ApplyOptions(writer=Writer(machine.etc)))
        fresh = wants / "bascule-network-fresh.service"  # systemd would have made it
        fresh.symlink_to(machine.units / fresh.name)

    assert machine.child(apply)[0] == 0
    assert {path.name for path in machine.left()} >= {boot_unit.EARLY, boot_unit.LATE}
    machine.boots += 1
    assert machine.boot(what="rest") == (1, mock.ANY)  # the files come first
    assert machine.boot()[0] == 0
    assert machine.files() == BEFORE
    assert (folder / "old.sh").read_text() == "old script\n"
    assert not (folder / "fresh.sh").exists()
    names = {path.name for path in machine.left()}
    assert names == {"bascule-network-old.service", boot_unit.EARLY, boot_unit.LATE}
    assert (wants / "bascule-network-old.service").is_symlink()
    assert not (wants / "bascule-network-fresh.service").is_symlink()
    assert said.read_text().splitlines()[-1] == "systemctl daemon-reload"
    assert machine.status() == "taking-back"
    said_so = " ".join(machine.bed.run("status").stdout.split())
    assert "the boot after it has put its files back" in said_so
    assert "until" not in said_so, "its time counted from another boot"
    machine.bed.lab.ip(machine.bed.host, "link add vn-fresh type bridge")  # its unit did, at a boot that came before
    assert machine.boot(what="rest")[0] == 0
    assert machine.status() == "taken-back"
    assert "vn-fresh" not in machine.bed.raw()["links"]
    assert {path.name for path in machine.left()} == {"bascule-network-old.service"}


def test_a_parameter_that_udev_set_by_the_new_file_goes_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NIC that became a port, and must hear routers again."""
    key, value = "net/ipv6/conf/eth4/accept_ra", Path("/proc/sys/net/ipv6/conf/eth4/accept_ra")
    assert machine.child(machine.apply)[0] == 0
    (file,) = machine.bed.state.glob("*/checkpoints/*/checkpoint.json")
    read = Folder.read
    known = read(Folder(file.parent))
    before = replace(known.before, sysctls={**known.before.sysctls, key: "1"})
    wanted = replace(known.wanted, sysctls={**known.wanted.sysctls, key: "0"})
    monkeypatch.setattr(Folder, "read", lambda _: replace(known, before=before, wanted=wanted))
    text = machine.bed.state.parent / "60-bascule.conf"
    monkeypatch.setattr(at_boot, "PARAMETERS", text)
    for named, found in (("net/ipv6/conf/eth4/arp = 0", "0"), (f"{key} = 0", "1")):
        text.write_text(f"# a line of ours\n{named}\nnet/ipv6/conf/gone/accept_ra = 0\n")
        with machine.bed.host.entered():
            value.write_text("0")
            at_boot._set(at_boot._named(Folder(file.parent).read()))
            assert value.read_text().strip() == found


def test_a_checkpoint_that_cannot_be_read_is_said(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    assert machine.child(machine.apply)[0] == 0
    (file,) = machine.bed.state.glob("*/checkpoints/*/checkpoint.json")
    file.write_text("{")
    assert machine.boot()[0] == 1
    assert "was not taken back: " in capfd.readouterr().out
    assert machine.left()
    with machine.bed.host.entered(), pytest.raises(BasculeError):
        Folder(file.parent).read()
    last = Folder(file.parent).last()
    assert last is not None
    assert last.status is Status.APPLIED
