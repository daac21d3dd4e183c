"""What becomes of this host's leases and name servers: the plan's part, asked of what runs here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from bascule.dhcp.clients import daemons_of, dhcp_clients
from bascule.model.site import Host
from bascule.model.state import HostState
from bascule.plan.leases import AddressMove, Leases, NameServers, leases, moves
from bascule.system.net.resolved import link_names


def leases_here(host: Host, observed: HostState, wanted: HostState) -> Leases:
    """What becomes of this host's leases; processes are looked at only where an address moves."""
    moved = tuple(moves(host, observed, wanted))
    if not moved:
        return Leases()
    daemons = daemons_of(move.link for move in moved)
    return leases(moved, dhcp_clients(), daemons, tuple(_names(moved)), sees_all=os.geteuid() == 0)


def _names(moved: Iterable[AddressMove]) -> Iterator[NameServers]:
    for move in moved:
        if move.to is not None and (facts := link_names(move.link)):
            yield NameServers(link=move.link, to=move.to, facts=facts)
