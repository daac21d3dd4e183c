"""T11: a root that is moved away before the way back, and a state directory that is relative or behind a link."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bascule.apply.rollback.files import FileBackup, restore
from tests.apply.hosts import wait_for
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
    assert at(field, field.folder, "apply", site, "--yes", "--confirm-within", "2s", state=state).returncode == 0
    link.unlink()
    link.symlink_to("not-mounted")
    for verb in ("status", "undo", "confirm", f"plan {site}", f"apply {site} --yes"):
        done = at(field, field.folder, *verb.split(), state=state)
        assert done.returncode == 1, verb
        assert f"error[STATE-DIR]: '{link}' is a symbolic link that leads nowhere (not-mounted)" in done.stderr
        assert not (field.folder / "not-mounted").exists()
    back = wait_for(lambda: field.ip("addr show eth0"), lambda text: "192.168.1.10/24" in text)
    assert "192.168.1.10/24" in back
    link.unlink()
    link.symlink_to(link.name)
    assert "leads nowhere" in at(field, field.folder, "status", state=state).stderr
