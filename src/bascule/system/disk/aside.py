"""Files that are moved aside and come back: the very file, by its inode, with owner, mode, times, ACL and label."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bascule.system.disk import durable

FOLDER = "moved-aside"  # in it the files have the paths that they had
ASIDE = f"etc/bascule/{FOLDER}"
# another file system, or one without hard links: it is copied then, with all that it carries
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}
SELDOM_KEPT = {errno.EPERM, errno.EOPNOTSUPP, errno.ENODATA, errno.EINVAL, errno.EACCES}


def extended(path: Path) -> dict[str, bytes]:
    """A file's extended attributes: SELinux label, ACL, capabilities; none where its file system has none."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            with contextlib.suppress(OSError):
                found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def set_extended(path: Path, attributes: Mapping[str, bytes]) -> None:
    """Give a file its extended attributes; those that its file system does not take are left out."""
    for name, value in attributes.items():
        try:
            os.setxattr(path, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in SELDOM_KEPT:
                raise


def keep(path: Path, aside: Path) -> None:
    """Have the very file at a second place, known to the disk; the first one may then go. Raises OSError."""
    durable.make_folder(aside.parent)
    try:
        os.link(path, aside, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        status = path.stat()
        shutil.copy2(path, aside, follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(aside, status.st_uid, status.st_gid)
            aside.chmod(status.st_mode & 0o7777)  # chown takes set-user-ID off
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())
    durable.sync_folder(aside.parent)


def bring_back(aside: Path, path: Path) -> bool:
    """Rename it to its old place, which takes no room on a full disk; False where that is another file system."""
    durable.make_folder(path.parent, mode=0o755)
    try:
        aside.replace(path)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    durable.sync_folder(path.parent)
    durable.sync_folder(aside.parent)
    return True


def lowest_folder(path: Path) -> Path:
    """The lowest folder above a file that is there."""
    return next(folder for folder in path.parents if folder.is_dir())


def remove_empty(folder: Path, above: Path) -> None:
    """Take empty folders away, from ``folder`` up to and without ``above``."""
    while folder != above and above in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
