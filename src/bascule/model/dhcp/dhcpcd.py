"""dhcpcd for a single link: dhcpcd(8). It shows its links and families in its title, not its options."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bascule.model.dhcp.client import Handover, Start

NAME = "dhcpcd"
TITLE = re.compile(r"dhcpcd: (?P<link>[^\s\[]\S*)(?P<families>( \[ip[46]\])*)$")
FOLDERS = ("/var/lib/dhcpcd/{}.lease", "/var/lib/dhcpcd/{}.lease6", "/var/lib/dhcpcd5/dhcpcd-{}.lease",
           "/var/lib/dhcpcd5/dhcpcd-{}.lease6", "/var/db/dhcpcd/{}.lease", "/var/db/dhcpcd/{}.lease6")  # fmt: skip


def links(argv: Sequence[str]) -> tuple[str, ...]:
    """The link of its title; none where it is the manager of all."""
    title = TITLE.match(" ".join(argv))
    return (title["link"],) if title else ()


def start(one: Handover) -> Start:
    """With the server's message in its place it asks for the same address (INIT-REBOOT), by the same DUID and IAID."""
    title = TITLE.match(" ".join(one.argv))
    families = title["families"] if title else ""
    only = [f"-{family}" for family, other in (("4", "6"), ("6", "4")) if families and f"ip{other}" not in families]
    return Start(
        argv=(NAME, "--lastlease", *only, one.to),  # or it takes the address away while its server is silent
        bound=r"leased ([\d.]+) for",
        carry=tuple((path.format(one.link), path.format(one.to)) for path in FOLDERS),
    )
