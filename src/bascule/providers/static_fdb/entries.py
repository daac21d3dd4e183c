"""The entries of bridges' tables that will stand by the site file; of a saved state those that stood. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.policy.guards.ports import guarded_ports
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.static_fdb.state import StaticFdb
from bascule.topology.trace.network import LearnedMac
from bascule.topology.trace.rules.values import mac


def static_entries(state: HostState, site: Site | None = None, host: Host | None = None) -> tuple[LearnedMac, ...]:
    """Those of the state, and those of the file's guests, which come with their taps."""
    part: StaticFdb | None = STATIC_FDB.part(state)
    by_port = {port: set(macs) for port, macs in part.entries.items()} if part is not None else {}
    if site is not None and host is not None:
        for port in guarded_ports(site, host):
            if port.guarding.fdb == "static" and not port.by_flows:
                by_port.setdefault(str(port.name), set()).update(map(str, port.macs))
    return tuple(_entries(state, by_port))


def _entries(state: HostState, by_port: dict[str, set[str]]) -> Iterator[LearnedMac]:
    for port, macs in sorted(by_port.items()):
        link = state.links.get(IfName(port))
        if link is not None and link.master is not None:
            for one in sorted(macs):
                yield LearnedMac(mac=mac(one), port=port, bridge=link.master, static=True)
