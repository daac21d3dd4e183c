"""Who keeps the leases of this host: DHCP clients in our network namespace, and daemons that are one themselves."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from bascule.model.dhcp import KINDS, Client
from bascule.model.site import Host
from bascule.model.state import HostState
from bascule.plan.leases import Leases, Move, Names, leases, moves
from bascule.system.managers import in_first_namespace, networkd_has, networkmanager_has
from bascule.system.process import Program, programs
from bascule.system.resolved import link_names

NETWORKD_LEASES = Path("/run/systemd/netif/leases")  # a file for each link that has one, named by its index
NM_HELPER = "nm-dhcp-helper"  # the script of a dhclient that NetworkManager has started


def dhcp_clients(running: Iterable[Program] | None = None) -> tuple[Client, ...]:
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
        found.append(Client(kind=name, links=KINDS[name].links(argv), argv=argv, pid=program.pid, daemon=daemon))
    return tuple(found)


def _name(argv: tuple[str, ...]) -> str:
    first = Path(argv[0].partition(":")[0]).name  # dhcpcd writes a title: "dhcpcd: eth0 [ip4]"
    return Path(argv[1]).name if first == "busybox" and len(argv) > 1 else first


def daemon_of(link: str) -> Client | None:
    """The manager that keeps the lease of a link itself, if there is one."""
    if not in_first_namespace():
        return None  # it answers for the machine's own links only
    try:
        index = socket.if_nametoindex(link)
    except OSError:
        return None
    if (NETWORKD_LEASES / str(index)).exists() and networkd_has(link):
        return Client(kind="networkd", links=(link,), daemon="systemd-networkd")
    if networkmanager_has(link):
        return Client(kind="NetworkManager", links=(link,), daemon="NetworkManager")
    return None


def leases_here(host: Host, observed: HostState, wanted: HostState) -> Leases:
    """What becomes of this host's leases; processes are looked at only where an address moves."""
    moved = moves(host, observed, wanted)
    if not moved:
        return Leases()
    daemons = {move.link: daemon for move in moved if (daemon := daemon_of(move.link)) is not None}
    return leases(moved, dhcp_clients(), daemons, tuple(_names(moved)))


def _names(moved: Iterable[Move]) -> Iterator[Names]:
    for move in moved:
        if move.to is not None and (facts := link_names(move.link)):
            yield Names(link=move.link, to=move.to, facts=facts)
