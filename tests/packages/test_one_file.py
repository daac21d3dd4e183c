"""How bascule.pyz begins: what it says, and where it unpacks itself, before any module of Bascule is there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MAIN = Path(__file__).parents[2] / "packaging/pyz_main.py"
BOOTSTRAP = "import os\ndef bootstrap(): print(os.environ['SHIV_ROOT'])\n"


@pytest.fixture
def pyz(tmp_path: Path) -> Path:
    return made(tmp_path, sys.version_info[1])


def made(folder: Path, *held: int) -> Path:
    """A small archive in the shape of shiv's, with modules compiled for these versions of Python."""
    file = folder / "bascule.pyz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("environment.json", '{"build_id": "b1"}')
        archive.writestr("_bootstrap/__init__.py", BOOTSTRAP)
        archive.write(MAIN, "__main__.py")
        for minor in held:
            archive.writestr(f"site-packages/msgspec/_core.cpython-3{minor}-x86_64-linux-gnu.so", "x" * 1000)
    return file


def run(file: Path, *before: str, **env: str) -> subprocess.CompletedProcess[str]:
    words = (*before, sys.executable, str(file))
    return subprocess.run(words, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], **env})


@pytest.mark.parametrize(("held", "status"), [((sys.version_info[1],), 0), ((8, 9), 1)])
def test_it_says_which_python_it_needs(tmp_path: Path, held: tuple[int, ...], status: int) -> None:
    """Of each compiled module it has one for each Python; a traceback of an import says nothing to an administrator."""
    done = run(made(tmp_path, *held), HOME=str(tmp_path))
    assert done.returncode == status
    here = f"this is 3.{sys.version_info[1]}"
    assert done.stderr.startswith(
        f"error[PYTHON]: bascule.pyz needs Python 3.8 to 3.9, and {here}\nhint: " if status else ""
    )


def test_it_unpacks_itself_at_home_or_where_it_is_told(pyz: Path, tmp_path: Path) -> None:
    assert run(pyz, HOME=str(tmp_path)).stdout.strip() == f"{tmp_path}/.local/share/bascule"
    assert run(pyz, HOME=str(tmp_path), SHIV_ROOT="/srv/b").stdout.strip() == "/srv/b"


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount needs root")
@pytest.mark.parametrize("options", ["ro", "noexec", "size=4k", "mode=755 -o nr_inodes=1"])
def test_a_home_that_cannot_take_it_is_passed_over(pyz: Path, tmp_path: Path, options: str) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    fill = "dd if=/dev/zero of=$0/full bs=4096 count=1 2>/dev/null; " if "size" in options else ""
    mounts = f'mount -t tmpfs -o {options} none $0; {fill}mount -t tmpfs -o ro none /var/cache; exec "$@"'
    done = run(pyz, "unshare", "--mount", "sh", "-c", mounts, str(home), HOME=str(home), TMPDIR=str(other))
    assert (done.stdout.strip(), done.stderr) == (f"{other}/bascule-0", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount needs root")
def test_a_read_only_folder_that_has_it_already_is_used(pyz: Path, tmp_path: Path) -> None:
    (tmp_path / ".local/share/bascule/bascule.pyz_b1/site-packages").mkdir(parents=True)
    mount = 'mount --bind $0 $0; mount -o remount,bind,ro $0; exec "$@"'
    done = run(pyz, "unshare", "--mount", "sh", "-c", mount, str(tmp_path), HOME=str(tmp_path))
    assert done.stdout.strip() == f"{tmp_path}/.local/share/bascule"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's folder needs root")
def test_modules_of_somebody_else_are_not_loaded(pyz: Path, tmp_path: Path) -> None:
    trap = tmp_path / "bascule-0"
    (trap / "bascule.pyz_b1/site-packages").mkdir(parents=True)
    os.chown(trap, 65534, 65534)
    mounts = 'mount -t tmpfs -o ro none /var/cache; exec "$@"'
    done = run(pyz, "unshare", "--mount", "sh", "-c", mounts, "sh", HOME="/proc/none", TMPDIR=str(tmp_path))
    assert done.stdout.strip().endswith("/bascule-0")
    assert not done.stdout.startswith(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount needs root")
def test_where_nothing_takes_it_one_error_says_so(pyz: Path) -> None:
    mounts = "; ".join(
        f"mount -t tmpfs -o ro none {folder}" for folder in ("/var/cache", "/tmp", "/var/tmp", "/dev/shm")
    )
    script = f'mount -t tmpfs none /mnt; cp $1 /mnt/bascule.pyz; {mounts}; exec "$0" /mnt/bascule.pyz'
    python = Path(sys.executable).resolve()  # a clone with its environment may stand below /tmp
    done = subprocess.run(
        ("unshare", "--mount", "sh", "-c", script, str(python), str(pyz)),
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "HOME": "/proc/none"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error[UNPACK]: bascule.pyz has to unpack 1 MB, and cannot do that in any of /proc/none/"
    )
    assert "\nhint: name a folder that you can write" in done.stderr
