"""Who reads network-scripts: their own service, or NetworkManager of RHEL 7 and 8, which writes them, too."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.keyfile import FOLDER as PROFILES
from bascule.persist.keyfile.detect import network_manager, network_scripts
from bascule.persist.manager import Manager, Root


def detect(root: Root) -> Iterator[Manager]:
    """NetworkManager where it has no profiles of its own, and the network service."""
    files = network_scripts(root)
    if files and not root.files(f"{PROFILES}/*"):
        yield from network_manager(root, "ifcfg", files)
    started = root.files("etc/rc.d/rc[2345].d/S*network")
    link = root.enabled("multi-user.target.wants/network.service") or (f"/{started[0]}" if started else "")
    if link:
        yield Manager.seen("ifcfg", "network", link=link, files=files)
