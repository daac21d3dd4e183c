"""Full and read-only disks, missing folders, programs and rights: a clear error, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bascule import workflow
from bascule.apply.commit import take_back
from bascule.apply.prepare import prepare
from bascule.apply.transaction import ApplyOptions, apply
from bascule.errors import CommandFailed, Problem, TakenBack
from bascule.model.state import HostState
from bascule.plan.change import Note
from bascule.plan.file_change import FileChange
from tests.apply.hosts import Bed, difference, environment, wait_for

BASCULE = f"{sys.executable} -m bascule"


def shell(bed: Bed, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A script in the host's namespace, with mounts of its own."""
    with bed.host.entered():
        return subprocess.run(
            ("unshare", "--mount", "--propagation", "private", "sh", "-c", script), capture_output=True, text=True,
            env={**os.environ, **bed.env, **env}, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.mark.parametrize("size", ["4k", "12k", "20k", "28k"])
def test_a_full_disk(bed: Bed, size: str) -> None:
    before = bed.raw()
    bed.state.mkdir()
    done = shell(
        bed, f"mount -t tmpfs -o size={size} none {bed.state} && {BASCULE} apply {bed.site} --yes; s=$?;"
             f"find {bed.state} -name '*.new'; exit $s"
    )  # fmt: skip
    assert difference(before, bed.raw()) == []
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert "nothing was changed" in done.stderr
    assert ".new" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_disk_that_fills_up_while_it_waits(bed: Bed) -> None:
    done = shell(
        bed, f"mkdir -p {bed.state}; mount -t tmpfs -o size=400k none {bed.state}; {BASCULE} apply {bed.site} --yes;"
             f"dd if=/dev/zero of={bed.state}/fill bs=1k 2>/dev/null; {BASCULE} confirm && {BASCULE} status &&"
             f"{BASCULE} undo"
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is confirmed" in done.stdout
    assert "is as it was before" in done.stdout


def test_a_read_only_disk(bed: Bed) -> None:
    before = bed.raw()
    bed.state.mkdir()
    done = shell(bed, f"mount -t tmpfs -o ro none {bed.state} && {BASCULE} apply {bed.site} --yes")
    assert done.returncode == 1
    assert "Read-only" in done.stderr
    assert "nothing was changed" in done.stderr
    assert difference(before, bed.raw()) == []


@pytest.mark.parametrize("verb", ["apply", "status", "undo"])
def test_a_state_folder_that_is_a_file(bed: Bed, verb: str) -> None:
    words = ("apply", str(bed.site), "--yes") if verb == "apply" else (verb,)
    done = bed.run(*words, BASCULE_STATE_DIR=str(bed.site))
    assert done.returncode == 1
    assert "error[STATE-DIR]" in done.stderr
    assert "Not a directory; nothing was changed" in done.stderr
    assert "set BASCULE_STATE_DIR" in done.stderr


def test_without_stdout(bed: Bed) -> None:
    """A closed one is no file of ours: the change is made, and waits."""
    done = shell(bed, f"{BASCULE} apply {bed.site} --yes >&- && {BASCULE} status >&2 && {BASCULE} undo <&- >&-")
    assert done.returncode == 0, done.stderr
    assert "waits for 'bascule confirm'" in done.stderr
    assert "BUG" not in done.stderr


def test_nobody_reads_the_plan(bed: Bed) -> None:
    before = bed.raw()
    done = shell(bed, f"{{ {BASCULE} apply {bed.site} --yes; echo $? >&2; }} | true")
    assert "error[OUTPUT-GONE]" in done.stderr
    assert done.stderr.endswith("1\n")
    assert difference(before, bed.raw()) == []


def test_without_run(bed: Bed) -> None:
    """/run is empty and /var/lib has nothing of ours yet: the folders are made."""
    script = f"unset BASCULE_STATE_DIR; mount -t tmpfs none /run && mount -t tmpfs none /var/lib && {BASCULE} apply"
    done = shell(bed, f"{script} {bed.site} --yes && {BASCULE} undo && ls -d /run/bascule /var/lib/bascule")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_rights(bed: Bed) -> None:
    done = shell(bed, f"mkdir -m 700 {bed.state}; exec setpriv --reuid 65534 --clear-groups {BASCULE} status")
    if "No module" in done.stderr or "ermission denied: '/root" in done.stderr or "can't open" in done.stderr:
        pytest.skip("the program itself is in a folder that an ordinary user may not enter")
    assert "Traceback" not in done.stderr


def test_without_the_tools(bed: Bed) -> None:
    before = bed.raw()
    done = bed.run("apply", str(bed.site), "--yes", PATH="/no-such-folder")
    assert done.returncode == 1
    assert "'ip' is not in PATH" in done.stderr
    assert difference(before, bed.raw()) == []


class Files:
    """A writer as a configuration system has one."""

    notes: Sequence[Note] = ()

    def __init__(self, folder: Path, fail: bool = False) -> None:
        self.folder, self.fail = folder, fail

    def changes(self, wanted: HostState) -> Sequence[FileChange]:
        after = {"old": "other", "new": "new", "gone": None}
        return [
            FileChange(path=str(self.folder / name), action="write" if text else "remove", new=text)
            for name, text in after.items()
        ]

    def write(self, wanted: HostState) -> Sequence[str]:
        (self.folder / "old").write_text("other")
        (self.folder / "new").write_text("new")
        (self.folder / "gone").unlink()
        if self.fail:
            raise CommandFailed(Problem(code="X", message="the dialect says no"))
        return [str(self.folder / name) for name in ("old", "new")]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "old").write_text("old")
    (folder / "old").chmod(0o640)
    os.chown(folder / "old", 1, 2)
    (folder / "gone").write_bytes(b"\xff\0binary")
    return folder


def assert_files_as_before(etc: Path) -> None:
    assert (etc / "old").read_text() == "old"
    status = (etc / "old").stat()
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o640, 1, 2)
    assert not (etc / "new").exists()
    assert (etc / "gone").read_bytes() == b"\xff\0binary"


