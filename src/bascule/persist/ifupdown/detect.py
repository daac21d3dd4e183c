"""ifupdown by its stanzas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bascule.persist.ifupdown import MAIN
from bascule.persist.manager import Manager, Root


def detect(root: Root) -> Iterator[Manager]:
    """The networking service; a file that names the loopback alone configures nothing."""
    files = [path for path in root.files(MAIN, f"{MAIN}.d/*") if _names_a_link(root.text(path))]
    started = root.files("etc/rc[S2345].d/S*networking")
    link = root.enabled(
        "multi-user.target.wants/networking.service",
        "network-online.target.wants/networking.service",
        "sysinit.target.wants/networking.service",
    ) or (f"/{started[0]}" if started else "")
    running = root.there("run/network/ifstate") if files else ""
    if link or running:
        yield Manager.seen("ifupdown", "networking", link=link, running=running, files=files)


def _names_a_link(text: str) -> bool:
    return any(name != "lo" for name in re.findall(r"^\s*iface\s+(\S+)", text, re.MULTILINE))
