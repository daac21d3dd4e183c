"""NetworkManager.conf: the links that it must leave alone (NetworkManager.conf(5), ``unmanaged-devices``).

And a drop-in for its unit, because it does not leave them alone altogether.
"""

from __future__ import annotations

import re

from bascule.model.host_links import Ipv6
from bascule.persist.config import NetworkConfig
from bascule.persist.formats.ini import Item, Section, read, write
from bascule.persist.keyfile import UNIT
from bascule.persist.parsed import Files, UnparsedLines

FILE = "etc/NetworkManager/conf.d/90-bascule-unmanaged.conf"


def render(config: NetworkConfig) -> dict[str, str]:
    """The drop-in, or nothing. ``+=`` adds to what the administrator has said elsewhere."""
    if not config.unmanaged:
        return {}
    names = ";".join(f"interface-name:{pattern}" for pattern in config.unmanaged)
    return {FILE: write([("keyfile", [("unmanaged-devices+", names)])])}


def unit_dropin(config: NetworkConfig) -> dict[str, str]:
    """Ports and guests' taps make no IPv6 addresses, also after NetworkManager was stopped.

    At its end it sets every link it knows, unmanaged ones as well, back to the kernel's own way (``addrgenmode
    eui64``; seen with 1.42).
    """
    bridges = [link.name for link in config.links.values() if link.is_bridge]
    if not bridges:
        return {}
    silent = [link.name for link in config.links.values() if link.ipv6 is Ipv6.OFF]
    ports = f"for bridge in {' '.join(bridges)}; do for port in /sys/class/net/$$bridge/lower_*; do "
    loops = (
        f"for link in {' '.join(silent)}; do {_shut('$$link')}; done",
        ports + _shut("$${port##*/lower_}") + "; done; done",
    )
    return {UNIT: write([("Service", [("ExecStartPost", f"-/bin/sh -c '{loop}'") for loop in loops])])}


def _shut(link: str) -> str:
    return f"ip link set dev {link} addrgenmode none 2>/dev/null"


def parse(files: Files, left: UnparsedLines) -> list[str]:
    """The names and patterns in all of NetworkManager's configuration files."""
    found: list[str] = []
    for path in sorted(path for path in files if path.startswith("etc/NetworkManager/") and path.endswith(".conf")):
        for section in read(path, files[path], left):
            rest = [item for item in section.items if not _is_unmanaged(section, item)]
            lines = [(item.line, f"[{section.name}] {item.key}={item.value}") for item in rest]
            if lines and _ABOUT_LINKS.match(section.name) and not all(item.key.startswith("wifi") for item in rest):
                left.add_all(
                    path, lines, "NetworkManager's settings for links without a profile of their own are not supported"
                )
            elif not path.endswith(FILE):
                for number, text in lines:
                    left.passes(path, number, text)
            for item in section.items:
                if _is_unmanaged(section, item):
                    _unmanaged(path, item, found, left)
    return found


_ABOUT_LINKS = re.compile(r"connection\b|device\b|global-dns\b")


def _is_unmanaged(section: Section, item: Item) -> bool:
    return section.name == "keyfile" and item.key.rstrip("+-").rstrip() == "unmanaged-devices"


def _unmanaged(path: str, item: Item, found: list[str], left: UnparsedLines) -> None:
    if not item.key.endswith("+"):
        found.clear()
    for word in item.value.replace(",", ";").split(";"):
        kind, _, name = word.strip().rpartition(":")
        if kind == "interface-name" and name and not name.startswith("=") and "~" not in name[:1]:
            found.append(name)
        elif word.strip():
            left.add(path, item.line, word, "only 'interface-name:' marks are taken")
