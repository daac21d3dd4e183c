"""What confirmed changes of Bascule put on a host before: what goes again when the site file says it no more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from bascule.model.site import Host, Site
from bascule.model.state import HostState, Route
from bascule.model.values import IfName, Mac

RouteKey = tuple[str, str, str, str]  # link, destination, gateway and table


class EarlierChanges(Struct, frozen=True, kw_only=True):
    """``added`` are addresses, by link; ``isolated`` the ports of guests that got the flag of that name.

    ``macs`` are those that bridges were made with. ``routed`` are routes: a manager that sets one again by our files
    does so under a protocol of its own.
    """

    added: Mapping[str, frozenset[str]] = MappingProxyType({})
    isolated: frozenset[str] = frozenset()
    macs: Mapping[str, Mac] = MappingProxyType({})
    routed: frozenset[RouteKey] = frozenset()

    def with_change(self, site: Site, host: Host, before: HostState, after: HostState) -> EarlierChanges:
        """What there is of it when one more change is made; what has moved or was found was not put there."""
        known = {key[1:] for key in self.routed}  # a route may move to another link
        return EarlierChanges(
            added=self._added(before, after),
            isolated=self._isolated(site, host, before, after),
            macs={name: x.mac for name, x in after.links.items() if x.is_bridge and x.is_ours and x.mac},
            routed=frozenset(key for x in after.routes if (key := route_key(x))[1:] in known or x.is_ours),
        )

    def _added(self, before: HostState, after: HostState) -> dict[str, frozenset[str]]:
        had = {address.ip for link in before.links.values() for address in link.addresses}
        found = {
            str(name): frozenset(
                a.ip for a in link.addresses if a.ip not in had or a.ip in self.added.get(name, frozenset())
            )
            for name, link in after.links.items()
        }
        return {name: ips for name, ips in found.items() if ips}

    def _isolated(self, site: Site, host: Host, before: HostState, after: HostState) -> frozenset[str]:
        found: set[IfName] = set()
        for nic in site.guest_nics(host.name):
            old, new = (state.links.get(nic.tap) for state in (before, after))
            was = old is not None and old.port is not None and old.port.isolated
            if nic.guarding.port_flag and new is not None and (not was or nic.tap in self.isolated):
                found.add(nic.tap)
        return frozenset(found)


def route_key(route: Route) -> RouteKey:
    """By what a route is known again, whoever set it."""
    return route.dev, route.dst, route.gateway, route.table


NOTHING = EarlierChanges()
