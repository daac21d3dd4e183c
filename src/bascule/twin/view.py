"""The twin as a probe domain that can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bascule.model.site import Site
from bascule.probe.domain import CapturePoint, ProbeAttachment, ProbeDomain
from bascule.system.net import links
from bascule.system.net.netns import Namespace
from bascule.twin.building import BUILDING
from bascule.twin.ends import End, Wiring
from bascule.twin.leases import host_links
from bascule.twin.players import Addresses, Players


def look(
    site: Site,
    hosts: Iterable[str],
    wiring: Wiring,
    rooms: Mapping[str, Namespace],
    given: Addresses,
    players: Players,
) -> ProbeDomain:
    """Attachments of every host, guest and machine, and a point on every link that frames can cross."""
    hosts = tuple(hosts)
    attachments: dict[str, tuple[ProbeAttachment, ...]] = {
        name: tuple(_host_attachments(site, name, wiring, rooms[name], given)) for name in hosts
    }
    for name, end in wiring.guests.items():
        attachments[name] = tuple(players.attachment(end, nic, given.get((name, nic.link), ())) for nic in end.nics)
    for name, end in wiring.machines.items():
        attachments[name] = tuple(_machine_attachments(end, rooms[name], given))
    points = (*_guest_points(site, wiring, rooms, players), *_cable_points(site, wiring, rooms))
    return ProbeDomain(
        attachments=attachments, points=points, hosts={name: rooms[name] for name in hosts}, patience=players.patience
    )


def _host_attachments(
    site: Site, name: str, wiring: Wiring, room: Namespace, given: Addresses
) -> Iterator[ProbeAttachment]:
    for at in host_links(site, site.hosts[name], wiring.resolved_networks[name]):
        mac = links.mac_of(room, at.link)
        if mac is not None:
            yield ProbeAttachment(
                endpoint=name,
                namespace=room,
                link=at.link,
                mac=mac,
                addresses=at.addresses + given.get((name, at.link), ()),
                network=at.segment,
            )


def _machine_attachments(end: End, room: Namespace, given: Addresses) -> Iterator[ProbeAttachment]:
    for nic in end.nics:
        yield ProbeAttachment(
            endpoint=end.name,
            namespace=room,
            link=nic.link,
            mac=nic.mac,
            addresses=nic.addresses + given.get((end.name, nic.link), ()),
            network=nic.segment,
        )


def _guest_points(
    site: Site, wiring: Wiring, rooms: Mapping[str, Namespace], players: Players
) -> Iterator[CapturePoint]:
    for end in wiring.guests.values():
        host = site.guests[end.name].host
        for nic in end.nics:
            point = players.point(end, nic)
            if point is not None:
                yield point
            if nic.plug is not None and nic.bridge is not None:
                yield CapturePoint(node=host, namespace=rooms[host], link=nic.plug.tap, master=nic.bridge)


def _cable_points(site: Site, wiring: Wiring, rooms: Mapping[str, Namespace]) -> Iterator[CapturePoint]:
    """Both ends of each cable that is plugged in; the far one belongs to the network that is its switch."""
    for cable in wiring.cables:
        if cable.native is None and not cable.tagged:
            continue
        master = None
        if cable.node in site.hosts:
            bridges = site.hosts[cable.node].bridges.values()
            master = next((bridge.name for bridge in bridges if bridge.port == cable.link), None)
        yield CapturePoint(node=cable.node, namespace=rooms[cable.node], link=cable.link, master=master)
        switch = cable.native or cable.tagged[0]
        yield CapturePoint(
            node=switch,
            namespace=rooms[BUILDING],
            link=cable.port,
            master=wiring.switches[switch] if cable.native else None,
        )
