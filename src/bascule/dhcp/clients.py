"""Who keeps the leases of this host: DHCP clients in our network namespace, and daemons that are one themselves."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from bascule.model.dhcp.client import DhcpClient
from bascule.model.dhcp.kinds import KINDS
from bascule.model.values import IfName
from bascule.system.net.managers import NETWORKD_LEASES, networkd_has, networkmanager_links
from bascule.system.net.netns import is_machines_own
from bascule.system.process.programs import Program, programs

NM_HELPER = "nm-dhcp-helper"  # the script of a dhclient that NetworkManager has started


def dhcp_clients(running: Iterable[Program] | None = None) -> tuple[DhcpClient, ...]:
    """The programs; a helper process of one counts with it."""
    listed = tuple(programs() if running is None else running)
    names = {program.pid: _name(program.argv) for program in listed}
    found = []
    for program in listed:
        name = names[program.pid]
        if name not in KINDS or names.get(program.parent) == name:
            continue
        argv = program.argv[1:] if Path(program.argv[0]).name == "busybox" else program.argv
        managed = names.get(program.parent) == "NetworkManager" or any(NM_HELPER in word for word in argv)
        daemon = "NetworkManager" if managed else ""
        found.append(DhcpClient(kind=name, links=KINDS[name].links(argv), argv=argv, pid=program.pid, daemon=daemon))
    return tuple(found)


def _name(argv: tuple[str, ...]) -> str:
    first = Path(argv[0].partition(":")[0]).name  # dhcpcd writes a title: "dhcpcd: eth0 [ip4]"
    return Path(argv[1]).name if first == "busybox" and len(argv) > 1 else first


def daemons_of(links: Iterable[IfName]) -> dict[IfName, DhcpClient]:
    """The managers that keep the leases of links themselves, for each link that one has."""
    if not is_machines_own():
        return {}  # they answer for the machine's own links only
    managed = networkmanager_links()
    found: dict[IfName, DhcpClient] = {}
    for link in links:
        if _has_networkd_lease(link) and networkd_has(link):
            found[link] = DhcpClient(kind="networkd", links=(link,), daemon="systemd-networkd")
        elif link in managed:
            found[link] = DhcpClient(kind="NetworkManager", links=(link,), daemon="NetworkManager")
    return found


def _has_networkd_lease(link: str) -> bool:
    try:
        return NETWORKD_LEASES.exists() and (NETWORKD_LEASES / str(socket.if_nametoindex(link))).exists()
    except OSError:
        return False