def test_files_come_back_too(bed: Bed, etc: Path) -> None:
    site = workflow.load(str(bed.site))
    with bed.host.entered(), environment(bed.env):
        done = apply(prepare(site, site.hosts["h"]), ApplyOptions(window_s=None, writer=Files(etc)))
        assert len(done.written) == 2
        undone = take_back()
    assert undone.back.ok
    assert_files_as_before(etc)


def test_a_writer_that_fails_takes_everything_back(bed: Bed, etc: Path) -> None:
    before = bed.raw()
    site = workflow.load(str(bed.site))
    with bed.host.entered(), environment(bed.env), pytest.raises(TakenBack, match="the dialect says no"):
        apply(prepare(site, site.hosts["h"]), ApplyOptions(writer=Files(etc, fail=True)))
    assert_files_as_before(etc)
    assert difference(before, bed.raw()) == []


def test_a_check_that_does_not_hold_takes_everything_back(bed: Bed) -> None:
    before = bed.raw()
    site = workflow.load(str(bed.site))
    with bed.host.entered(), environment(bed.env), pytest.raises(TakenBack, match="guest g does not answer"):
        apply(prepare(site, site.hosts["h"]), ApplyOptions(verify=lambda: ["guest g does not answer"]))
    assert difference(before, bed.raw()) == []


def test_a_probe_that_passed_before_and_fails_after(bed: Bed) -> None:
    """The gateway is to be reached by a bridge whose NIC hangs on another wire."""
    before = bed.raw()
    with bed.wire.entered():
        Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")  # it answers where its address is
    other = "br0: {uplink: eth0}\n      br3: {uplink: eth4, address: 10.0.0.5/24, gateway: 10.0.0.1}\n"
    site = bed.site.read_text().replace("br0: {uplink: eth0, address: from-uplink}\n      br3: {uplink: eth4}\n", other)
    bed.site.write_text(
        site.replace("eth4: {network: guests}", "eth4: {}").replace("address: 10.1.0.5/24", "address: dhcp")
    )
    done = bed.run("apply", str(bed.site), "--yes")
    assert done.returncode == 75, done.stdout + done.stderr
    assert "does not answer after it" in done.stderr
    assert "10.0.0.1" in done.stderr
    assert wait_for(lambda: difference(before, bed.raw()), lambda left: not left) == []


def test_a_probe_that_failed_before_never_counts(bed: Bed) -> None:
    bed.apply("--probe", "10.0.0.1:9", "--no-confirm")
    assert "tcp/9" not in bed.run("status").stdout
    assert bed.run("undo").returncode == 0


@pytest.mark.parametrize("size", ["", "size=4k"])
def test_files_that_cannot_be_written(bed: Bed, size: str) -> None:
    """On a read-only disk nothing is begun; on a full one the change is taken back, and the file is named."""
    before, root = bed.raw(), bed.state.parent / "root"
    root.mkdir()
    mount = f"mount -t tmpfs {f'-o {size}' if size else ''} none {root} && mkdir -p {root}/etc"
    then = f"head -c 64k /dev/zero > {root}/full" if size else f"mount -o remount,ro {root}"
    site = bed.state.parent / "kept.yaml"
    site.write_text(bed.site.read_text().replace("  h:\n", "  h:\n    persist: networkd\n", 1))
    done = shell(bed, f"{mount} && {{ {then}; {BASCULE} apply {site} --yes --root {root}; }}")
    assert difference(before, bed.raw()) == []
    if size:
        assert (done.returncode, "error[FILE-NOT-WRITTEN]" in done.stderr) == (75, True), done.stderr
        assert f"'{root}/etc/" in done.stderr
        assert "No space left on device" in done.stderr
    else:
        assert (done.returncode, "error[FILES-READ-ONLY]" in done.stderr) == (1, True), done.stderr
        assert f"no file can be written in {root}/etc; nothing was changed" in done.stderr
