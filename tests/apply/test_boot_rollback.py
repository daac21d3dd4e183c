"""A loss of power inside the window: the next boot takes back what nobody confirmed, before anybody reads it.

A machine is played here: a network and processes of its own, so that its first process is ours and the network is the
machine's; an /etc of its own; a boot id of its own. Its power is cut by the end of that first process, which takes
all others with it at once. What systemd itself does with the units is in tests/vm.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bascule.apply.rollback import boot_unit
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.apply.rollback.files import FileBackup
from bascule.apply.state_directory import StateDirectory
from bascule.model.state import HostState
from bascule.providers.libvirt.state import LibvirtState
from bascule.system.disk import mounts
from tests.apply.hosts import ADDITION, Bed, difference, furnish
from tests.lab import Lab, called

BASCULE = f"{sys.executable} -m bascule"
NEEDED = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "alternatives", "iproute2", "localtime", "os-release")
SITE = ADDITION.replace("  h:\n", "  h:\n    persist: networkd\n")


class Machine:
    """A host with systemd, or without it, whose power may be cut."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.boots = 0
        self.top = bed.state.parent
        self.etc = self.top / "etc"
        self.etc.mkdir()
        for name in NEEDED:
            there = Path("/etc", name)
            if there.is_dir():
                shutil.copytree(there, self.etc / name, symlinks=True)
            elif there.exists():
                shutil.copy(there, self.etc / name)
        (self.etc / "systemd/network").mkdir(parents=True)
        self.units = self.etc / "systemd/system"
        self.restart()

    def restart(self) -> None:
        """Another boot, by its id."""
        self.boots += 1
        self.boot_id = self.top / f"boot-{self.boots}"
        self.boot_id.write_text(f"{self.boots:08}-0000-4000-8000-000000000000\n")

    def run(self, script: str, *, systemd: bool = True) -> subprocess.CompletedProcess[str]:
        """Do this, and lose the power."""
        before = [
            f"mount --bind {self.etc} /etc",
            "mount -t tmpfs none /run",
            f"mkdir -p /run/{'systemd/system' if systemd else 'init'}",
            f"mount --bind {self.boot_id} /proc/sys/kernel/random/boot_id",
        ]
        with self.bed.host.entered(), called("h"):
            return subprocess.run(
                ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private", "sh", "-c",
                 " && ".join([*before, f"{{ {script}\n}}"])),
                capture_output=True, text=True, env={**os.environ, **self.bed.env}, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def started(self) -> str:
        """What systemd runs first at the next boot; empty where it has nothing of ours."""
        link = self.units / "sysinit.target.wants" / boot_unit.EARLY
        if not link.is_symlink():
            return ""
        assert str(link.readlink()) == f"/etc/systemd/system/{boot_unit.EARLY}"
        lines = (self.units / boot_unit.EARLY).read_text().splitlines()
        said = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith(("After=", "Before=")))
        given = [line.partition("=")[2] for line in lines if line.startswith("Environment=")]
        return f"env -i {' '.join(given)} {said['ExecStart']}"

    def files(self) -> Mapping[str, str]:
        """All of /etc."""
        return {str(p.relative_to(self.etc)): p.read_text() for p in self.etc.rglob("*") if _is_ours(p)}


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.parts[-2] in {"network", "system", "sysctl.d", "sysinit.target.wants"}


@pytest.fixture
def machine(lab: Lab, tmp_path: Path) -> Iterator[Machine]:
    if not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) is not here")
    yield Machine(furnish(lab, tmp_path, SITE))


def apply(machine: Machine, *words: str) -> str:
    return f"{BASCULE} apply {machine.bed.site} --yes {' '.join(words)}"


