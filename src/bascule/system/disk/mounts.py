"""On which file system a path lies, and whether that is there without a network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

MOUNTS, FSTAB = Path("/proc/self/mountinfo"), Path("/etc/fstab")
# those that systemd orders behind the network (fstype_is_network)
OVER_THE_NETWORK = frozenset({
    "afs", "beegfs", "ceph", "cifs", "davfs", "gfs", "gfs2", "glusterfs", "lustre", "ncp", "ncpfs", "nfs", "nfs4",
    "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "sshfs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs",
})  # fmt: skip


def needs_network(path: Path) -> bool:
    """Whether a path is reached over the network: by its file system, or by ``_netdev`` in fstab(5), as iSCSI has it.

    Raises OSError where /proc is not mounted.
    """
    real = path.resolve()
    place, kind = max(
        ((point, kind) for point, kind in _mounted() if real.is_relative_to(point)), key=lambda one: len(one[0].parts)
    )
    return kind in OVER_THE_NETWORK or place in _netdev()


def _mounted() -> list[tuple[Path, str]]:
    """Mount points and their kinds; of two on the same point the later one is seen, and stands first."""
    found = []
    for line in reversed(MOUNTS.read_text().splitlines()):
        fields, _, rest = line.partition(" - ")
        found.append((Path(_plain(fields.split()[4])), rest.split()[0]))
    return found


def _netdev() -> set[Path]:
    try:
        rows = [line.split() for line in FSTAB.read_text().splitlines() if not line.lstrip().startswith("#")]
    except OSError:
        return set()
    return {Path(_plain(row[1])) for row in rows if len(row) > 3 and "_netdev" in row[3].split(",")}


def _plain(word: str) -> str:
    r"""Both files write a blank as ``\040``."""
    return word.encode().decode("unicode_escape") if "\\" in word else word


def read_only(paths: Iterable[str], *, mounted_so: bool = False) -> tuple[str, ...]:
    """The nearest folders above files that are to be written where we may not write: a disk mounted read-only.

    With ``mounted_so`` those alone that nobody may write in, though we may not either.
    """
    folders = dict.fromkeys(next(up for up in Path(path).parents if up.is_dir()) for path in paths)
    closed = (one for one in folders if not os.access(one, os.W_OK))
    return tuple(str(one) for one in closed if not mounted_so or os.statvfs(one).f_flag & os.ST_RDONLY)
