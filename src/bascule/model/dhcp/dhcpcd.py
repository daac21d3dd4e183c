"""dhcpcd for a single link: dhcpcd(8). It shows its links and families in its title, not its options."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bascule.model.dhcp.client import ClientStart, Handover
from bascule.model.dhcp.offers import Offer

NAME = "dhcpcd"
TITLE = re.compile(r"dhcpcd: (?P<link>[^\s\[]\S*)(?P<families>( \[ip[46]\])*)$")
FOLDERS = ("/var/lib/dhcpcd/{}.lease", "/var/lib/dhcpcd/{}.lease6", "/var/lib/dhcpcd5/dhcpcd-{}.lease",
           "/var/lib/dhcpcd5/dhcpcd-{}.lease6", "/var/db/dhcpcd/{}.lease", "/var/db/dhcpcd/{}.lease6")  # fmt: skip

PID_FILES = ("/run/dhcpcd/{}.pid", "/run/dhcpcd/{}-4.pid", "/run/dhcpcd/{}-6.pid", "/run/dhcpcd-{}.pid",
             "/run/dhcpcd-{}-4.pid", "/run/dhcpcd-{}-6.pid")  # fmt: skip

ROUTES = "static_routes,classless_static_routes,ms_classless_static_routes"
LEFT = {
    Offer.GATEWAY: ("--nogateway",),
    Offer.ROUTES: ("--nooption", ROUTES),
    Offer.DNS: ("--nooption", "domain_name_servers"),
}


def links(argv: Sequence[str]) -> tuple[str, ...]:
    """The link of its title; none where it is the manager of all."""
    title = TITLE.match(" ".join(argv))
    return (title["link"],) if title else ()


def pid_files(argv: Sequence[str]) -> tuple[str, ...]:
    """Those of version 9 and of older ones."""
    return tuple(path.format(link) for link in links(argv) for path in PID_FILES)


def start(one: Handover) -> ClientStart:
    """With the server's message in its place it asks for the same address (INIT-REBOOT), by the same DUID and IAID."""
    title = TITLE.match(" ".join(one.argv))
    families = title["families"] if title else ""
    only = [f"-{family}" for family, other in (("4", "6"), ("6", "4")) if families and f"ip{other}" not in families]
    left = [word for offer in one.unused for word in LEFT[offer]]
    return ClientStart(
        argv=(NAME, "--lastlease", *only, *left, one.to),  # or it takes the address away while its server is silent
        bound=r"leased ([\d.]+) for",
        forgets=f"run/dhcpcd/hook-state/resolv.conf/{one.link}.*",
        carry=tuple((path.format(one.link), path.format(one.to)) for path in FOLDERS),
    )
