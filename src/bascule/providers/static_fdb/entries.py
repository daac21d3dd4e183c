"""The entries that somebody made in the tables of a host's bridges, as a frame meets them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.static_fdb.state import StaticFdb
from bascule.topology.trace.network import LearnedMac
from bascule.topology.trace.rules.values import mac


def static_entries(state: HostState) -> Iterator[LearnedMac]:
    """Those of a state, observed or wanted, at ports of bridges."""
    part: StaticFdb | None = STATIC_FDB.part(state)
    for port, macs in part.entries.items() if part is not None else ():
        link = state.links.get(IfName(port))
        if link is not None and link.master is not None:
            yield from (LearnedMac(mac=mac(one), port=port, bridge=link.master, static=True) for one in macs)
