"""The name servers that systemd-resolved knows for a link: resolvectl(1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bascule.errors import BasculeError
from bascule.system.net.netns import is_machines_own
from bascule.system.run import run

SOCKET = Path("/run/systemd/resolve/io.systemd.Resolve")  # there while it runs
FACTS = ("dns", "domain", "default-route")


def link_names(link: str) -> dict[str, str]:
    """What it knows for a link, by the words of resolvectl; empty where it does not run, or has no server for it.

    It answers for the machine's first network namespace, whichever one we are in.
    """
    if not is_machines_own() or not SOCKET.exists():
        return {}
    try:
        texts = {fact: run(("resolvectl", fact, link)).stdout for fact in FACTS}
    except BasculeError:
        return {}
    found = {fact: text.partition("): ")[2].strip() for fact, text in texts.items()}  # "Link 2 (eth0): 10.0.0.53"
    return found if found["dns"] else {}


def set_link_names(link: str, facts: Mapping[str, str]) -> None:
    """Tell it so for a link, until that goes away. Raises BasculeError."""
    for fact, words in facts.items():
        if words:
            run(("resolvectl", fact, link, *words.split()))
