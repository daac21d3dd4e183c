"""Document to Site: every reference is known to lead somewhere by now, every default is filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Literal, TypeVar

from msgspec import Struct

from bascule.errors import Place
from bascule.model import host_links as links
from bascule.model import site as m
from bascule.model.dhcp.offers import Offer, unused
from bascule.model.guarding import GROUPS, Bandwidth, Guarding, GuardLevel, VirtualRouter
from bascule.model.links.mirror import Mirror
from bascule.model.links.wake_on_lan import in_order
from bascule.model.network_mtus import with_network_mtus
from bascule.model.site_place import SitePlace, SiteSource
from bascule.model.values import IfName, IpInterface, Mac, derive_guest_mac, derive_tap, id_path
from bascule.site import document as d
from bascule.site.checks.access import questions, service_of
from bascule.site.checks.forwards import flow_ends
from bascule.site.checks.guards import fdb_of, guard_of
from bascule.site.checks.switches import patch_ends, switch_ports, tagged_bridges
from bascule.site.entry import Entry
from bascule.site.findings import Path
from bascule.site.parsers import NO_UPLINK, UNKNOWN
from bascule.site.wiring import DocumentWiring

Value = TypeVar("Value", bound=Struct)


def build(wiring: DocumentWiring, data: bytes) -> m.Site:
    """The site of a document without problems."""
    return with_network_mtus(_Builder(wiring).site(data))


def _as(kind: type[Value], entry: Entry, **given: Any) -> Value:
    """A value: what is given, and what the entry says under the same names."""
    return kind(**{name: getattr(entry, name) for name in _in_both(kind, type(entry))} | given)


@cache
def _in_both(kind: type[Struct], entry: type[Entry]) -> tuple[str, ...]:
    """The fields that a value and its entry have under the same name."""
    return tuple(name for name in kind.__struct_fields__ if name in entry.model_fields)


def _static(addresses: tuple[IpInterface | Literal["dhcp", "from-uplink"], ...]) -> tuple[IpInterface, ...]:
    return tuple(address for address in addresses if not isinstance(address, str))


class _Builder:
    def __init__(self, wiring: DocumentWiring) -> None:
        self.wiring = wiring
        self.document = wiring.document
        self.found = wiring.found
        self.file = wiring.found.file
        guests = self.document.guests.values()
        machines = self.document.machines.values()
        self.macs: set[Mac | None] = {nic.mac for guest in guests for nic in guest.nics}
        self.macs |= {nic.mac for machine in machines for nic in machine.nics}
        self.places: dict[Path, Place] = {}
        self.tagged = tagged_bridges(self.document)
        for host in self.document.hosts.values():
            tables = (host.nics, host.bonds, host.vlans, host.bridges)
            self.macs |= {link.mac for table in tables for link in table.values()}

    def site(self, data: bytes) -> m.Site:
        document = self.document
        return m.Site(
            name=document.site,
            networks={
                name: m.Network(
                    name=name,
                    subnets=each.subnet,
                    gateways=each.gateway,
                    vlan=each.vlan,
                    mtu=each.mtu,
                    place=self.at(("networks", name)),
                )
                for name, each in document.networks.items()
            },
            hosts={name: self.host(name, each) for name, each in document.hosts.items()},
            guests={name: self.guest(name, each) for name, each in document.guests.items()},
            machines={name: self.machine(name, each) for name, each in document.machines.items()},
            expectations=tuple(
                m.Expectation(
                    source=each.source,
                    target=each.target,
                    service=service_of(each.entry),
                    verdict=m.Verdict(each.entry.verdict),
                    seen_as=each.entry.seen_as,
                    place=self.at(each.path),
                )
                for each in questions(self.wiring)
            ),
            source=SiteSource(path=self.file, digest=hashlib.sha256(data).hexdigest()),
        )

    def at(self, path: Path) -> Place:
        """Where an entry begins."""
        if (place := self.places.get(path)) is None:  # an expectation of groups stands for many
            place = self.places[path] = SitePlace(*self.found.place(path, key=True))
        return place

    def host(self, name: str, host: d.Host) -> m.Host:
        top: Path = ("hosts", name)
        ends = patch_ends(self.document, name, self.at)
        return m.Host(
            name=name,
            memory=host.memory,
            persist=host.persist,
            as_found=host.as_found,
            nics={link: self.nic(link, each, (*top, "nics", link)) for link, each in host.nics.items()},
            bonds={link: self.bond(link, each, (*top, "bonds", link)) for link, each in host.bonds.items()},
            vlans={link: self.vlan(link, each, (*top, "vlans", link)) for link, each in host.vlans.items()},
            bridges={
                link: self.bridge(link, each, (*top, "bridges", link), ends.get(link, ()))
                for link, each in host.bridges.items()
            },
            rules=tuple(self.rule(each, (*top, "rules", index)) for index, each in enumerate(host.rules)),
            routes=tuple(self.host_route(each, (*top, "routes", index)) for index, each in enumerate(host.routes)),
            virtual_networks={
                net: self.virtual(net, each, (*top, "virtual_networks", net))
                for net, each in host.virtual_networks.items()
            },
            serves=host.serves,
            place=self.at(top),
        )

    def shared(self, name: IfName, link: d.HostLink, path: Path) -> dict[str, Any]:
        """What all links of a host share."""
        return {
            "name": name,
            "network": link.network if isinstance(link, d.WiredLink) else None,
            "addresses": _static(link.address),
            "dhcp": "dhcp" in link.address,
            "ipv6": None if link.ipv6 is None else links.Ipv6(link.ipv6),
            "ipv6_privacy": None if link.ipv6_privacy is None else links.Ipv6Privacy(link.ipv6_privacy),
            "gateways": link.gateway,
            "metric": link.metric,
            "unused": unused({Offer.GATEWAY: link.use_gateway, Offer.ROUTES: link.use_routes, Offer.DNS: link.use_dns}),
            "onlink": link.onlink,
            "routes": self.routes(link.routes, path),
            "dns": link.dns,
            "search": link.search,
            "hooks": link.as_found.ifupdown if link.as_found is not None else (),
            "mac": link.mac,
            "mtu": link.mtu,
            "place": self.at(path),
        }

    def nic(self, name: IfName, nic: d.Nic, path: Path) -> links.Nic:
        switch = None
        if nic.switch:
            switch = links.SwitchPort(name=nic.switch.name, port=nic.switch.port, place=self.at((*path, "switch")))
        wol = in_order(nic.wol) if nic.wol else None
        return links.Nic(path=nic.path and id_path(nic.path), wol=wol, switch=switch, **self.shared(name, nic, path))

    def bond(self, name: IfName, bond: d.Bond, path: Path) -> links.Bond:
        return links.Bond(
            nics=tuple(member for member in bond.nics if member != UNKNOWN),
            nics_unknown=self.found.place((*path, "nics")) if UNKNOWN in bond.nics else None,
            mode=bond.mode,
            **bond.options | {"arp_ip_target": tuple(map(str, bond.arp_ip_target)) or None},
            by_kernel=bond.by_kernel,
            **self.shared(name, bond, path),
        )

    def vlan(self, name: IfName, vlan: d.VlanLink, path: Path) -> links.VlanLink:
        return _as(links.VlanLink, vlan, **self.shared(name, vlan, path))

    def routes(self, routes: Sequence[d.Route | d.LinkRoute], path: Path) -> tuple[links.StaticRoute, ...]:
        return tuple(
            links.StaticRoute(
                to=each.to,
                via=each.via,
                metric=each.metric,
                table=each.table if isinstance(each, d.LinkRoute) and each.table != links.MAIN_TABLE else None,
                onlink=isinstance(each, d.LinkRoute) and each.onlink,
                src=each.src if isinstance(each, d.LinkRoute) else None,
                place=self.at((*path, "routes", index)),
            )
            for index, each in enumerate(routes)
        )

    def host_route(self, route: d.HostRoute, path: Path) -> links.HostRoute:
        return _as(
            links.HostRoute,
            route,
            type=route.type or links.UNICAST,
            hops=tuple(_as(links.RouteHop, hop) for hop in route.via),
            table=route.table if route.table != links.MAIN_TABLE else None,
            place=self.at(path),
        )

    def rule(self, rule: d.PolicyRule, path: Path) -> links.PolicyRule:
        prefix = rule.from_ or rule.to
        return _as(
            links.PolicyRule,
            rule,
            source=rule.from_,
            sport=rule.sport,
            dport=rule.dport,
            uidrange=rule.uidrange,
            inverted=rule.not_,
            ipv6=prefix.version == 6 if prefix is not None else rule.family == "ipv6",
            place=self.at(path),
        )

    def bridge(self, name: IfName, bridge: d.Bridge, path: Path, patches: Iterable[links.Patch]) -> links.Bridge:
        return _as(
            links.Bridge,
            bridge,
            uplink=None if bridge.uplink in NO_UPLINK else bridge.uplink,
            uplink_unknown=self.found.place((*path, "uplink")) if bridge.uplink == "unknown" else None,
            ports=tuple(self.port(bridge, each, (*path, "ports", index)) for index, each in enumerate(bridge.ports)),
            from_uplink="from-uplink" in bridge.address,
            vlan_aware=self.is_vlan_aware(str(path[1]), name, bridge),
            native_tagged=bridge.native == "tagged",
            port_flags=_flags(bridge.port_flags),
            openvswitch=self.openvswitch(str(path[1]), name, bridge, path) if not bridge.by_kernel else None,
            patches=tuple(patches),
            **self.shared(name, bridge, path),
        )

    def port(self, bridge: d.Bridge, port: d.DeclaredPort, path: Path) -> links.DeclaredPort:
        alike = port.is_like_uplink
        return _as(
            links.DeclaredPort,
            port,
            vlans=bridge.vlans if alike else port.vlans,
            pvid=bridge.pvid if alike else port.pvid,
            for_guests=alike,
            port_flags=_flags(port.port_flags),
            place=self.at(path),
        )

    def is_vlan_aware(self, host: str, name: IfName, bridge: d.Bridge) -> bool:
        """Whether it keeps VLANs apart; Open vSwitch always can, and does where the file uses one."""
        if bridge.by_kernel:
            return bridge.vlan_aware
        named = ("hosts", host, "bridges", name, "vlan_aware") in self.found.values
        own = bool(bridge.vlans) or bridge.pvid is not None or not all(port.is_like_uplink for port in bridge.ports)
        return (host, name) in self.tagged or named or own

    def openvswitch(self, host: str, name: IfName, bridge: d.Bridge, path: Path) -> links.OpenVSwitch:
        ports = switch_ports(self.document, host, name, bridge) if bridge.mirror else {}
        return _as(
            links.OpenVSwitch,
            bridge,
            mirrors=tuple(
                Mirror(
                    sources=tuple(dict.fromkeys(port for word in each.from_ for port in ports[word])),
                    to=ports[each.to][0] if each.to in ports else IfName(each.to),
                    place=self.at((*path, "mirror", index)),
                )
                for index, each in enumerate(bridge.mirror)
            ),
        )

    def virtual(self, name: str, net: d.VirtualNetwork, path: Path) -> m.VirtualNetwork:
        return m.VirtualNetwork(
            name=name,
            mode=m.Mode(net.mode),
            subnets=net.subnet,
            mtu=net.mtu,
            dhcp=net.dhcp and m.DhcpRange(first=net.dhcp[0], last=net.dhcp[1], place=self.at((*path, "dhcp"))),
            forwards=tuple(
                m.Forward(
                    host_port=each.host, guest=each.to, service=each.service, place=self.at((*path, "forwards", index))
                )
                for index, each in enumerate(net.forwards)
            ),
            place=self.at(path),
        )

    def guest(self, name: str, guest: d.Guest) -> m.Guest:
        return _as(
            m.Guest,
            guest,
            name=name,
            disks=guest.disk,
            cmdline=guest.cmdline or "",
            nics=tuple(self.guest_nic(guest.host, name, index, nic) for index, nic in enumerate(guest.nics)),
            place=self.at(("guests", name)),
        )

    def guest_nic(self, host: str, guest: str, index: int, nic: d.GuestNic) -> m.GuestNic:
        plug = nic.plug
        assert plug is not None, "one without is refused"
        return m.GuestNic(
            guest=guest,
            index=index,
            plug=plug.kind,
            into=plug.into,
            mac=nic.mac or self.fresh_mac(host, guest, index),
            tap=nic.tap or derive_tap(guest, index),
            mac_given=nic.mac is not None,
            addresses=_static(nic.address),
            dhcp="dhcp" in nic.address,
            vlan=nic.vlan,
            vlans=nic.vlans,
            guarding=self.guarding(host, nic),
            switched=self.switched(host, nic),
            bandwidth=Bandwidth(up=nic.limit.up, down=nic.limit.down) if nic.limit else Bandwidth(),
            place=self.at(("guests", guest, "nics", index)),
        )

    def switched(self, host: str, nic: d.GuestNic) -> m.SwitchedNic | None:
        bridge = self.document.bridge_of(host, nic)
        if bridge is None or nic.bridge is None or bridge.by_kernel:
            return None
        if not self.is_vlan_aware(host, nic.bridge, bridge):
            return m.SwitchedNic()
        untagged = nic.vlan if nic.vlans else nic.vlan or 0
        return m.SwitchedNic(untagged=untagged, tagged=nic.vlans, native_tagged=nic.native == "tagged")

    def guarding(self, host: str, nic: d.GuestNic) -> Guarding:
        """The guard that the NIC names, its bridge or its host; one that knows no address guards the MAC alone."""
        routers = [
            VirtualRouter(protocol, group, each.address)
            for each in nic.also
            for protocol in GROUPS
            if (group := getattr(each, protocol)) is not None
        ]
        return Guarding(
            level=GuardLevel(guard_of(self.document, host, nic)),
            also=tuple(address for each in nic.also for address in each.address),
            routers=tuple(routers),
            macs=tuple(one for one in nic.macs if isinstance(one, str)),
            nested=next((one for one in nic.macs if isinstance(one, int)), None),
            may=frozenset(nic.may),
            isolated=bool(nic.isolated) if nic.isolated is not None else None,
            fdb=fdb_of(self.document, host, nic),
            group=nic.isolated if isinstance(nic.isolated, str) else "",
            broadcast=nic.limit.broadcast if nic.limit else None,
            multicast=nic.limit.multicast if nic.limit else None,
        )

    def fresh_mac(self, host: str, guest: str, index: int) -> Mac:
        """The derived MAC; on a collision the next index that is free, far beyond what a guest has NICs."""
        mac = derive_guest_mac(self.document.site, host, guest, index)
        while mac in self.macs:
            index += 1000
            mac = derive_guest_mac(self.document.site, host, guest, index)
        self.macs.add(mac)
        return mac

    def machine(self, name: str, machine: d.Machine) -> m.Machine:
        path: Path = ("machines", name)
        dhcp = None
        if machine.dhcp:
            first, last = machine.dhcp.range
            span = m.DhcpRange(first=first, last=last, place=self.at((*path, "dhcp", "range")))
            dhcp = m.DhcpServer(network=machine.dhcp.network, range=span, place=self.at((*path, "dhcp")))
        masquerade = None
        if machine.masquerade:
            sources, to = machine.masquerade.from_, machine.masquerade.to
            masquerade = m.Masquerade(sources=sources, to=to, place=self.at((*path, "masquerade")))
        return m.Machine(
            name=name,
            nics=tuple(
                m.MachineNic(
                    network=each.network,
                    addresses=_static(each.address),
                    dhcp="dhcp" in each.address,
                    mac=each.mac,
                    mtu=each.mtu or self.document.networks[each.network].mtu,
                    routes=self.routes(each.routes, (*path, "nics", index)),
                    place=self.at((*path, "nics", index)),
                )
                for index, each in enumerate(machine.nics)
            ),
            dhcp=dhcp,
            masquerade=masquerade,
            forwards=None if machine.forwards is None else self.flows(machine.forwards, (*path, "forwards")),
            serves=machine.serves,
            place=self.at(path),
        )

    def flows(self, flows: tuple[d.Flow, ...], path: Path) -> tuple[m.Flow, ...]:
        return tuple(
            m.Flow(
                sources=flow_ends(self.wiring, each.from_),
                targets=flow_ends(self.wiring, each.to),
                service=each.service,
                place=self.at((*path, index)),
            )
            for index, each in enumerate(flows)
        )


def _flags(flags: d.PortFlags | None) -> tuple[tuple[str, bool], ...]:
    return tuple((name, value) for name, value in flags or () if value is not None)
