"""A live host as a probe domain: only its own NICs can ask, and all its links can listen."""

from __future__ import annotations

from ipaddress import ip_interface

from bascule.model.links import Loopback
from bascule.model.site import Host, Site, virtual_segment
from bascule.model.state import HostState, Link
from bascule.plan.virtual_network import resolved_networks
from bascule.probe.domain import CapturePoint, ProbeAttachment, ProbeDomain
from bascule.system.net.netns import Namespace


def live_domain(site: Site, host: Host, state: HostState, namespace: Namespace) -> ProbeDomain:
    """The host's links with an address are its attachments; ``namespace`` is where ``state`` was observed."""
    links = [link for link in state.links.values() if link.up and not isinstance(link.options, Loopback)]
    attachments = tuple(
        ProbeAttachment(
            endpoint=host.name,
            namespace=namespace,
            link=link.name,
            mac=link.mac,
            addresses=tuple(ip_interface(address.ip) for address in link.addresses if not address.is_link_local),
            network=network_of(site, host, link),
        )
        for link in links
        if link.mac and any(not address.is_link_local for address in link.addresses)
    )
    points = tuple(
        CapturePoint(node=host.name, namespace=namespace, link=link.name, master=link.master) for link in links
    )
    return ProbeDomain(attachments={host.name: attachments}, points=points, hosts={host.name: namespace}, live=True)


def network_of(site: Site, host: Host, link: Link) -> str | None:
    """The network behind a link of the host, the building's or a virtual one, as far as the file tells."""
    for one in resolved_networks(site, host):
        has_address = any(ip_interface(address.ip) in one.addresses for address in link.addresses)
        if link.name == one.bridge or has_address:  # libvirt may have given it another name
            return virtual_segment(host.name, one.name)
    network = site.network_of_link(host, link.name)
    return network.name if network else None
