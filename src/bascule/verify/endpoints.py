"""Who is who: the attachments and addresses of endpoints, and who stands on the same network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from bascule.model.site import Guest, Machine, Site, virtual_segment
from bascule.model.values import IpAddress, IpInterface, Mac
from bascule.probe.domain import ProbeAttachment, ProbeDomain
from bascule.topology.endpoints import declared_endpoint


class EndpointAddress(Struct, frozen=True, kw_only=True):
    """An address of an endpoint on a network; ``attachment`` is None where we cannot ask from it (a live guest)."""

    endpoint: str
    address: IpInterface
    network: str | None
    attachment: ProbeAttachment | None = None


class Endpoints(Struct, frozen=True):
    """A site's endpoints in a probe domain. ``learned`` maps MACs to the host's neighbours' addresses (leases)."""

    site: Site
    probe_domain: ProbeDomain
    learned: Mapping[Mac, tuple[IpInterface, ...]] = field(default_factory=dict)

    def attachments(self, name: str) -> tuple[ProbeAttachment, ...]:
        """From where the endpoint can ask; empty where it is not ours."""
        return self.probe_domain.attachments.get(name, ())

    def addresses(self, name: str) -> tuple[EndpointAddress, ...]:
        """All addresses of an endpoint, IPv4 first: as observed, else as declared. Link-local ones do not count."""
        attachments = self.attachments(name)
        if attachments:
            found = [
                EndpointAddress(endpoint=name, address=address, network=attachment.network, attachment=attachment)
                for attachment in attachments
                for address in attachment.addresses
            ]
        else:
            found = list(self._declared(name))
        return tuple(
            sorted((goal for goal in found if not goal.address.is_link_local), key=lambda s: s.address.version)
        )

    def is_silent(self, name: str) -> bool:
        """Whether a guest or machine has no address, neither in the file nor as observed, and asks for none."""
        owner: Guest | Machine | None = self.site.guests.get(name) or self.site.machines.get(name)
        return owner is not None and not any(nic.dhcp for nic in owner.nics) and not self.addresses(name)

    def _declared(self, name: str) -> Iterator[EndpointAddress]:
        endpoint = declared_endpoint(self.site, name)
        for nic in endpoint.nics if endpoint is not None else ():
            for address in nic.addresses or self.learned.get(nic.mac, ()):
                yield EndpointAddress(endpoint=name, address=address, network=nic.segment)

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody, in the order in which a control is chosen: machines, guests, hosts."""
        return (*self.site.machines, *self.site.guests, *self.site.hosts)

    def owner(self, address: IpAddress) -> str | None:
        """The endpoint that has an address."""
        for name in (*self.names, *self.probe_domain.attachments):
            if any(goal.address.ip == address for goal in self.addresses(name)):
                return name
        return None

    def neighbours(self, goal: EndpointAddress, *without: str) -> Iterator[ProbeAttachment]:
        """Others' attachments on an address' network with one of its family: machines, then guests, then hosts.

        Those that the file keeps apart from it are none.
        """
        version, apart = goal.address.version, self._kept_apart(goal)
        for name in self.names:
            for attachment in self.attachments(name) if name not in without else ():
                if (
                    attachment.mac not in apart
                    and self.shares(attachment, goal)
                    and any(address.version == version for address in attachment.addresses)
                ):
                    yield attachment

    def _kept_apart(self, goal: EndpointAddress) -> frozenset[Mac]:
        guest = self.site.guests.get(goal.endpoint)
        own = goal.attachment.mac if goal.attachment is not None else None
        nics = [nic for nic in guest.nics if nic.mac == own or goal.address in nic.addresses] if guest else []
        return frozenset(other.mac for nic in nics for other in self.site.kept_apart(nic))

    def ways(self, source: str, target: str) -> tuple[tuple[ProbeAttachment, EndpointAddress], ...]:
        """From where to ask for which address of the target: those on a common network first."""
        pairs = [(self.nearest(source, goal), goal) for goal in self.addresses(target)]
        found = [
            (attachment, goal)
            for attachment, goal in pairs
            if attachment is not None and (self.shares(attachment, goal) or not self.is_inside(goal))
        ]
        return tuple(sorted(found, key=lambda pair: not self.shares(*pair)))

    def is_inside(self, goal: EndpointAddress) -> bool:
        """Whether it is a host's own address on one of its virtual networks: nobody else means the host by it."""
        host = self.site.hosts.get(goal.endpoint)
        return host is not None and goal.network in {virtual_segment(host.name, x) for x in host.virtual_networks}

    def shares(self, attachment: ProbeAttachment, goal: EndpointAddress) -> bool:
        """Whether an attachment is in the broadcast domain of an address, as far as the file tells."""
        if attachment.network is not None or goal.network is not None:
            return attachment.network == goal.network
        if not any(own.network == goal.address.network for own in attachment.addresses):
            return False
        ours, theirs = self._wire(attachment), self._wire(goal.attachment)
        return ours is None or theirs is None or ours == theirs

    def _wire(self, attachment: ProbeAttachment | None) -> tuple[str, str, int] | None:
        """The host, the bridge and the VLAN on it; None where that is not told, or of a trunk."""
        if attachment is None:
            return None
        if (host := self.site.hosts.get(attachment.endpoint)) is not None:
            return (host.name, str(attachment.link), 0) if attachment.link in host.bridges else None
        guest = self.site.guests.get(attachment.endpoint)
        nic = next((nic for nic in guest.nics if nic.mac == attachment.mac), None) if guest is not None else None
        if guest is None or nic is None or nic.vlans:
            return None
        return guest.host, str(nic.into), int(nic.vlan or 0)

    def nearest(self, name: str, goal: EndpointAddress) -> ProbeAttachment | None:
        """Where an endpoint asks for an address: the attachment on its network, else one that has an address at all."""
        attachments = [
            attachment
            for attachment in self.attachments(name)
            if any(a.version == goal.address.version for a in attachment.addresses)
        ]
        near = [attachment for attachment in attachments if self.shares(attachment, goal)]
        return next(iter(near or attachments or self.attachments(name)), None)
