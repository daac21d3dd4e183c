"""The twin as a world that can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bascule.model.site import Site
from bascule.model.values import IfName, IpInterface
from bascule.probe.dhcp import Lease
from bascule.probe.world import Foot, Point, World
from bascule.system import links
from bascule.system.netns import Namespace
from bascule.twin.building import BUILDING
from bascule.twin.ends import End, Wiring
from bascule.twin.leases import host_links

Leases = Mapping[tuple[str, IfName], Lease]


def look(site: Site, hosts: Iterable[str], wiring: Wiring, rooms: Mapping[str, Namespace], leases: Leases) -> World:
    """Feet of every host, guest and machine, and a point on every link that frames can cross."""
    hosts = tuple(hosts)
    feet: dict[str, tuple[Foot, ...]] = {
        name: tuple(_host_feet(site, name, wiring, rooms[name], leases)) for name in hosts
    }
    for name, end in {**wiring.guests, **wiring.machines}.items():
        feet[name] = tuple(_end_feet(end, rooms[name], leases))
    points = (*_guest_points(site, wiring, rooms), *_cable_points(site, wiring, rooms))
    return World(feet=feet, points=points, hosts={name: rooms[name] for name in hosts})


def _leased(leases: Leases, endpoint: str, link: IfName) -> tuple[IpInterface, ...]:
    lease = leases.get((endpoint, link))
    return (lease.address,) if lease else ()


def _host_feet(site: Site, name: str, wiring: Wiring, room: Namespace, leases: Leases) -> Iterator[Foot]:
    for at in host_links(site, site.hosts[name], wiring.realms[name]):
        mac = links.mac_of(room, at.link)
        if mac is not None:
            yield Foot(
                endpoint=name,
                namespace=room,
                link=at.link,
                mac=mac,
                addresses=at.addresses + _leased(leases, name, at.link),
                network=at.segment,
            )


def _end_feet(end: End, room: Namespace, leases: Leases) -> Iterator[Foot]:
    for nic in end.nics:
        yield Foot(
            endpoint=end.name,
            namespace=room,
            link=nic.link,
            mac=nic.mac,
            addresses=nic.addresses + _leased(leases, end.name, nic.link),
            network=nic.segment,
        )


def _guest_points(site: Site, wiring: Wiring, rooms: Mapping[str, Namespace]) -> Iterator[Point]:
    for end in wiring.guests.values():
        host = site.guests[end.name].host
        for nic in end.nics:
            yield Point(node=end.name, namespace=rooms[end.name], link=nic.link)
            if nic.plug is not None and nic.bridge is not None:
                yield Point(node=host, namespace=rooms[host], link=nic.plug.tap, master=nic.bridge)


def _cable_points(site: Site, wiring: Wiring, rooms: Mapping[str, Namespace]) -> Iterator[Point]:
    """Both ends of each cable that is plugged in; the far one belongs to the network that is its switch."""
    for cable in wiring.cables:
        if cable.native is None and not cable.tagged:
            continue
        master = None
        if cable.node in site.hosts:
            bridges = site.hosts[cable.node].bridges.values()
            master = next((bridge.name for bridge in bridges if bridge.port == cable.link), None)
        yield Point(node=cable.node, namespace=rooms[cable.node], link=cable.link, master=master)
        switch = cable.native or cable.tagged[0]
        yield Point(
            node=switch,
            namespace=rooms[BUILDING],
            link=cable.port,
            master=wiring.switches[switch] if cable.native else None,
        )
