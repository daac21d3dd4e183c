"""Who stands where: broadcast domains, and the NICs of speakers in them, as the document tells it.

Lenient on purpose: a reference that leads nowhere gives None here and its own problem elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model import host_links as links
from bascule.model import site as m
from bascule.model.site_place import NOWHERE
from bascule.model.values import IfName, IpInterface, IpNetwork, Vid, grouped
from bascule.site import document as d
from bascule.site.findings import Findings, Path
from bascule.site.validate import ValidatedDocument


class BroadcastDomain(Struct, frozen=True):
    """A broadcast domain.

    ``unique_in`` names where its addresses must be unique: the building, or one host's own net.
    """

    key: tuple[str, ...]
    label: str
    subnets: tuple[IpNetwork, ...] = ()
    unique_in: tuple[str, ...] = ()
    network: str | None = None  # the building's network
    vlan: Vid | None = None  # the tag with which that arrives
    closed: bool = False  # no wire leads out: nobody but the file's own guests is there


class SpeakerNic(Struct, frozen=True):
    """One NIC of a speaker: a guest, a host or a machine."""

    owner: str
    kind: str  # guests, hosts or machines
    label: str
    path: Path
    given: tuple[IpInterface | str, ...] = ()  # its addresses as the file writes them
    addresses: tuple[tuple[IpInterface, Path], ...] = ()
    dhcp: Path | None = None
    unwritten: bool = False  # it takes over those of its uplink, or gets some from routers
    segment: BroadcastDomain | None = None


class DocumentWiring(Struct, frozen=True):
    """Broadcast domains of a file, and the NICs of all speakers."""

    checked: ValidatedDocument
    found: Findings
    site: m.Site  # its networks and links alone
    speakers: tuple[SpeakerNic, ...] = ()
    by_owner: dict[str, list[SpeakerNic]] = field(default_factory=dict)
    seen: dict[tuple[str, str | None], BroadcastDomain | None] = field(default_factory=dict)  # of links, as asked for

    @property
    def document(self) -> d.Document:
        """The document."""
        return self.checked.document

    def network(self, name: str | None) -> BroadcastDomain | None:
        """The domain of a network of the building."""
        return self._domain(self.site.networks.get(name) if name else None)

    def of_link(self, host: str, name: str | None) -> BroadcastDomain | None:
        """The domain on a link of a host; None where it cannot be told."""
        if (host, name) not in self.seen:
            self.seen[host, name] = self._on_link(host, name)
        return self.seen[host, name]

    def _on_link(self, host: str, name: str | None) -> BroadcastDomain | None:
        found = self._domain(self.site.network_of_link(self.site.hosts[host], name))
        link = self.site.hosts[host].link(name) if name and found is None else None
        if not isinstance(link, links.Bridge) or not self.site.hosts[host].is_alone(link):
            return found
        own = ("bridge", host, link.name)
        return BroadcastDomain(own, f"bridge '{name}'", (), own, closed=True)

    def of_virtual(self, host: str, name: str) -> BroadcastDomain | None:
        """The domain of a virtual network."""
        virtual = self.document.hosts[host].virtual_networks.get(name)
        if virtual is None:
            return None
        own = ("virtual", host, name)
        hidden = virtual.mode in {"nat", "isolated"}
        return BroadcastDomain(own, f"virtual network '{name}'", virtual.subnet, own if hidden else (), closed=True)

    def of_guest_nic(self, guest: d.Guest, nic: d.GuestNic) -> BroadcastDomain | None:
        """The domain that a guest NIC stands in; None where it cannot be told."""
        host = self.site.hosts.get(guest.host)
        plug = nic.plug
        if host is None or plug is None:
            return None
        if plug.kind is m.PlugKind.NETWORK:
            return self.of_virtual(host.name, plug.into)
        if plug.kind is m.PlugKind.BRIDGE and nic.vlan is None and not nic.vlans:
            return self.of_link(host.name, plug.into)
        return self._domain(self.site.network_at(host, plug, nic.vlan, is_trunk=bool(nic.vlans)))

    @staticmethod
    def _domain(network: m.Network | None) -> BroadcastDomain | None:
        if network is None:
            return None
        label = f"network '{network.name}'"
        return BroadcastDomain(("network", network.name), label, network.subnets, (), network.name, network.vlan)

    @staticmethod
    def ports_of(bridge: d.Bridge) -> dict[str | None, Path]:
        """The links that are a bridge's ports, each with its key: the uplink (or the VLAN link on it), and further."""
        tagged = bridge.vlan is not None and not bridge.vlan_aware
        uplink = f"{bridge.uplink}.{bridge.vlan}" if tagged else bridge.uplink
        return {port.link: ("ports", index) for index, port in enumerate(bridge.ports)} | {uplink: ("uplink",)}

    def gives_addresses_up(self, host: str, nic: IfName) -> bool:
        """Whether a bridge takes the NIC's addresses (``address: from-uplink``)."""
        return any(b.uplink == nic and "from-uplink" in b.address for b in self.document.hosts[host].bridges.values())


