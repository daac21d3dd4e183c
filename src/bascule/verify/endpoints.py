"""Who is who: the feet and addresses of endpoints, and who stands on the same network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from bascule.model.site import Guest, Machine, Site, virtual_segment
from bascule.model.values import IpAddress, IpInterface, Mac
from bascule.probe.world import Foot, World


class Stand(Struct, frozen=True, kw_only=True):
    """An address of an endpoint on a network; ``foot`` is None where we cannot ask from it (a live guest)."""

    endpoint: str
    address: IpInterface
    network: str | None
    foot: Foot | None = None


class Endpoints(Struct, frozen=True):
    """A site's endpoints in a world. ``learned`` maps MACs to addresses that the host has as neighbours (leases)."""

    site: Site
    world: World
    learned: Mapping[Mac, tuple[IpInterface, ...]] = field(default_factory=dict)

    def feet(self, name: str) -> tuple[Foot, ...]:
        """From where the endpoint can ask; empty where it is not ours."""
        return self.world.feet.get(name, ())

    def stands(self, name: str) -> tuple[Stand, ...]:
        """All addresses of an endpoint, IPv4 first: as observed, else as declared. Link-local ones do not count."""
        feet = self.feet(name)
        if feet:
            found = [
                Stand(endpoint=name, address=address, network=foot.network, foot=foot)
                for foot in feet
                for address in foot.addresses
            ]
        else:
            found = list(self._declared(name))
        return tuple(
            sorted((stand for stand in found if not stand.address.is_link_local), key=lambda s: s.address.version)
        )

    def _declared(self, name: str) -> Iterator[Stand]:
        owner: Guest | Machine | None = self.site.guests.get(name) or self.site.machines.get(name)
        if isinstance(owner, Guest):
            for nic in owner.nics:
                for address in nic.addresses or self.learned.get(nic.mac, ()):
                    yield Stand(endpoint=name, address=address, network=self.site.segment_of(nic))
        elif owner is not None:
            for foot in owner.nics:
                known = self.learned.get(foot.mac, ()) if foot.mac else ()
                for address in foot.addresses or known:
                    yield Stand(endpoint=name, address=address, network=foot.network)
        elif name in self.site.hosts:
            for host_nic in self.site.hosts[name].nics.values():
                for address in host_nic.addresses:
                    yield Stand(endpoint=name, address=address, network=host_nic.network)

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody, in the order in which a control is chosen: machines, guests, hosts."""
        return (*self.site.machines, *self.site.guests, *self.site.hosts)

    def owner(self, address: IpAddress) -> str | None:
        """The endpoint that has an address."""
        for name in (*self.names, *self.world.feet):
            if any(stand.address.ip == address for stand in self.stands(name)):
                return name
        return None

    def neighbours(self, stand: Stand, *without: str) -> Iterator[Foot]:
        """Feet of others on the network of an address with one of its family: machines, then guests, then hosts."""
        version = stand.address.version
        for name in self.names:
            for foot in self.feet(name) if name not in without else ():
                if self.shares(foot, stand) and any(address.version == version for address in foot.addresses):
                    yield foot

    def ways(self, source: str, target: str) -> tuple[tuple[Foot, Stand], ...]:
        """From where to ask for which address of the target: those on a common network first."""
        pairs = [(self.nearest(source, stand), stand) for stand in self.stands(target)]
        found = [
            (foot, stand)
            for foot, stand in pairs
            if foot is not None and (self.shares(foot, stand) or not self.is_inside(stand))
        ]
        return tuple(sorted(found, key=lambda pair: not self.shares(*pair)))

    def is_inside(self, stand: Stand) -> bool:
        """Whether it is a host's own address on one of its virtual networks: nobody else means the host by it."""
        host = self.site.hosts.get(stand.endpoint)
        return host is not None and stand.network in {virtual_segment(host.name, x) for x in host.virtual_networks}

    def shares(self, foot: Foot, stand: Stand) -> bool:
        """Whether a foot is in the broadcast domain of an address, as far as the file tells."""
        if foot.network is not None or stand.network is not None:
            return foot.network == stand.network
        return any(own.network == stand.address.network for own in foot.addresses)

    def nearest(self, name: str, stand: Stand) -> Foot | None:
        """The foot of an endpoint that asks for an address: on its network, else one that has an address at all."""
        feet = [foot for foot in self.feet(name) if any(a.version == stand.address.version for a in foot.addresses)]
        near = [foot for foot in feet if self.shares(foot, stand)]
        return next(iter(near or feet or self.feet(name)), None)
