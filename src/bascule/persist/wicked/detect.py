"""wicked by its service, and the files that it reads."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.manager import Manager, Root
from bascule.persist.wicked import FOLDER


def detect(root: Root) -> Iterator[Manager]:
    """wicked, which SUSE starts under the name of network.service where NetworkManager does not take its place."""
    link = root.enabled("multi-user.target.wants/wicked.service")
    if not link and root.target("etc/systemd/system/network.service") == "wicked.service":
        link = root.enabled("network.service")
    running = root.runs("wickedd")
    if link or running:
        files = root.files(f"{FOLDER}/ifcfg-*", but=r"/ifcfg-(lo|.*\.template)$|(~|\.bak|\.old|\.rpm\w+|\.scpmbackup)$")
        yield Manager.seen("wicked", "wicked", link=link, running=running, files=files)
