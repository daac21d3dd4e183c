"""NetworkManager with its own profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bascule.persist.keyfile import FOLDER
from bascule.persist.manager import Manager, Root


def detect(root: Root) -> Iterator[Manager]:
    """NetworkManager, unless all that it has are ifcfg files."""
    files = root.files(f"{FOLDER}/*")
    if files or not network_scripts(root):
        yield from network_manager(root, "keyfile", files)


def network_manager(root: Root, dialect: str, files: Sequence[str]) -> Iterator[Manager]:
    """NetworkManager, if it is at work, with the files that it goes by."""
    link = root.enabled("multi-user.target.wants/NetworkManager.service")
    running = root.runs("NetworkManager", "run/NetworkManager/devices", "run/NetworkManager/resolv.conf")
    if link or running:
        yield Manager.seen(dialect, "NetworkManager", link=link, running=running, files=files)


def network_scripts(root: Root) -> list[str]:
    """The files of RHEL 7 and 8 that NetworkManager reads and writes where it has no profiles of its own."""
    return root.files("etc/sysconfig/network-scripts/ifcfg-*", but=r"/ifcfg-lo$|(~|\.bak|\.old|\.rpm\w+)$")
