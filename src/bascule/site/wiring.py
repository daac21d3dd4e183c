"""Who stands where: broadcast domains, and the NICs of speakers in them, as the document tells it.

Lenient on purpose: a reference that leads nowhere gives None here and its own problem elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from bascule.model.values import IfName, IpInterface, IpNetwork
from bascule.site import document as d
from bascule.site.findings import Findings, Path
from bascule.site.validate import ValidatedDocument


class BroadcastDomain(Struct, frozen=True):
    """A broadcast domain. ``realm`` names where its addresses must be unique: the building, or one host's own net."""

    key: tuple[str, ...]
    label: str
    subnets: tuple[IpNetwork, ...] = ()
    realm: tuple[str, ...] = ()
    network: str | None = None  # the building's network
    closed: bool = False  # no wire leads out: nobody but the file's own guests is there


class SpeakerNic(Struct, frozen=True):
    """One NIC of a speaker: a guest, a host or a machine."""

    owner: str
    kind: str  # guests, hosts or machines
    label: str
    path: Path
    addresses: tuple[tuple[IpInterface, Path], ...] = ()
    dhcp: Path | None = None
    from_uplink: bool = False
    segment: BroadcastDomain | None = None


class DocumentWiring(Struct, frozen=True):
    """Segments and feet of a file."""

    checked: ValidatedDocument
    found: Findings
    feet: tuple[SpeakerNic, ...] = ()
    by_owner: dict[str, list[SpeakerNic]] = field(default_factory=dict)

    @property
    def document(self) -> d.Document:
        """The document."""
        return self.checked.document

    def network(self, name: str | None) -> BroadcastDomain | None:
        """The segment of a network of the building."""
        network = self.document.networks.get(name) if name else None
        if network is None or name is None:
            return None
        return BroadcastDomain(("network", name), f"network '{name}'", network.subnet, (), name)

    def network_of_vlan(self, vid: int | None) -> BroadcastDomain | None:
        """The segment of the network that arrives with a tag."""
        return next((self.network(name) for name, each in self.document.networks.items() if each.vlan == vid), None)

    def of_link(self, host: str, name: str | None, above: tuple[str, ...] = ()) -> BroadcastDomain | None:
        """The segment on a link of a host; None where it cannot be told. ``above`` are the links that led here."""
        link = self.document.hosts[host].link(name)
        if link is None or name is None or name in above:
            return None
        if isinstance(link, d.WiredLink) and link.network:
            return self.network(link.network)
        if isinstance(link, d.VlanLink):
            tagged = isinstance(self.document.hosts[host].link(link.link), d.VlanLink)
            return None if tagged else self.network_of_vlan(link.id)
        if isinstance(link, d.Bridge):
            return self.of_bridge(host, IfName(name), above)
        members = link.nics if isinstance(link, d.Bond) else ()
        return next((found for each in members if (found := self.of_link(host, each, (*above, name)))), None)

    def of_bridge(self, host: str, name: IfName, above: tuple[str, ...] = ()) -> BroadcastDomain | None:
        """The segment behind a bridge."""
        bridge = self.document.hosts[host].bridges.get(name)
        if bridge is None or bridge.uplink in {None, "unknown"}:
            return None
        if bridge.uplink == "none":
            return BroadcastDomain(
                ("bridge", host, name), f"bridge '{name}'", (), ("bridge", host, name), None, closed=True
            )
        if bridge.vlan is not None:
            return self.network_of_vlan(bridge.vlan)
        return self.of_link(host, bridge.uplink, (*above, name))

    def of_virtual(self, host: str, name: str) -> BroadcastDomain | None:
        """The segment of a virtual network."""
        virtual = self.document.hosts[host].virtual_networks.get(name)
        if virtual is None:
            return None
        own = ("virtual", host, name)
        hidden = virtual.mode in {"nat", "isolated"}
        return BroadcastDomain(
            own, f"virtual network '{name}'", virtual.subnet, own if hidden else (), None, closed=True
        )

    def of_guest_nic(self, guest: d.Guest, nic: d.GuestNic) -> BroadcastDomain | None:
        """The segment that a guest NIC stands in; None where it cannot be told."""
        if guest.host not in self.document.hosts:
            return None
        if nic.bridge:
            if nic.vlan is not None:
                bridge = self.document.hosts[guest.host].bridges.get(nic.bridge)
                return None if bridge and bridge.uplink == "none" else self.network_of_vlan(nic.vlan)
            return None if nic.vlans else self.of_bridge(guest.host, nic.bridge)
        if nic.network:
            return self.of_virtual(guest.host, nic.network)
        return self.of_link(guest.host, nic.direct) if nic.direct else None

    @staticmethod
    def port_of(bridge: d.Bridge) -> str | None:
        """The link that is a bridge's port: its uplink, or the VLAN link on that."""
        tagged = bridge.vlan is not None and not bridge.vlan_aware
        return f"{bridge.uplink}.{bridge.vlan}" if tagged else bridge.uplink

    def gives_addresses_up(self, host: str, nic: IfName) -> bool:
        """Whether a bridge takes the NIC's addresses (``address: from-uplink``)."""
        return any(b.uplink == nic and "from-uplink" in b.address for b in self.document.hosts[host].bridges.values())


def wire(checked: ValidatedDocument, found: Findings) -> DocumentWiring:
    """Every foot of the document."""
    wiring = DocumentWiring(checked, found)
    feet = tuple(_feet(wiring))
    owners: dict[str, list[SpeakerNic]] = {}
    for foot in feet:
        owners.setdefault(foot.owner, []).append(foot)
    return DocumentWiring(checked, found, feet, owners)


def _feet(wiring: DocumentWiring) -> Iterator[SpeakerNic]:
    document = wiring.document
    for name, host in document.hosts.items():
        top: Path = ("hosts", name)
        for key, noun, link, each in host.links():
            label = f"{noun} '{link}' of host '{name}'"
            yield _foot(name, "hosts", label, (*top, key, link), each.address, wiring.of_link(name, link))
        for net in host.virtual_networks:
            path = (*top, "virtual_networks", net)
            segment = wiring.of_virtual(name, net)
            yield SpeakerNic(name, "hosts", f"virtual network '{net}'", path, segment=segment)
    for name, guest in document.guests.items():
        for index, guest_nic in enumerate(guest.nics):
            path = ("guests", name, "nics", index)
            segment = wiring.of_guest_nic(guest, guest_nic)
            yield _foot(name, "guests", f"guest '{name}'", path, guest_nic.address, segment)
    for name, machine in document.machines.items():
        for index, machine_nic in enumerate(machine.nics):
            path = ("machines", name, "nics", index)
            segment = wiring.network(machine_nic.network)
            yield _foot(name, "machines", f"machine '{name}'", path, machine_nic.address, segment)


def _foot(
    owner: str, kind: str, label: str, path: Path, given: tuple[IpInterface | str, ...], segment: BroadcastDomain | None
) -> SpeakerNic:
    addresses: list[tuple[IpInterface, Path]] = []
    dhcp: Path | None = None
    from_uplink = False
    for index, each in enumerate(given):
        where = (*path, "address", index)
        if each == "dhcp":
            dhcp = where
        elif each == "from-uplink":
            from_uplink = True
        elif not isinstance(each, str):
            addresses.append((each, where))
    return SpeakerNic(owner, kind, label, path, tuple(addresses), dhcp, from_uplink, segment)
