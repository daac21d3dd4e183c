"""What links of the file have beside what it says: addresses and routes by others, which stay and are told."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import Bridge, HostLink
from bascule.plan.target.addresses import BY_ITSELF, ZERO
from bascule.plan.target.builder import TargetBuilder


def note_extras(build: TargetBuilder) -> None:
    """Say of every such address and route that it stays; of a host that is taken as found nothing is extra."""
    if build.host.as_found:
        return
    for said in build.host.links():
        link = build.links.get(said.name)
        if link is not None and not link.arp and said.has_address:
            build.note("extra", said.name, "ARP is off, so nobody reaches the host here: it stays as it is")
        from_uplink = isinstance(said, Bridge) and said.from_uplink  # all that its uplink has is wanted there
        if link is None or said.name not in build.observed.links or link.master is not None or from_uplink:
            continue
        told = [*_addresses(build, said), *_routes(build, said)]
        for words in dict.fromkeys(told):
            build.note("extra", said.name, f"{words} is not in the file: it stays as it is")


def _addresses(build: TargetBuilder, said: HostLink) -> Iterator[str]:
    declared = {str(ip) for ip in said.addresses}
    there = {address.ip for address in build.observed.links[said.name].addresses}
    for address in build.links[said.name].addresses:
        if address.ip in there - declared and not address.is_link_local and not address.dynamic:
            yield address.ip


def _routes(build: TargetBuilder, said: HostLink) -> Iterator[str]:
    if said.dhcp:  # its client's script writes routes as anybody would by hand
        return
    declared = {(ZERO[gateway.version], str(gateway)) for gateway in said.gateways}
    declared |= {(str(route.to), str(route.via or "")) for route in said.routes}
    for route in build.routes:
        several = [hop for hop in route.nexthops if said.name in hop.split()]
        if (route.dev != said.name and not several) or route.protocol in BY_ITSELF or route.kind != "unicast":
            continue
        if route in build.observed.routes and (route.dst, route.gateway) not in declared:
            dst = "default" if route.dst in ZERO.values() else route.dst
            table = f" in table {route.table}" if route.table != "main" else ""
            via = f" via {route.gateway}" if route.gateway else "".join(f" {hop}" for hop in route.nexthops)
            yield f"the route {dst}{via}{table}"
