"""netplan, which starts nothing itself: it writes for networkd or NetworkManager below /run."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.manager import Manager, Root
from bascule.persist.netplan import FOLDER


def detect(root: Root) -> Iterator[Manager]:
    """It counts where it has something to say, or had at the last boot: an installer's file may have made room."""
    files = root.files(f"{FOLDER}/*.yaml")
    files += root.files("run/systemd/network/10-netplan-*", "run/NetworkManager/system-connections/netplan-*")
    tool = root.there("usr/sbin/netplan", "usr/lib/netplan/generate", "usr/libexec/netplan/generate")
    if tool and files:
        yield Manager.seen("netplan", "netplan", link=tool, files=files)
