"""What of a change touches the host's own connection to its networks: its addresses, its routes, the links under them.

Such a change needs a confirmation, whoever makes it: where it is mistyped nobody may reach the host any more. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from ipaddress import ip_interface
from types import MappingProxyType

from msgspec.structs import replace

from bascule.model.kernel_parameters import conf
from bascule.model.state import DEFAULT_DST, Address, HostState, Route
from bascule.model.values import IfName, grouped, link_local
from bascule.plan.change import Note, Plan
from bascule.plan.guest_ports import guest_ports, wires_of
from bascule.topology.management import host_path

ABOUT = {"existence", "up", "mac", "mtu", "options", "master", "port", "vlans"}  # of a link, what its frames feel


class HostConnectivity:
    """The host's own addresses and routes before a change and after it.

    ``nics`` are the links that the file calls NICs: in a namespace they look like a guest's. A bridge that has no NIC
    below it before or after leads to guests alone, so its addresses are not counted. Link-local addresses that somebody
    gave by hand count where there are no others: they are the only way in then. Every link has one of the kernel's.
    An address to which somebody is ``connected`` counts whatever it is. Ports that are ``listeners`` of mirrors carry
    nothing of the host's.
    """

    def __init__(
        self,
        before: HostState,
        after: HostState,
        nics: Collection[str],
        connected: Mapping[str, str] = MappingProxyType({}),
        listeners: Collection[IfName] = (),
    ) -> None:
        self._listeners = listeners
        self.before, self.after, self._nics, self._connected = before, after, nics, connected
        bridges = {name for state in (before, after) for name, link in state.links.items() if link.is_bridge}
        self.inward = {name for name in bridges if not any(wires_of(state, name, nics) for state in (before, after))}
        self._guests = {*guest_ports(before, nics), *guest_ports(after, nics)}
        self._by_link_local = not any(self._own(before, link_local=False))

    def changes(self, plan: Plan) -> tuple[str, ...]:
        """What changes about it, a sentence for each thing; nothing where the plan that leads there is empty."""
        return (*self._address_changes(), *self._route_changes(), *self._link_changes(plan)) if plan else ()

    def warnings(self) -> Iterator[Note]:
        """That the only address, or the only default route, of an IP version goes."""
        had, has = self.addresses(self.before), self.addresses(self.after)
        for version in (4, 6):
            old, new = ([ip for ip in found if ip_interface(ip).version == version] for found in (had, has))
            if old and not new and not any(map(self._made_anew, old)):
                text = f"with {', '.join(old)} this host loses its last IPv{version} address: "
                text += f"it can no longer be reached over IPv{version}"
                yield Note(kind="warning", subject=had[old[0]], text=text)
        ways, left = _defaults(self.before), {route.dst for route in _defaults(self.after)}
        for version, dst in DEFAULT_DST.items():
            first = next((route for route in ways if route.dst == dst), None)
            if first is None or dst in left:
                continue
            text = f"the only default route of IPv{version} ({_way(first)}) is removed: "
            text += "the host then reaches its own subnets only"
            yield Note(kind="warning", subject=first.dev or "route", text=text)

        yield from self._unheard()

    def _unheard(self) -> Iterator[Note]:
        """Addresses that stay on a NIC which becomes a port: who asks for them asks the bridge.

        That answers for IPv4 addresses (not where ``arp_ignore`` says so), and by it the answers to neighbours must go.
        """
        for name, link in self.after.links.items():
            before = self.before.links.get(name)
            if link.master is None or before is None or before.master == link.master:
                continue
            bridge = self.after.links[link.master]
            silent = self.after.sysctls.get(conf(4, bridge.name, "arp_ignore")) == "1"
            answered = () if silent else tuple(ip_interface(a.ip).network for a in bridge.addresses if not a.is_ipv6)
            kept = [
                a.ip
                for a in link.addresses
                if not a.is_link_local and not any(ip_interface(a.ip).ip in network for network in answered)
            ]
            if kept and bridge.is_bridge:
                text = f"the host is not reached at what stays on this port ({', '.join(kept)}): "
                yield Note(kind="warning", subject=name, text=f"{text}say 'address: from-uplink' at {link.master}")

    def addresses(self, state: HostState) -> Mapping[str, IfName]:
        """The link that each address of the host is on, with its prefix length; link-local ones if it had no others."""
        return dict(self._own(state, link_local=self._by_link_local))

    def _own(self, state: HostState, *, link_local: bool) -> Iterator[tuple[str, IfName]]:
        for name, link in state.links.items():
            if name == "lo":
                continue
            local = link_local and name not in self._guests and link.addrgenmode in {"eui64", "none"}
            for a in link.addresses:
                counts = name not in self.inward and (not a.is_link_local or (local and not _is_of_mac(a.ip)))
                if counts or a.local in self._connected:
                    yield a.ip, name

    def _address_changes(self) -> Iterator[str]:
        had, has = self._places(self.before), self._places(self.after)
        for ip, links in had.items():
            peer = self._connected.get(ip.partition("/")[0])
            line = f" ({peer} is connected to it)" if peer else ""
            there = has.get(ip) or [now for now in (self._made_anew(ip),) if now]
            fresh = [link for link in there if link not in links]
            for link in links:
                if fresh and link not in there:
                    yield f"{ip} moves from {link} to {fresh.pop(0)}{line}"
                elif link not in there:
                    yield f"{ip} is removed from {link}{line}"
            yield from (f"{ip} is new on {link}" for link in fresh)
        yield from (f"{ip} is new on {link}" for ip, links in has.items() if ip not in had for link in links)

    def _places(self, state: HostState) -> Mapping[str, list[IfName]]:
        """The links that each address of the host is on: one of a MAC that two links have, one of no subnet."""
        return grouped((ip, link) for ip, link in self._own(state, link_local=self._by_link_local))

    def _made_anew(self, ip: str) -> IfName | None:
        """The link whose MAC the kernel will make a link-local address of, the same as before."""
        links = (x for x in self.after.links.values() if x.up and x.mac and x.addrgenmode == "eui64")
        fresh = (x for x in links if all(a.ip != ip for a in self._addresses_before(x.name)))
        return next((x.name for x in fresh if x.mac and ip == f"{link_local(x.mac)}/64"), None)

    def _addresses_before(self, name: IfName) -> tuple[Address, ...]:
        return self.before.links[name].addresses if name in self.before.links else ()

    def _route_changes(self) -> Iterator[str]:
        had, has = (
            [route for route in state.routes if route.dev not in self.inward] for state in (self.before, self.after)
        )
        gone, new = [route for route in had if route not in has], [route for route in has if route not in had]
        for route in gone:
            then = next((one for one in new if _is_moved(route, one)), None)
            if then is None:
                yield f"the route {_name(route)} is removed"
            else:
                new.remove(then)
                old, now = (" and ".join(_links(one)) for one in (route, then))
                yield f"the route {_name(_nowhere(route))} moves from {old} to {now}"
        yield from (f"the route {_name(route)} is new" for route in new)
        if self.before.rules != self.after.rules:
            yield "the rules of policy routing change"

    def _link_changes(self, plan: Plan) -> Iterator[str]:
        """Of the links below an address or a default route. One that is new carries nothing yet."""
        below: dict[str, str] = {}
        now: set[str] = set()
        for state in (self.after, self.before):
            own = [*self._own(state, link_local=self._by_link_local)]
            carried = {link: ip for ip, link in reversed(own)}  # the first of each
            ways = (IfName(name) for route in _defaults(state) for name in _links(route))
            for name, what in {**dict.fromkeys(ways, "the default route"), **carried}.items():
                for lower in host_path(state, name) - guest_ports(state, self._nics).keys() - {*self._listeners}:
                    below[lower] = what
                    now |= {lower} if state is self.before else set()
        actions = grouped(
            (change.subject, change.action)
            for change in plan.changes
            if change.subject in below and change.subject in self.before.links and change.about in ABOUT
        )
        for link, words in actions.items():
            verb = "carries" if link in now else "is to carry"
            yield f"{link}, which {verb} {below[link]}: {', '.join(words)}"


def _defaults(state: HostState) -> list[Route]:
    return [r for r in state.routes if r.is_default and r.table == "main" and r.kind == "unicast"]


def _is_moved(route: Route, other: Route) -> bool:
    """Whether a route is another one over another link, whoever made it; the metric of an advertised one differs."""
    like = replace(_nowhere(other), lifetime=route.lifetime, protocol=route.protocol)
    same = (like, replace(like, metric=route.metric)) if route.protocol == "ra" else (like,)
    return _links(route) != _links(other) and bool(_links(route)) and _nowhere(route) in same


def _links(route: Route) -> list[str]:
    """The links that it leads by, those of the hops of a multipath route each once."""
    return list(dict.fromkeys(dev for _, dev in route.hops if dev))


def _nowhere(route: Route) -> Route:
    """The same over no link."""
    hops = (re.sub(r" ?\bdev \S+", "", hop) for hop in route.nexthops)
    return replace(route, dev="", nexthops=tuple(hops))


def _way(route: Route) -> str:
    gateway = f"via {route.gateway}" if route.gateway else ""
    return " ".join(filter(None, (gateway, f"dev {route.dev}" if route.dev else "", *route.nexthops)))


def _name(route: Route) -> str:
    table = f" in table {route.table}" if route.table != "main" else ""
    return f"{route.destination} {_way(route)}".rstrip() + table


@cache
def _is_of_mac(ip: str) -> bool:
    """Whether a link-local address is made of a MAC, as the kernel makes it (RFC 4291, appendix A)."""
    return ip_interface(ip).ip.packed[11:13] == b"\xff\xfe"
