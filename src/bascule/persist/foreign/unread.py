"""Configuration systems of which no dialect is read: their lines are told, so that an import is not silent of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from bascule.persist.parsed import Files, Unparsed, UnparsedLines

_SYSTEMS = {
    "etc/netctl/*": "netctl",
    "etc/conf.d/net": "netifrc",
    "etc/config/network": "OpenWrt's netifd",
    "config/config.boot": "VyOS",
    "opt/vyatta/etc/config/config.boot": "VyOS",
    "etc/nixos/*.nix": "NixOS",
    "etc/rc.d/rc.inet1.conf": "Slackware",
    "etc/rc.d/rc.inet1": "Slackware",  # where the settings stood before they had a file of their own
    "etc/rc.conf": "a BSD's rc.conf",
    "etc/rc.conf.local": "a BSD's rc.conf",
    "etc/rc.conf.d/*": "a BSD's rc.conf",
    "etc/hostname.*": "OpenBSD",
    "etc/mygate": "OpenBSD",
    "var/lib/connman/*.config": "ConnMan",
}
READS = tuple(_SYSTEMS)
_KEY = re.compile(r"(?i)^(\s*(?:wpa\w*|\w*key|option (?:key|wpa)\w*)\b\W*).+")


def unread(files: Files) -> tuple[Unparsed, ...]:
    """What stands in such files."""
    left = UnparsedLines()
    for path, text in files.items():
        system = next((name for pattern, name in _SYSTEMS.items() if fnmatchcase(path, pattern)), "")
        is_script = path == "etc/rc.d/rc.inet1" and f"{path}.conf" in files
        for number, line in _significant_lines(text) if system and not is_script else ():
            left.add(path, number, line, f"of {system}, whose files are not read")
    return left.done()


def _significant_lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not re.match(r"\s*(?:#|rc_\w+=|unicode=)", line):  # OpenRC has an rc.conf as well
            yield number, _KEY.sub(r"\1(not shown)", line)
