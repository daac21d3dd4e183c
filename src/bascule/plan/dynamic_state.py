"""What comes by itself while a change is made: leases, advertised addresses and routes, and what a DHCP client sets."""

from __future__ import annotations

from collections.abc import Container

from msgspec.structs import replace

from bascule.model.state import HostState

COMING = {"ra", "dhcp", "kernel"}  # protocols of routes that come and go by themselves


def with_what_came(wanted: HostState, before: HostState, now: HostState, clients: Container[str]) -> HostState:
    """The wanted state with the addresses and routes that came meanwhile and that nobody asked to go.

    ``clients`` are links on which a DHCP client was started: all that is new there is its own, and its routes
    stand in for those that it set on its old link (dhcpcd gives them a metric that has to do with the link).
    """
    links = dict(wanted.links)
    for name, link in wanted.links.items():
        seen, old = now.links.get(name), before.links.get(name)
        if seen is None or seen.addresses == link.addresses:
            continue
        known = {a.ip for a in link.addresses} | ({a.ip for a in old.addresses} if old is not None else set())
        # the kernel makes link-local ones when a carrier comes, which may be just now
        new = tuple(
            a for a in seen.addresses if a.ip not in known and (a.dynamic or a.is_link_local or name in clients)
        )
        if new:
            links[name] = replace(link, addresses=link.addresses + new)
    planned, had = set(wanted.routes), set(before.routes)
    mine = tuple(r for r in wanted.routes if r.dev not in clients or r.protocol != "dhcp")
    came = tuple(
        r
        for r in now.routes
        if (r.dev in clients and (r not in planned or r.protocol == "dhcp"))
        or (r.protocol in COMING and r not in planned and r not in had)
    )
    return replace(wanted, links=links, routes=mine + came)