def test_the_boot_after_a_loss_of_power_takes_it_back(machine: Machine) -> None:
    machine.bed.site.write_text(SITE.replace("    bridges:\n      br3: {uplink: eth4}\n", ""))
    assert machine.run(apply(machine, "--no-confirm")).returncode == 0
    before = machine.files()
    assert before
    machine.bed.site.write_text(SITE)
    done = machine.run(apply(machine, "--confirm-within", "600s"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: a loss of power" not in done.stderr
    changed = machine.files()
    assert "systemd/network/10-br3.netdev" in changed
    assert "systemd/system/bascule-boot.service" in changed
    assert "systemd/system/bascule-boot-rest.service" not in changed  # nothing but files is lasting here

    machine.restart()
    boot = machine.run(machine.started())
    assert boot.returncode == 0, boot.stdout + boot.stderr
    assert "change 2 is taken-back" in boot.stdout
    assert machine.files() == before
    assert machine.started() == ""
    status = machine.run(f"{BASCULE} status")
    assert status.returncode == 0, status.stdout
    assert "no change is pending; change 2 was taken back at " in status.stdout
    assert "by the boot after it; change 1 is in effect" in " ".join(status.stdout.split())
    confirm = machine.run(f"{BASCULE} confirm")
    assert confirm.returncode == 1
    assert "nothing waits for a confirmation: change 2 was taken back by the boot after it" in confirm.stderr
    assert "'bascule apply' makes it again" in confirm.stderr


def test_a_checkpoint_that_was_moved_is_said_and_found_by_a_later_boot(machine: Machine) -> None:
    before = machine.files()
    assert machine.run(apply(machine, "--confirm-within", "600s")).returncode == 0
    changed, command = machine.files(), machine.started()
    moved = machine.bed.state.rename(machine.top / "moved")
    machine.restart()
    boot = machine.run(command)
    assert boot.returncode == 1
    assert "is not there, moved or not mounted: nothing of its change is put back" in boot.stdout
    assert machine.files() == changed
    shutil.rmtree(machine.bed.state)  # the lock's folder was made anew
    moved.rename(machine.bed.state)
    machine.restart()
    assert machine.run(machine.started()).returncode == 0
    assert machine.files() == before


@pytest.mark.parametrize("end", ["confirm", "undo", "--no-confirm", "--confirm-within 1s"])
def test_no_unit_is_left_when_it_is_decided(machine: Machine, end: str) -> None:
    before = machine.files()
    if end.startswith("--"):
        # a dead-man takes a moment longer than the deadline says
        done = machine.run(f"{apply(machine, end)} && for _ in $(seq 600); do {BASCULE} status | grep -q 'taken back "
                           f"at\\|is confirmed' && break; sleep 0.2; done; {BASCULE} status")  # fmt: skip
    else:
        done = machine.run(f"{apply(machine, '--confirm-within', '600s')} && ls /etc/systemd/system && {BASCULE} {end}")
        assert "bascule-boot.service" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.started() == ""
    assert not list(machine.units.rglob("*bascule*"))
    assert (machine.files() == before) is (end not in {"confirm", "--no-confirm"})


def test_an_undo_that_loses_its_power_is_finished(machine: Machine) -> None:
    """The change is confirmed, so its unit has gone: the way back brings one of its own."""
    before = machine.files()
    killed = (
        "import os; from pathlib import Path; "
        "from bascule.apply import commit; from bascule.system.disk import durable; "
        "durable.sync_folder = lambda path: os._exit(9) if 'network' in str(path) else None; commit.take_back()"
    )
    done = machine.run(f"{apply(machine, '--no-confirm')} && {sys.executable} -c {shlex.quote(killed)}")
    assert done.returncode == 9, done.stdout + done.stderr
    assert machine.files() != before
    machine.restart()
    assert machine.run(machine.started()).returncode == 0
    assert machine.files() == before


def test_in_the_same_boot_it_leaves_the_change_alone(machine: Machine) -> None:
    """Whoever reloads systemd inside the window makes the unit known to this boot, too."""
    done = machine.run(apply(machine, "--confirm-within", "600s"))
    changed = machine.files()
    again = machine.run(machine.started())
    assert (done.returncode, again.returncode, again.stdout) == (0, 0, "")
    assert machine.files() == changed
    assert "ConditionPathExists=!/run/bascule/boot-guard" in changed["systemd/system/bascule-boot.service"]


def test_a_left_over_unit_does_nothing_and_goes(machine: Machine) -> None:
    done = machine.run(f"{apply(machine, '--confirm-within', '600s')} && cp -a /etc/systemd/system /etc/copy &&"
                       f"{BASCULE} confirm && cp -a /etc/copy/. /etc/systemd/system && rm -r /etc/copy")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    machine.restart()
    command = machine.started()
    assert command
    confirmed = {path: text for path, text in machine.files().items() if "system/" not in path}
    assert machine.run(command).returncode == 0
    assert machine.files() == confirmed


def test_where_it_cannot_be_installed_nothing_is_changed(machine: Machine) -> None:
    before, kernel = machine.files(), machine.bed.calm()
    machine.units.mkdir(exist_ok=True)
    done = machine.run(f"mount --bind {machine.units} /etc/systemd/system && mount -o remount,ro,bind "
                       f"/etc/systemd/system && {apply(machine, '--confirm-within', '600s')}")  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error[NOT-ARMED]" in done.stderr
    assert "Read-only file system; nothing was changed" in done.stderr
    assert machine.files() == before
    assert difference(kernel, machine.bed.calm()) == []
    assert "no change is pending" in machine.run(f"{BASCULE} status").stdout


def test_without_systemd_it_says_what_a_loss_of_power_means(machine: Machine) -> None:
    done = machine.run(apply(machine, "--confirm-within", "600s"), systemd=False)
    assert done.returncode == 0, done.stderr
    words = "warning: a loss of power before 'bascule confirm' would boot the new files; systemd, which would take them"
    assert words in done.stderr
    assert machine.started() == ""
    machine.restart()
    status = machine.run(f"{BASCULE} status", systemd=False)
    assert status.returncode == 1
    assert "the kernel has lost it; 'bascule undo' puts its files back" in " ".join(status.stdout.split())


def test_in_a_network_of_its_own_it_touches_no_unit(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, ADDITION)
    done = bed.apply("--confirm-within", "600s")
    assert "loss of power" not in done.stderr
    assert bed.run("undo").returncode == 0


@pytest.mark.parametrize("odd", ["plain", 'a "b" c%d\\e$f'])
def test_systemd_reads_the_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    monkeypatch.setattr(boot_unit, "UNITS", tmp_path / "units")
    monkeypatch.setattr(boot_unit, "MARK", tmp_path / "run" / "mark")
    monkeypatch.setenv("PYTHONPATH", f"/srv/{odd}")
    place = StateDirectory(tmp_path / odd / "host", tmp_path / "run", is_main=True)
    folder = Folder(place.checkpoints / "000001")
    before, wanted = (HostState(parts={"libvirt": LibvirtState(uri=uri)}) for uri in ("test:///a", "test:///b"))
    boot_unit.install(place, folder, Checkpoint(before=before, wanted=wanted))
    for name in (boot_unit.EARLY, boot_unit.LATE):
        done = subprocess.run(
            ("systemd-analyze", "verify", "--man=no", tmp_path / "units" / name), capture_output=True, text=True,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}/units:/usr/lib/systemd/system:/lib/systemd/system"},
        )  # fmt: skip
        ours = [line for line in done.stderr.splitlines() if "bascule" in line or "cycle" in line]
        assert ours == []
        assert boot_unit.is_installed(folder, name)
    other = Folder(place.checkpoints / "000002")
    boot_unit.remove(other)  # those of another change stay
    assert boot_unit.is_installed(folder)
    (tmp_path / "units" / ".bascule-boot.service.77.new").touch()  # of one who was killed while he wrote it
    boot_unit.remove(folder)
    assert not [path for path in (tmp_path / "units").rglob("*") if not path.is_dir()]


def test_a_state_that_comes_over_the_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n"
        "40 21 0:40 / /srv/a\\040b rw - nfs4 nas:/x rw\n"
        "41 21 8:1 / /srv/iscsi rw - xfs /dev/sda rw\n"
    )
    (tmp_path / "fstab").write_text("/dev/sda /srv/iscsi xfs rw,_netdev 0 0\n# old\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    monkeypatch.setattr(mounts, "FSTAB", tmp_path / "fstab")
    monkeypatch.setattr(boot_unit, "has_systemd", lambda: True)
    for state, there in (("/srv/a b/bascule", False), ("/srv/iscsi", False), ("/var/lib/bascule", True)):
        place = StateDirectory(Path(state), tmp_path, is_main=True)
        gap = boot_unit.gap(place)
        assert (gap == "") is there
        assert there or f"'{state}', which the rollback needs, is reached over the network only" in gap
        assert boot_unit.is_needed(place, _checkpoint("/etc/network/interfaces.d/bascule")) is there
    assert not boot_unit.is_needed(place, _checkpoint("/srv/image/etc/network/interfaces"))


def _checkpoint(path: str) -> Checkpoint:
    return Checkpoint(before=HostState(), wanted=HostState(), files=(FileBackup(path=path),))
