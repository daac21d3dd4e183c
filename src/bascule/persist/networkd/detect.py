"""systemd-networkd by its unit files."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.manager import Manager, Root
from bascule.persist.networkd import FOLDER


def detect(root: Root) -> Iterator[Manager]:
    """Networkd; what only says which links are not its own configures nothing."""
    files = root.files(f"{FOLDER}/*.network", but=r"bascule-unmanaged\.network$")
    running = root.runs("systemd-networkd", "run/systemd/netif/state")
    link = root.enabled(
        "multi-user.target.wants/systemd-networkd.service",
        "network-online.target.wants/systemd-networkd-wait-online.service",
    )
    if link or running:
        yield Manager.seen("networkd", "systemd-networkd", link=link, running=running, files=files)