def wire(checked: ValidatedDocument, found: Findings) -> DocumentWiring:
    """Every NIC of a speaker."""
    site = skeleton(checked.document)
    wiring = DocumentWiring(checked, found, site)
    speakers = tuple(_speakers(wiring))
    owners = grouped((speaker.owner, speaker) for speaker in speakers)
    return DocumentWiring(checked, found, site, speakers, owners, wiring.seen)


def _speakers(wiring: DocumentWiring) -> Iterator[SpeakerNic]:
    document = wiring.document
    for name, host in document.hosts.items():
        top: Path = ("hosts", name)
        for key, noun, link, each in host.links():
            label = f"{noun} '{link}' of host '{name}'"
            speaker = _speaker(name, "hosts", label, (*top, key, link), each.address, wiring.of_link(name, link))
            yield replace(speaker, unwritten=True) if each.ipv6 in links.LISTENING else speaker
        for net in host.virtual_networks:
            path = (*top, "virtual_networks", net)
            segment = wiring.of_virtual(name, net)
            yield SpeakerNic(name, "hosts", f"virtual network '{net}'", path, segment=segment)
    for name, guest in document.guests.items():
        for index, guest_nic in enumerate(guest.nics):
            path = ("guests", name, "nics", index)
            segment = wiring.of_guest_nic(guest, guest_nic)
            yield _speaker(name, "guests", f"guest '{name}'", path, guest_nic.address, segment)
    for name, machine in document.machines.items():
        for index, machine_nic in enumerate(machine.nics):
            path = ("machines", name, "nics", index)
            segment = wiring.network(machine_nic.network)
            yield _speaker(name, "machines", f"machine '{name}'", path, machine_nic.address, segment)


def _speaker(
    owner: str, kind: str, label: str, path: Path, given: tuple[IpInterface | str, ...], segment: BroadcastDomain | None
) -> SpeakerNic:
    addresses: list[tuple[IpInterface, Path]] = []
    dhcp: Path | None = None
    unwritten = False
    for index, each in enumerate(given):
        where = (*path, "address", index)
        if each == "dhcp":
            dhcp = where
        elif each == "from-uplink":
            unwritten = True
        elif not isinstance(each, str):
            addresses.append((each, where))
    return SpeakerNic(owner, kind, label, path, given, tuple(addresses), dhcp, unwritten, segment)


def skeleton(document: d.Document) -> m.Site:
    """The networks of a file and the links of its hosts, whatever problems it has; addresses and guests are left out.

    What leads nowhere, or in a circle, leads nowhere here; its own problem says so.
    """
    networks = {
        name: m.Network(name=name, subnets=each.subnet, vlan=each.vlan) for name, each in document.networks.items()
    }
    return m.Site(
        name=document.site, networks=networks, hosts={name: _host(name, each) for name, each in document.hosts.items()}
    )


def _host(name: str, host: d.Host) -> m.Host:
    sound = {*host.nics, *(link for *_, link, _ in host.links() if link not in host.nics and _ends(host, link))}

    def leads(link: IfName | None) -> IfName | None:
        return link if link in sound else None

    return m.Host(
        name=name,
        nics={link: links.Nic(name=link, network=each.network) for link, each in host.nics.items()},
        bonds={
            link: links.Bond(name=link, network=each.network, nics=tuple(filter(leads, each.nics)))
            for link, each in host.bonds.items()
        },
        vlans={
            link: links.VlanLink(name=link, network=each.network, link=leads(each.link) or IfName(""), id=each.id)
            for link, each in host.vlans.items()
        },
        bridges={
            link: links.Bridge(
                name=link,
                uplink=leads(each.uplink),
                ports=tuple(links.DeclaredPort(link=port.link) for port in each.ports if leads(port.link)),
                uplink_unknown=None if each.uplink == "none" else NOWHERE,
                vlan=each.vlan,
                vlan_aware=each.vlan_aware and each.vlan is None,
            )
            for link, each in host.bridges.items()
        },
    )


def _ends(host: d.Host, name: str, above: tuple[str, ...] = ()) -> bool:
    """Whether what a link stands on leads down to links that stand on nothing."""
    if name in host.nics:
        return True
    link = host.link(name)
    return name not in above and (link is None or all(_ends(host, each, (*above, name)) for each in link.below))
