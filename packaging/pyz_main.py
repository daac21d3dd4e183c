"""How bascule.pyz begins, in any Python: what is newer than 3.6 stays out.

shiv unpacks the modules once and loads them from there: compiled ones cannot be loaded from an archive. Where the home
cannot be written (a read-only root, a full disk, no home at all) another folder takes them.
"""

import json
import os
import stat
import sys
import zipfile
from pathlib import Path

USER = os.geteuid()
HOME = Path("~").expanduser() / ".local/share/bascule"


def error(code, message, hint):
    """End here."""
    sys.exit(f"error[{code}]: {message}\nhint: {hint}")


def check_python(names):
    """A compiled module has in its name which Python it is for."""
    held = sorted(int(name.split("-")[2][1:]) for name in names if "/msgspec/_core.cpython-" in name)
    if sys.version_info[0] != 3 or sys.version_info[1] not in held:
        here = ".".join(map(str, sys.version_info[:2]))
        message = f"bascule.pyz needs Python 3.{held[0]} to 3.{held[-1]}, and this is {here}"
        error("PYTHON", message, f"run it with one of these, as in: python3.{held[-1]} bascule.pyz --help")


def candidates():
    """Where the modules may go, in this order."""
    cache = [Path("/var/cache/bascule")] if USER == 0 else []
    parents = (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm")
    return [HOME, *cache, *(Path(parent, f"bascule-{USER}") for parent in parents if parent)]


def holds(folder, name, size):
    """Whether the modules are there, or can be unpacked and loaded there. Outside the home nobody else may write."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen, disk = os.lstat(str(folder)), os.statvfs(str(folder))
    except OSError:
        return False
    private = seen.st_uid == USER and not seen.st_mode & 0o022
    if disk.f_flag & os.ST_NOEXEC or not (folder == HOME or (stat.S_ISDIR(seen.st_mode) and private)):
        return False
    unpacked = (folder / name / "site-packages").exists()
    return unpacked or (os.access(str(folder), os.W_OK) and disk.f_bavail * disk.f_frsize > size)


def choose_folder(archive):
    """The first one that will do."""
    build = json.loads(archive.read("environment.json").decode())["build_id"]
    name = f"{Path(archive.filename).resolve().name}_{build}"
    size = sum(each.file_size for each in archive.infolist())
    found = next((folder for folder in candidates() if holds(folder, name, size)), None)
    if found is None:
        tried = ", ".join(map(str, candidates()))
        error(
            "UNPACK",
            f"bascule.pyz has to unpack {size // 1000000 + 1} MB, and cannot do that in any of {tried}",
            "name a folder that you can write, on a file system that is not mounted noexec, as in: "
            "SHIV_ROOT=/srv/bascule bascule.pyz --help",
        )
    return str(found)


with zipfile.ZipFile(sys.argv[0]) as opened:
    check_python(opened.namelist())
    if "SHIV_ROOT" not in os.environ:
        os.environ["SHIV_ROOT"] = choose_folder(opened)

import _bootstrap  # noqa: E402  # shiv's part: nothing of it before the Python is known

_bootstrap.bootstrap()
