"""The twin as a probe domain that can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bascule.model.site import Site
from bascule.model.state import HostState
from bascule.probe.domain import CapturePoint, ProbeAttachment, ProbeDomain
from bascule.system.net import links
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import Endpoint, host_endpoint
from bascule.twin.backend import Addresses, GuestBackend
from bascule.twin.fabric import FABRIC
from bascule.twin.wiring import Wiring


def look(
    site: Site,
    hosts: Iterable[str],
    wiring: Wiring,
    namespaces: Mapping[str, Namespace],
    given: Addresses,
    backend: GuestBackend,
    states: Mapping[str, HostState],
) -> ProbeDomain:
    """Attachments of every host, guest and machine, and a point on every link that frames can cross.

    ``states`` are those of hosts as they are now, for the addresses that a bridge takes over from its uplink.
    """
    hosts = tuple(hosts)
    attachments: dict[str, tuple[ProbeAttachment, ...]] = {
        name: tuple(_host_attachments(site, name, namespaces[name], given, states.get(name))) for name in hosts
    }
    for name, end in wiring.guests.items():
        attachments[name] = tuple(backend.attachment(end, nic, given.get((name, nic.link), ())) for nic in end.nics)
    for name, end in wiring.machines.items():
        attachments[name] = tuple(_machine_attachments(end, namespaces[name], given))
    points = (*_guest_points(site, wiring, namespaces, backend), *_cable_points(site, wiring, namespaces))
    return ProbeDomain(
        attachments=attachments,
        points=points,
        hosts={name: namespaces[name] for name in hosts},
        patience=backend.patience,
    )


def _host_attachments(
    site: Site, name: str, namespace: Namespace, given: Addresses, state: HostState | None
) -> Iterator[ProbeAttachment]:
    seen = {nic.link: nic.addresses for nic in host_endpoint(site, site.hosts[name], state).nics} if state else {}
    for at in host_endpoint(site, site.hosts[name]).nics:
        mac = links.mac_of(namespace, at.link)
        if mac is not None:
            yield ProbeAttachment(
                endpoint=name,
                namespace=namespace,
                link=at.link,
                mac=mac,
                addresses=(at.addresses or seen.get(at.link, ())) + given.get((name, at.link), ()),
                network=at.segment,
            )


def _machine_attachments(end: Endpoint, namespace: Namespace, given: Addresses) -> Iterator[ProbeAttachment]:
    for nic in end.nics:
        yield ProbeAttachment(
            endpoint=end.name,
            namespace=namespace,
            link=nic.link,
            mac=nic.mac,
            addresses=nic.addresses + given.get((end.name, nic.link), ()),
            network=nic.segment,
        )


def _guest_points(
    site: Site, wiring: Wiring, namespaces: Mapping[str, Namespace], backend: GuestBackend
) -> Iterator[CapturePoint]:
    for end in wiring.guests.values():
        host = site.guests[end.name].host
        for nic in end.nics:
            point = backend.point(end, nic)
            if point is not None:
                yield point
            if nic.plug is not None and nic.bridge is not None:
                yield CapturePoint(node=host, namespace=namespaces[host], link=nic.plug.tap, master=nic.bridge)


def _cable_points(site: Site, wiring: Wiring, namespaces: Mapping[str, Namespace]) -> Iterator[CapturePoint]:
    """Both ends of each cable that is plugged in; the far one belongs to the network that is its switch."""
    for cable in wiring.cables:
        if cable.native is None and not cable.tagged:
            continue
        master = None
        if cable.node in site.hosts:
            bridges = site.hosts[cable.node].bridges.values()
            master = next((bridge.name for bridge in bridges if bridge.port == cable.link), None)
        yield CapturePoint(node=cable.node, namespace=namespaces[cable.node], link=cable.link, master=master)
        switch = cable.native or cable.tagged[0]
        yield CapturePoint(
            node=switch,
            namespace=namespaces[FABRIC],
            link=cable.port,
            master=wiring.switches[switch] if cable.native else None,
        )
