"""Configuration systems of which no dialect is read: their lines are told, so that an import is not silent of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from bascule.persist.formats.values import words
from bascule.persist.parsed import Files, Unparsed, UnparsedLines

_SYSTEMS = {
    "etc/dhcpcd.conf": "dhcpcd",
    "etc/netctl/*": "netctl",
    "etc/conf.d/net": "netifrc",
    "etc/config/network": "OpenWrt's netifd",
    "var/lib/connman/*.config": "ConnMan",
}
READS = tuple(_SYSTEMS)
_OF_ALL_LINKS = words(  # of dhcpcd, in the file that its package brings
    "hostname clientid duid persistent vendorclassid option require slaac nohook controlgroup allowinterfaces"
)
_KEY = re.compile(r"(?i)^(\s*(?:wpa\w*|\w*key|option (?:key|wpa)\w*)\b\W*).+")


def unread(files: Files) -> tuple[Unparsed, ...]:
    """What stands in such files; nothing of one that is as its package brought it."""
    left = UnparsedLines()
    for path, text in files.items():
        system = next((name for pattern, name in _SYSTEMS.items() if fnmatchcase(path, pattern)), "")
        for number, line in _said(text) if system else ():
            if system != "dhcpcd" or line.split()[0] not in _OF_ALL_LINKS:
                left.add(path, number, line, f"of {system}, whose files are not read")
    return left.done()


def _said(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, _KEY.sub(r"\1(not shown)", line)
