"""What a manager sets again on a NIC that has become a port, before it has read that it is one: an address, a route.

A NIC that is a port hears nobody answer, so a route by it leads nowhere.
"""

from __future__ import annotations

from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.providers.observe import observe


def clean_ports(folder: Folder) -> tuple[str, ...]:
    """Take it off the ports that the change made; what was taken off, a line for each. Raises BasculeError."""
    plan = _plan(folder.read(), observe())
    execute(plan)
    return tuple(f"{change.subject}: {change.action}" for change in plan.changes)


def _plan(checkpoint: Checkpoint, now: HostState) -> Plan:
    before, wanted = checkpoint.before.links, checkpoint.wanted.links
    ports = {
        name: link
        for name, link in now.links.items()
        if name in before and before[name].master is None and link.master is not None and name in wanted
        if link.master == wanted[name].master and not wanted[name].addresses
    }
    silent = {
        name: replace(link, addresses=tuple(address for address in link.addresses if address.is_link_local))
        for name, link in ports.items()
    }
    routes = tuple(route for route in now.routes if route.dev not in ports or route in checkpoint.wanted.routes)
    return diff(now, replace(now, links={**now.links, **silent}, routes=routes))
