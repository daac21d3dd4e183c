"""A live host as a probe domain: only its own NICs can ask, and all its links can listen."""

from __future__ import annotations

from bascule.model.links import Loopback
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.probe.domain import CapturePoint, ProbeAttachment, ProbeDomain
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import host_endpoint


def live_domain(site: Site, host: Host, state: HostState, namespace: Namespace) -> ProbeDomain:
    """The host's links with an address are its attachments; ``namespace`` is where ``state`` was observed."""
    links = [link for link in state.links.values() if link.up and not isinstance(link.options, Loopback)]
    own = {nic.link: nic for nic in host_endpoint(site, host, state).nics}
    attachments = tuple(
        ProbeAttachment(
            endpoint=host.name,
            namespace=namespace,
            link=link.name,
            mac=link.mac,
            addresses=own[link.name].addresses,
            network=own[link.name].segment,
        )
        for link in links
        if link.mac and link.name in own
    )
    points = tuple(
        CapturePoint(node=host.name, namespace=namespace, link=link.name, master=link.master) for link in links
    )
    return ProbeDomain(attachments={host.name: attachments}, points=points, hosts={host.name: namespace}, live=True)
