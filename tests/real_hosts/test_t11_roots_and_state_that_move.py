"""T11: a root that is moved away before the way back, and a state directory that is relative or behind a link."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bascule.apply.rollback.files import FileBackup, restore
from bascule.system.process.programs import Program, programs
from tests.apply.hosts import journal_of, time_is_up, wait_for
from tests.lab import called
from tests.real_hosts.field import ONE_NIC, Field

pytestmark = pytest.mark.kernel

SITE = ONE_NIC.replace("  kvm:\n", "  kvm:\n    persist: networkd\n")
OLD = "[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\nGateway=192.168.1.1\n"


def at(field: Field, folder: Path, *words: str, state: str) -> subprocess.CompletedProcess[str]:
    """Run a verb from a folder."""
    with field.host.entered(), called("kvm"):
        return subprocess.run(
            (sys.executable, "-m", "bascule", *words), cwd=folder, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env={**field.env(), "BASCULE_STATE_DIR": state},
        )  # fmt: skip


def furnish(root: Path) -> Path:
    own = root / "etc/systemd/network/20-lan.network"
    own.parent.mkdir(parents=True)
    own.write_text(OLD)
    return own


def test_t11_a_root_that_was_moved_is_not_made_anew(real_host: Field) -> None:
    field, folder = real_host, real_host.folder
    own, site = furnish(folder / "r"), real_host.site(SITE)
    done = field.bascule("apply", site, "--root", str(folder / "r"), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert not own.exists()
    (folder / "r").rename(folder / "q")
    undone = field.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    assert f"is left out: {folder}/r is not there any more" in " ".join(undone.stdout.split())
    said = f"{folder}/r: is not there any more, moved or not mounted; nothing is put back for 6 files below it"
    assert said in " ".join(undone.stdout.split())
    assert "20-lan.network is as before" not in undone.stdout
    assert not (folder / "r").exists()
    assert (folder / "q/etc/systemd/network/10-br0.network").exists(), "who moved it has it as it was"
    assert "192.168.1.10/24" in field.ip("addr show eth0")


def test_t11_a_root_that_is_not_mounted(tmp_path: Path) -> None:
    """Its folder is there and empty; a folder below it that was taken away is made again."""
    root = tmp_path / "r"
    own = furnish(root)
    file = FileBackup(path=str(own), content=OLD.encode(), root=str(root), folder=str(own.parent), made="")
    own.unlink()
    own.parent.rmdir()
    assert restore([file]) == ((str(own),), (), ())
    (root / "etc").rename(tmp_path / "elsewhere")
    done, faults, kept = restore([file])
    assert (done, faults) == ((), ())
    assert kept == (f"{root}: is not there any more, moved or not mounted; nothing is put back for 1 file below it",)
    assert [*root.iterdir()] == []


def test_t11_a_relative_state_directory_says_that_it_is_one(real_host: Field) -> None:
    field, folder = real_host, real_host.folder
    site = field.site(ONE_NIC)
    (folder / "here").mkdir()
    (folder / "there").mkdir()
    done = at(field, folder / "here", "apply", site, "--yes", "--confirm-within", "10m", state="st")
    assert done.returncode == 0, done.stderr
    assert f"BASCULE_STATE_DIR is 'st', a relative path: from this folder it is {folder}/here/st" in done.stderr
    words = f"BASCULE_STATE_DIR is 'st', a relative path: from this folder it is {folder}/there/st"
    for verb in ("status", "undo", "confirm"):
        lost = at(field, folder / "there", verb, state="st")
        assert words in " ".join((lost.stdout + lost.stderr).split()), verb
    assert at(field, folder / "here", "undo", "--yes", state="st").returncode == 0


def test_t11_a_state_directory_behind_a_link(real_host: Field) -> None:
    """The dead-man goes on where the change was written; a link that leads nowhere is not 'nothing was changed'."""
    field, link, site = real_host, real_host.folder / "link", real_host.site(ONE_NIC)
    (field.folder / "disk").mkdir()
    link.symlink_to("disk")
    state = str(link / "bascule")
    assert at(field, field.folder, "apply", site, "--yes", "--confirm-within", "10m", state=state).returncode == 0
    link.unlink()
    link.symlink_to("not-mounted")
    for verb in ("status", "undo", "confirm", f"plan {site}", f"apply {site} --yes"):
        done = at(field, field.folder, *verb.split(), state=state)
        assert done.returncode == 1, verb
        assert f"error[STATE-DIR]: '{link}' is a symbolic link that leads nowhere (not-mounted)" in done.stderr
        assert not (field.folder / "not-mounted").exists()
    time_is_up(journal_of(field.folder / "disk/bascule"))
    back = wait_for(lambda: field.ip("addr show eth0"), lambda text: "192.168.1.10/24" in text)
    assert "192.168.1.10/24" in back
    link.unlink()
    link.symlink_to(link.name)
    assert "leads nowhere" in at(field, field.folder, "status", state=state).stderr


def waits(field: Field) -> Path:
    """A change that waits; its state directory."""
    done = field.bascule("apply", field.site(ONE_NIC), "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stderr
    assert "192.168.1.10/24" in field.ip("addr show br0")
    return field.folder / "state"


@contextlib.contextmanager
def held(state: Path) -> Iterator[Path]:
    """The journal of the change that waits, wherever it goes."""
    with journal_of(state).open("rb") as file:
        yield Path(f"/proc/self/fd/{file.fileno()}")


def goes_back(field: Field, state: Path) -> None:
    """The host is as before, and whoever looks into that state directory finds that it is."""
    back = wait_for(lambda: field.ip("addr show eth0"), lambda text: "192.168.1.10/24" in text)
    assert "192.168.1.10/24" in back
    journal = wait_for(
        lambda: [one.read_text() for one in state.glob("netns-*/checkpoints/000001/journal")],
        lambda texts: bool(texts) and '"taken-back"' in texts[0],
    )
    assert '"taken-back"' in journal[0]
    assert "nobody confirmed it in time" in journal[0]


def renamed(state: Path) -> Path:
    return state.rename(state.with_name("moved"))


def replaced(state: Path) -> Path:
    moved = state.rename(state.with_name("moved"))
    other = state / next(moved.glob("netns-*")).name / "checkpoints/000001"
    other.mkdir(parents=True)
    (other / "journal").write_text('{"status":"confirmed","at":1.0}\n')
    return moved


def deleted(state: Path) -> Path:
    shutil.rmtree(state)
    return state


def checkpoint_deleted(state: Path) -> Path:
    shutil.rmtree(next(state.glob("netns-*/checkpoints")))
    return state


def files_deleted(state: Path) -> Path:
    for one in state.glob("netns-*/checkpoints/000001/*"):
        one.unlink()
    return state


def only_the_lock(state: Path) -> Path:
    shutil.rmtree(state / "run")
    return state


@pytest.mark.parametrize("done", [renamed, replaced, deleted, checkpoint_deleted, files_deleted, only_the_lock])
def test_t11_a_state_directory_that_goes_while_a_change_waits(real_host: Field, done: Callable[[Path], Path]) -> None:
    """The dead-man holds the checkpoint, not its path."""
    state = waits(real_host)
    with held(state) as journal:
        state = done(state)
        time_is_up(journal)
        goes_back(real_host, state)
    assert not [*real_host.folder.glob("**/bascule-*")]


def test_t11_something_is_mounted_over_the_state_directory(real_host: Field) -> None:
    state = waits(real_host)
    with held(state) as journal:
        subprocess.run(("mount", "-t", "tmpfs", "none", str(state)), check=True)
        time_is_up(journal)
    try:
        back = wait_for(lambda: real_host.ip("addr show eth0"), lambda text: "192.168.1.10/24" in text)
        assert "192.168.1.10/24" in back
    finally:
        subprocess.run(("umount", str(state)), check=True)
    goes_back(real_host, state)


def test_t11_it_is_said_where_nobody_finds_the_change(real_host: Field) -> None:
    field, site = real_host, real_host.site(ONE_NIC)
    state = waits(field)
    moved = state.rename(state.with_name("moved"))
    words = f"watches over change 1 in '{moved}', and takes it back unless it is confirmed there"
    for verb in ("status", "confirm", "undo --yes", f"apply {site} --yes"):
        said = field.bascule(*verb.split())
        assert said.returncode == 1, verb
        assert words in " ".join((said.stdout + said.stderr).split()), verb
    field.environment["BASCULE_STATE_DIR"] = str(moved)
    assert field.bascule("confirm").returncode == 0
    assert field.bascule("status").returncode == 0
    del field.environment["BASCULE_STATE_DIR"]
    gone = wait_for(lambda: field.bascule("status"), lambda done: done.returncode == 0)
    assert "Bascule has changed nothing here" in gone.stdout


def test_t11_the_server_of_a_network_ends_though_its_folder_was_moved(real_host: Field) -> None:
    site = ONE_NIC.replace(
        "    bridges:",
        "    virtual_networks: {lab: {mode: nat, subnet: 192.168.122.0/24, dhcp: 192.168.122.9-192.168.122.99}}\n"
        "    bridges:",
    )
    done = real_host.bascule("apply", real_host.site(site), "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stderr

    def servers() -> list[Program]:
        return [one for one in programs() if "dnsmasq" in one.argv[0]]

    with real_host.host.entered():
        assert servers()
        state = renamed(real_host.folder / "state")
        time_is_up(journal_of(state))
        goes_back(real_host, state)
        assert not servers()
    # the dead-man had put a link there for the servers, and takes it away when all is told
    assert not wait_for((real_host.folder / "state").exists, lambda there: not there)
