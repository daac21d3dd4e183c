"""ISC dhclient: dhclient(8), dhclient.leases(5)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

from bascule.model.dhcp.client import ClientStart, Handover, renamed
from bascule.model.dhcp.offers import Offer

NAME = "dhclient"
VALUES = {
    "-p", "-s", "-g", "-e", "-D", "-lf", "-pf", "-df", "-cf", "-sf", "-C", "-F", "-H", "-V", "-R", "-timeout",
    "--dad-wait-time", "--decline-wait-time", "--prefix-len-hint", "--address-prefix-len", "--request-options",
}  # fmt: skip
STAYS = {"-d", "-nw", "-1", "-q", "-w"}  # it shall go to the background once it is bound, and say so
FOLDERS = ("/var/lib/dhcp", "/var/lib/dhclient")  # Debian and Ubuntu, Fedora and RHEL
BLOCK = re.compile(rb"^lease6? \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)

VARIABLES = {  # of its script, by what they bring and the IP version
    (Offer.GATEWAY, 4): "new_routers",
    (Offer.ROUTES, 4): "new_static_routes new_rfc3442_classless_static_routes new_ms_classless_static_routes",
    (Offer.DNS, 4): "new_domain_name_servers",
    (Offer.DNS, 6): "new_dhcp6_name_servers",
}
# RFC 3442's list has the default route as well: a prefix length, the bytes that it counts, the router
WITHOUT_DEFAULT = """\
without_default() {
    set -- $new_rfc3442_classless_static_routes
    new_rfc3442_classless_static_routes=
    while [ $# -ge 5 ]; do
        count=$((($1 + 7) / 8 + 5))
        [ "$1" = 0 ] && shift 5 && continue
        while [ $count -gt 0 ] && [ $# -gt 0 ]; do
            new_rfc3442_classless_static_routes="$new_rfc3442_classless_static_routes $1"
            shift
            count=$((count - 1))
        done
    done
}
"""
SCRIPT = "/sbin/dhclient-script"  # Debian's and Fedora's


def without(gone: Iterable[Offer], version: int) -> str:
    """What its script does first, so that it sets up nothing of what is not used; empty where it cannot bring it."""
    offers = frozenset(gone)
    names = " ".join(words for (offer, which), words in VARIABLES.items() if offer in offers and which == version)
    filtered = Offer.GATEWAY in offers and Offer.ROUTES not in offers and version == 4
    return f"unset {names};{' without_default;' if filtered else ''}" if names else ""


def links(argv: Sequence[str]) -> tuple[str, ...]:
    """The words that are no options."""
    return tuple(word for before, word in pairwise(argv) if not word.startswith("-") and before not in VALUES)


def pid_files(argv: Sequence[str]) -> tuple[str, ...]:
    """Those that its command line names, or the default one."""
    named = tuple(path for option, path in pairwise(argv) if option == "-pf")
    return named or (f"/run/dhclient{'6' if '-6' in argv else ''}.pid",)


def start(one: Handover) -> ClientStart:
    """On the new link it reads its lease, and asks the server whether it may go on (INIT-REBOOT)."""
    words = [renamed(word, one.home, one.to) for word in one.argv if word not in STAYS]
    named = {option: path for option, path in pairwise(one.argv) if option in {"-lf", "-df"}}
    files = [renamed(path, one.home, one.link) for path in named.values()]
    if "-lf" not in named:
        files += [f"{folder}/dhclient{'6' if '-6' in one.argv else ''}.leases" for folder in FOLDERS]
    gone = without(one.unused, 6 if "-6" in one.argv else 4)
    script = ""
    if gone:
        own = next((path for option, path in pairwise(words) if option == "-sf"), SCRIPT)
        words = [word for before, word in pairwise(["", *words]) if "-sf" not in {before, word}]
        words[1:1] = ["-sf", "{script}"]
        script = f'#!/bin/sh\n# Written by bascule.\n{WITHOUT_DEFAULT}{gone}\nexec {shlex.quote(own)} "$@"\n'
    return ClientStart(
        argv=(words[0], *(() if "-v" in words else ("-v",)), *words[1:]),
        script=script,
        bound="" if "-6" in one.argv else r"bound to ([\d.]+)",
        carry=tuple((path, renamed(path, one.link, one.to)) for path in files),
        rewrite=partial(_rewrite, old=one.link, new=one.to),
        seconds=partial(_seconds, link=one.to),
    )


def _rewrite(source: bytes, there: bytes, *, old: str, new: str) -> bytes:
    """The newest lease of a link is the last one in the file."""
    mine, its = (f'interface "{name}";'.encode() for name in (old, new))
    duid = re.search(rb"^default-duid .*\n", source, re.MULTILINE)
    head = duid[0] if duid and b"\ndefault-duid " not in b"\n" + there else b""
    return there + head + b"".join(block.replace(mine, its) for block in BLOCK.findall(source) if mine in block)


def _seconds(text: bytes, *, link: str) -> int | None:
    """Debian's and Fedora's dhclient-script fail to set an address anew, and so its lifetime stays the old one."""
    found = [block for block in BLOCK.findall(text) if f'interface "{link}";'.encode() in block]
    length = re.search(rb"option dhcp-lease-time (\d+);", found[-1]) if found else None
    return int(length[1]) if length else None
