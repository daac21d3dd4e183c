"""What confirmed changes of Bascule put on a host before: what goes again when the site file says it no more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.host_links import table_name
from bascule.model.kernel_parameters import conf
from bascule.model.site import Host, Site
from bascule.model.state import DEFAULT_DST, MARK, HostState, Link, Route
from bascule.model.values import IfName, Mac

RouteKey = tuple[str, str, str, str]  # link, destination, gateway and table
Way = tuple[str, str, str]  # the same, over whatever link
Altered = Mapping[str, tuple[str, str]]  # by property or kernel parameter: as it was found, and as a change set it
OF_THE_KERNEL = {"kernel", "ra", "redirect"}  # protocols of routes

MADE = {"bridge", "bond", "vlan"}  # kinds of links that files make

ALTERED = {
    4: ("arp_ignore", "arp_announce", "rp_filter"),
    6: ("accept_ra", "accept_ra_defrtr", "accept_ra_rt_info_max_plen", "disable_ipv6", "use_tempaddr"),
}


class EarlierChanges(Struct, frozen=True, kw_only=True):
    """``added`` are addresses, by link, ``named`` those that a site file named there, whoever had put them.

    ``isolated`` are the ports of guests that got the flag of that name.

    ``macs`` are those of bridges, bonds and VLAN links that were made, ``kept`` says whether files make them at each
    start: a manager that does so sets no mark. ``routed`` are routes: a manager that sets one again by our files
    does so under a protocol of its own. ``found`` are routes that the host had of itself, which a change may have set
    anew on another link: they stay the host's. ``altered`` is what changes have set on links that Bascule did not make,
    ``ports`` which of those became ports, and of what, uplinks first.
    """

    added: Mapping[str, frozenset[str]] = MappingProxyType({})
    named: Mapping[str, frozenset[str]] = MappingProxyType({})
    isolated: frozenset[str] = frozenset()
    macs: Mapping[str, Mac] = MappingProxyType({})
    kept: bool = False
    routed: frozenset[RouteKey] = frozenset()
    found: frozenset[Way] = frozenset()
    altered: Mapping[str, Altered] = MappingProxyType({})
    ports: Mapping[str, IfName] = MappingProxyType({})

    @property
    def parameters(self) -> tuple[str, ...]:
        """The kernel parameters that are looked at, so that they can be as they were found.

        Of a link that makes its own IPv6 address again whether it may: ifupdown2 turns IPv6 off on ports.
        """
        makers = [name for name, altered in self.altered.items() if "addrgenmode" in altered]
        known = [key for link in self.altered.values() for key in link if "/" in key]
        return tuple(dict.fromkeys((*known, *(conf(6, name, "disable_ipv6") for name in makers))))

    def recognised(self, site: Site, state: HostState) -> HostState:
        """The state with the mark on the links that files of ours have made again since, under their MACs."""
        found = {}
        for name, mac in self.macs.items() if self.kept else ():
            link = state.links.get(IfName(name))
            if link is not None and not link.alias and link.mac == mac and link.options.kind in MADE:
                found[link.name] = replace(link, alias=MARK + site.name)
        return replace(state, links={**state.links, **found}) if found else state

    def with_change(self, site: Site, host: Host, before: HostState, after: HostState) -> EarlierChanges:
        """What there is of it when one more change is made; what has moved or was found was not put there."""
        ways = _ways(self.routed)  # a route may move to another link
        named, there = named_routes(host), {route_key(route) for route in after.routes}
        own = {route_key(x) for x in before.routes if not x.is_ours and x.protocol not in OF_THE_KERNEL} - self.routed
        ours = {route_key(x) for x in after.routes if x.is_ours}
        found = _ways(there) & (self.found | _ways(own) & _ways(named) | _ways(ours - named))
        return EarlierChanges(
            added=self._added(host, before, after),
            named=_named(host, after),
            isolated=self._isolated(site, host, before, after),
            macs={name: x.mac for name, x in after.links.items() if _is_remembered(x) and x.is_ours and x.mac},
            routed=frozenset(x for x in there & named if x[1:] not in found and (x in ours or x[1:] in ways)),
            found=frozenset(found),
            altered=self._altered(host, before, after),
            ports=dict(self._ports(host, before, after)),
        )

    def _added(self, host: Host, before: HostState, after: HostState) -> dict[str, frozenset[str]]:
        """Of a bridge that has what its uplink has, those that the file names: the rest is the host's own."""
        had = {address.ip for link in before.links.values() for address in link.addresses}
        taken = {name: map(str, host.effective(x).addresses) for name, x in host.bridges.items() if x.from_uplink}
        put = {
            str(name): frozenset(
                a.ip for a in link.addresses if a.ip not in had or a.ip in self.added.get(name, frozenset())
            )
            for name, link in after.links.items()
        }
        put |= {name: put.get(name, frozenset()) & {*ips} for name, ips in taken.items()}
        return {name: ips for name, ips in put.items() if ips}

    def _altered(self, host: Host, before: HostState, after: HostState) -> dict[str, Altered]:
        names = dict.fromkeys(map(IfName, self.altered)) | dict.fromkeys(named_links(host))
        links = {name: before.links[name] for name in names if name in before.links}
        found: dict[str, Altered] = {}
        for name, link in links.items():
            known = self.altered.get(name, {})
            new = dict(_settings(name, after))
            both = [(key, old, new[key]) for key, old in _settings(name, before) if key in new]
            set_now = {
                key: (known[key][0] if key in known and known[key][1] == old else old, now)
                for key, old, now in both
                if old != now or key in known
            }
            kept = {key: pair for key, pair in set_now.items() if pair[0] != pair[1]}
            if kept and not link.is_ours:
                found[name] = kept
        return found

    def _ports(self, host: Host, before: HostState, after: HostState) -> Iterator[tuple[str, IfName]]:
        uplinks = (bridge.port for bridge in host.bridges.values() if bridge.port is not None)
        for name in dict.fromkeys((*uplinks, *named_links(host), *map(IfName, self.ports))):
            old, new = before.links.get(name), after.links.get(name)
            if new is None or new.master is None or new.is_ours:
                continue
            if old is None or old.master != new.master or self.ports.get(name) == new.master:
                yield name, new.master

    def _isolated(self, site: Site, host: Host, before: HostState, after: HostState) -> frozenset[str]:
        found: set[IfName] = set()
        for nic in site.guest_nics(host.name):
            old, new = (state.links.get(nic.tap) for state in (before, after))
            was = old is not None and old.port is not None and old.port.isolated
            if nic.guarding.port_flag and new is not None and (not was or nic.tap in self.isolated):
                found.add(nic.tap)
        return frozenset(found)


