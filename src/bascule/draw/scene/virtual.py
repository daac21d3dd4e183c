"""A host's virtual networks in libvirt's modes, and the step between each and the host's way out."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bascule.draw.scene.builder import SceneBuilder
from bascule.draw.scene.compare import SeenHost, compare, without_uplink
from bascule.draw.scene.elements import Kind, Layer, Node, Presence, exit_id, link_id, virtual_id
from bascule.model.host_links import Bridge, Nic
from bascule.model.site import Host, Mode, Site, VirtualNetwork
from bascule.model.values import IpInterface, bridge_name
from bascule.topology.virtual_networks import existing_bridge


class Egress(Struct, frozen=True):
    """Where the host's own traffic leaves: the link with its gateway, else the first one with an address."""

    link: str
    address: str
    network: str | None


def add_virtual(
    builder: SceneBuilder, site: Site, host: Host, network: VirtualNetwork, observed: SeenHost | None
) -> None:
    """Add a virtual network to the scene, with the step through which it leads out."""
    link = existing_bridge(network, observed.state) if observed is not None else None
    look = compare(observed, link.name if link else "")
    mode = {Mode.NAT: "NAT", Mode.ROUTED: "routed", Mode.ISOLATED: "isolated", Mode.OPEN: "open"}[network.mode]
    details = [f"virtual network, {mode}", *(f"subnet {subnet}" for subnet in network.subnets)]
    if network.dhcp:
        details.append(f"DHCP {network.dhcp}")
    notes = [mode, *(str(subnet) for subnet in network.subnets)]
    if link:
        notes.insert(0, link.name)
    for bridge in {bridge_name(network.name), *([link.name] if link else [])}:
        builder.aliases[link_id(host.name, bridge)] = virtual_id(host.name, network.name)
    if network.mode is Mode.ISOLATED:
        notes.append("no way out")
    node = Node(
        id=virtual_id(host.name, network.name),
        layer=Layer.SWITCH,
        kind=Kind.VIRTUAL_NETWORK,
        label=network.name,
        notes=tuple(notes),
        details=(*details, *look.details),
        host=host.name,
        presence=look.presence,
        state=without_uplink(look.state),
        drift=look.drift,
    )
    builder.add(node)
    if network.mode is Mode.ISOLATED:
        return
    way = way_out(site, host)
    step = Node(
        id=exit_id(host.name, network.name),
        layer=Layer.MIDDLE,
        kind=Kind.TRANSLATION if network.mode is Mode.NAT else Kind.ROUTING,
        label="masquerade" if network.mode is Mode.NAT else "routing",
        notes=_step_notes(network, way),
        details=_step_details(network, way),
        lets_in=network.forwards,
        host=host.name,
        presence=Presence.WANTED if look.presence is Presence.WANTED else Presence.DECLARED,
    )
    builder.add(step)
    builder.wire(node.id, step.id, presence=step.presence)
    if way:
        builder.wire(step.id, link_id(host.name, way.link), network=way.network)


def _step_notes(network: VirtualNetwork, way: Egress | None) -> tuple[str, ...]:
    if way is None:
        return ("no way out: host has no address",)
    if network.mode is Mode.ROUTED:
        return ("no translation", "in and out by route")
    if network.mode is Mode.OPEN:
        return ("host's rules decide",)
    notes = [f"out as {way.address}"]
    notes += [f"in :{f.host_port} → {f.guest} {f.service}" for f in network.forwards]
    return (*notes, "all else: no way in" if network.forwards else "in: nothing")


def _step_details(network: VirtualNetwork, way: Egress | None) -> tuple[str, ...]:
    if way is None:
        return ("the host has no address of its own to the outside",)
    if network.mode is Mode.NAT:
        subnets = ", ".join(str(subnet) for subnet in network.subnets) or "the subnet"
        return (
            f"what leaves {subnets} gets the address {way.address} of {way.link}",
            "answers find their way back; nothing else gets in, for no one outside knows a guest's address",
            *(f"port {f.host_port} of the host leads to {f.guest} {f.service}" for f in network.forwards),
        )
    if network.mode is Mode.ROUTED:
        return (f"forwarded through {way.link} as it is; the building needs a route back to the host",)
    return (f"forwarded through {way.link}; nobody but the host's own firewall rules decides what passes",)


def way_out(site: Site, host: Host) -> Egress | None:
    """The link that the host's default route would use."""
    links: list[tuple[int, bool, Egress]] = []
    for link in host.speakers():
        own = host.effective(link)
        rank = 0 if own.gateways else 1 if own.dhcp and not isinstance(link, Bridge) else 2
        network = site.network_of_link(host, link.name)
        way = Egress(link.name, _first(own.addresses), network.name if network is not None else None)
        links.append((rank, isinstance(link, Nic), way))
    return min(links, key=lambda found: found[:2], default=(0, False, None))[2]


def _first(addresses: Sequence[IpInterface]) -> str:
    return addresses[0].ip.compressed if addresses else "the host's address"
