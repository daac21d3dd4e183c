"""The links of a host as the site file declares them: what sits on what, and what the host says on each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.host_links import Bond, Bridge, HostLink, HostRoute, Nic, PolicyRule, RouteHop, VlanLink
from bascule.model.values import IfName, Vid


class HostLinks(Struct, frozen=True, kw_only=True, dict=True):
    """The links of a host, how they hang together, and the rules by which it routes over them."""

    nics: Mapping[IfName, Nic] = field(default_factory=dict)
    bonds: Mapping[IfName, Bond] = field(default_factory=dict)
    vlans: Mapping[IfName, VlanLink] = field(default_factory=dict)
    bridges: Mapping[IfName, Bridge] = field(default_factory=dict)
    rules: tuple[PolicyRule, ...] = ()
    routes: tuple[HostRoute, ...] = ()  # those that stand on no single link

    @cached_property
    def listeners(self) -> frozenset[IfName]:
        """All links that get the copies of mirrors, and nothing else."""
        return frozenset(IfName(mirror.to) for bridge in self.bridges.values() for mirror in bridge.mirrors)

    def links(self) -> Iterator[HostLink]:
        """Its NICs, bonds, VLAN links and bridges: all links on which it may speak."""
        for table in (self.nics, self.bonds, self.vlans, self.bridges):
            yield from table.values()

    def link(self, name: str) -> HostLink | None:
        """One of them by its name."""
        own = IfName(name)
        return self.nics.get(own) or self.bridges.get(own) or self.bonds.get(own) or self.vlans.get(own)

    def speakers(self) -> Iterator[HostLink]:
        """Those on which it speaks: what hands its addresses over to a bridge is silent."""
        silent = {bridge.uplink for bridge in self.bridges.values() if bridge.from_uplink}
        return (link for link in self.links() if link.has_address and link.name not in silent)

    def below(self, link: HostLink) -> tuple[IfName, ...]:
        """The links that one is made of, as far as the file names them."""
        if isinstance(link, Bond):
            return link.nics
        if isinstance(link, VlanLink):
            return (link.link,)
        if isinstance(link, Bridge):
            return (*filter(None, (link.uplink,)), *(port.link for port in link.ports))
        return ()

    def joined(self, link: HostLink) -> tuple[HostLink, ...]:
        """A link, and the bridges that one is joined to by patches: one broadcast domain."""
        found = {link.name: link}
        queue = [link]
        for each in queue:
            for patch in each.patches if isinstance(each, Bridge) else ():
                other = self.bridges.get(patch.to)
                if other is not None and other.name not in found:
                    found[other.name] = other
                    queue.append(other)
        return tuple(queue)

    def is_alone(self, bridge: Bridge) -> bool:
        """Whether it has no uplink on purpose, nor one behind a patch: nobody but guests is on it."""
        ways = (one for one in self.joined(bridge) if isinstance(one, Bridge))
        return all(one.uplink is None and one.uplink_unknown is None for one in ways)

    def stacked(self) -> Iterator[VlanLink | Bridge]:
        """Its VLAN links and bridges, so that what others sit on comes first; the rest in the order of the file."""
        done: set[IfName] = set()

        def visit(link: HostLink | None) -> Iterator[VlanLink | Bridge]:
            if not isinstance(link, VlanLink | Bridge) or link.name in done:
                return
            done.add(link.name)
            for below in self.below(link):
                yield from visit(self.link(below))
            yield link

        for link in (*self.vlans.values(), *self.bridges.values()):
            yield from visit(link)

    def above(self, nic: IfName) -> tuple[VlanLink | Bridge, ...]:
        """The VLAN links and bridges that a NIC carries."""
        return self._above.get(nic, ())

    @cached_property
    def _above(self) -> Mapping[IfName, tuple[VlanLink | Bridge, ...]]:
        found: dict[IfName, list[VlanLink | Bridge]] = {}
        for link in self.stacked():
            for nic in dict.fromkeys(nic for each in self.joined(link) for nic in self.nics_of(each.name)):
                found.setdefault(nic.name, []).append(link)
        return {name: tuple(links) for name, links in found.items()}

    def nics_of(self, name: str | None) -> tuple[Nic, ...]:
        """The NICs that carry a link: itself, the members of a bond, what is below a VLAN link or a bridge."""
        link = self.link(name) if name else None
        if link is None or isinstance(link, Nic):
            return () if link is None else (link,)
        return tuple(nic for below in self.below(link) for nic in self.nics_of(below))

    def uplink_nics(self, bridge: Bridge) -> tuple[Nic, ...]:
        """The NICs that carry a bridge: those of its uplink and of its further ports, or none."""
        return self.nics_of(bridge.name)

    def handed(self, link: HostLink) -> HostLink | None:
        """The link whose addresses a bridge takes (``address: from-uplink``)."""
        return self.link(link.uplink) if isinstance(link, Bridge) and link.from_uplink and link.uplink else None

    def ways(self, route: HostRoute) -> tuple[RouteHop, ...]:
        """The ways of a route, by a bridge instead of the link that hands its addresses over to it."""
        handed = {bridge.uplink: bridge.name for bridge in self.bridges.values() if bridge.from_uplink}
        return tuple(replace(hop, link=handed.get(hop.link, hop.link)) for hop in route.hops)

    def effective(self, link: HostLink) -> HostLink:
        """What the host says on a link: its own addresses, routes and name servers, and those handed over to it."""
        one = self.handed(link)
        if one is None:
            return link
        return replace(
            link,
            addresses=link.addresses + one.addresses,
            dhcp=link.dhcp or one.dhcp,
            ipv6=one.ipv6 if link.ipv6 is None else link.ipv6,
            ipv6_privacy=one.ipv6_privacy if link.ipv6_privacy is None else link.ipv6_privacy,
            gateways=link.gateways + one.gateways,
            metric=one.metric if link.metric is None else link.metric,
            unused=link.unused | one.unused,
            onlink=link.onlink or one.onlink,
            routes=link.routes + one.routes,
            dns=link.dns + one.dns,
            search=link.search + one.search,
        )

    def tags(self, name: str | None) -> tuple[Vid, ...]:
        """The tags under which the frames of a link stand on its wire, the outermost first."""
        link = self.link(name) if name else None
        if isinstance(link, VlanLink):
            return (*self.tags(link.link), link.id)
        if isinstance(link, Bridge):
            own = (link.vlan,) if link.vlan is not None and not link.vlan_aware else ()
            return (*self.tags(link.uplink), *own)
        return ()

    def is_enslaved(self, name: IfName) -> bool:
        """Whether a link is under a bridge or in a bond, so that it must carry no address of its own."""
        return name in self._enslaved

    @cached_property
    def _enslaved(self) -> frozenset[IfName]:
        members = (nic for bond in self.bonds.values() for nic in bond.nics)
        ports = (port.link for bridge in self.bridges.values() for port in bridge.every_port)
        return frozenset((*members, *ports))