def _is_remembered(link: Link) -> bool:
    return link.is_bridge or link.options.kind in MADE


def _named(host: Host, after: HostState) -> dict[str, frozenset[str]]:
    """The addresses that the file names and that are on their links, by link."""
    found = {}
    for said in map(host.effective, host.links()):
        there = after.links.get(said.name)
        if there is not None and (own := {*map(str, said.addresses)} & {one.ip for one in there.addresses}):
            found[str(said.name)] = frozenset(own)
    return found


def named_links(host: Host) -> Iterator[IfName]:
    """All links of a host that its file names, but for guests' taps."""
    yield from (link.name for link in host.links())
    yield from (port.link for bridge in host.bridges.values() for port in bridge.every_port)
    yield from (nic for bond in host.bonds.values() for nic in bond.nics)


def _settings(name: str, state: HostState) -> Iterator[tuple[str, str]]:
    """What a change may set on a link that it did not make, and what nobody else sets again when that is over."""
    link = state.links.get(IfName(name))
    if link is None:
        return
    yield "mtu", str(link.mtu)
    yield "addrgenmode", link.addrgenmode
    for version in (4, 6):
        for key in ALTERED[version]:
            if (value := state.sysctls.get(conf(version, name, key))) is not None:
                yield conf(version, name, key), value


def route_key(route: Route) -> RouteKey:
    """By what a route is known again, whoever set it."""
    return route.dev, route.dst, route.gateway, route.table


def _ways(keys: Iterable[RouteKey]) -> frozenset[Way]:
    return frozenset(key[1:] for key in keys)


def named_routes(host: Host) -> frozenset[RouteKey]:
    """Those that the site file names."""
    named: set[RouteKey] = set()
    for said in map(host.effective, host.links()):
        named |= {(said.name, DEFAULT_DST[router.version], str(router), "main") for router in said.gateways}
        named |= {(said.name, str(one.to), str(one.via or ""), table_name(one.table)) for one in said.routes}
    named |= {(dev, str(one.to), "", table_name(one.table)) for one in host.routes for dev in ("", "lo")}
    return frozenset(named)


NOTHING = EarlierChanges()
