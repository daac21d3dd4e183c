"""A declared host: its NICs, bonds, VLAN links and bridges, and the host's own addresses on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from bascule.draw.scene.builder import SceneBuilder
from bascule.draw.scene.compare import Comparison, SeenHost, compare, without_uplink
from bascule.draw.scene.elements import Kind, Layer, Node, Presence, link_id, network_id
from bascule.draw.scene.guests import add_guests, vlan_words
from bascule.draw.scene.virtual import add_virtual
from bascule.model.dhcp.offers import use_words
from bascule.model.host_links import Bond, Bridge, HostLink, Ipv6, Nic, Patch, VlanLink
from bascule.model.links import BOND_KEYS, Macvtap, Tap, Veth
from bascule.model.links.options import ON_OFF
from bascule.model.links.wake_on_lan import wake_words
from bascule.model.site import Guest, Host, Site
from bascule.model.state import HostState, tagged_vlans
from bascule.model.values import NO_VLAN, IfName, span_words
from bascule.topology.declared import declared_links, networks_on


def add_host(
    builder: SceneBuilder, site: Site, host: Host, groups: Iterable[Sequence[Guest]], observed: SeenHost | None
) -> None:
    """Add everything that the file says about a host to the scene."""
    for nic in host.nics.values():
        _add_nic(builder, site, host, nic, observed)
    for bond in host.bonds.values():
        _add_bond(builder, site, host, bond, observed)
    for vlan in host.vlans.values():
        _add_vlan(builder, site, host, vlan, observed)
    for bridge in host.bridges.values():
        _add_bridge(builder, site, host, bridge, observed)
    for bridge in host.bridges.values():
        for patch in bridge.patches:
            _add_patch(builder, host, bridge, patch, observed)
    declared = declared_links(site, host)
    _wire_links(builder, declared, host, observed)
    _wire_listeners(builder, host, observed)
    for virtual in host.virtual_networks.values():
        add_virtual(builder, site, host, virtual, observed)
    add_guests(builder, site, host, groups, observed, declared)


LAYERS = {
    Kind.NIC: Layer.NIC,
    Kind.BOND: Layer.MIDDLE,
    Kind.VLAN: Layer.MIDDLE,
    Kind.BRIDGE: Layer.SWITCH,
    Kind.LINK: Layer.TAP,
}


def _add_link(
    builder: SceneBuilder,
    host: Host,
    name: str,
    look: Comparison,
    kind: Kind,
    notes: Iterable[str],
    details: Iterable[str],
    *,
    network: str | None = None,
) -> Node:
    """A link that the file has, as it was seen."""
    return builder.add(
        Node(
            id=link_id(host.name, name),
            layer=LAYERS[kind],
            kind=kind,
            label=name,
            notes=tuple(notes),
            details=tuple(details),
            host=host.name,
            network=network,
            presence=look.presence,
            state=look.state,
            isolated=look.isolated,
            drift=look.drift,
        )
    )


def _add_nic(builder: SceneBuilder, site: Site, host: Host, nic: Nic, observed: SeenHost | None) -> None:
    look = compare(observed, nic.name)
    details = [f"network {nic.network}" if nic.network else "no network named"]
    details += [f"address {address}" for address in nic.addresses] + (["address by dhcp"] if nic.dhcp else [])
    if nic.mac and not look.details:
        details.append(f"MAC {nic.mac}")
    if nic.path:
        details.append(f"hardware path {nic.path}")
    if nic.mtu and not look.details:
        details.append(f"MTU {nic.mtu} bytes")
    notes = []
    if nic.switch:
        notes.append(f"{nic.switch.name} {nic.switch.port}")
        details.append(f"cabled to port {nic.switch.port} of {nic.switch.name}")
    details += declared_details(nic)
    reached = list(dict.fromkeys(_networks(site, host, nic)))
    tags = [vlan for name in reached if (vlan := site.networks[name].vlan) is not None]
    if tags:
        notes.append(vlan_words([vlans.span for vlans in tagged_vlans(tags)]))
    network = nic.network if len(reached) < 2 else None
    node = _add_link(
        builder, host, nic.name, look, Kind.NIC, notes, dict.fromkeys((*details, *look.details)), network=network
    )
    _add_self(builder, site, host, nic, observed)
    cable = Presence.WANTED if look.presence is Presence.WANTED else Presence.DECLARED
    for name in reached:
        builder.wire(node.id, network_id(name), network=name, presence=cable, state=look.state)


def _add_bond(builder: SceneBuilder, site: Site, host: Host, bond: Bond, observed: SeenHost | None) -> None:
    look = compare(observed, bond.name)
    details = (f"mode {bond.mode}", *declared_details(bond), *look.details)
    _add_link(builder, host, bond.name, look, Kind.BOND, (bond.mode,), details)
    _add_self(builder, site, host, bond, observed)


def _add_vlan(builder: SceneBuilder, site: Site, host: Host, vlan: VlanLink, observed: SeenHost | None) -> None:
    look, network = compare(observed, vlan.name), site.network_of_link(host, vlan.name)
    name, details = network.name if network else None, look.details or (f"VLAN {vlan.id} of {vlan.link}",)
    own = (*declared_details(vlan), *details)
    _add_link(builder, host, vlan.name, look, Kind.VLAN, (f"VLAN {vlan.id}",), own, network=name)
    _add_self(builder, site, host, vlan, observed)


def _networks(site: Site, host: Host, nic: Nic) -> Iterator[str]:
    """The building's networks that a NIC's wire carries: the one it names, and those of the VLANs used over it."""
    native, tagged = networks_on(site, host, nic.name, used=True)
    yield from (network.name for network in ((native, *tagged) if native is not None else tagged))


def _add_self(builder: SceneBuilder, site: Site, host: Host, link: HostLink, observed: SeenHost | None) -> None:
    """The host itself where it speaks on a link."""
    if not link.has_address or all(link.name != speaker.name for speaker in host.speakers()):
        return
    effective = host.effective(link)
    name = site.network_of_link(host, link.name)
    network = name.name if name is not None and not (isinstance(link, Bridge) and link.vlan_aware) else None
    words = [str(address) for address in effective.addresses] + (["dhcp"] if effective.dhcp else [])
    mode = [IPV6_NOTES[effective.ipv6]] if effective.ipv6 is not None else []
    seen = observed.state.links.get(link.name) if observed else None
    own = [address.ip for address in seen.addresses if not address.is_link_local] if seen else []
    presence = Presence.DECLARED
    if observed is not None:
        there = set(own).issuperset(map(str, effective.addresses)) and (bool(own) or not effective.dhcp)
        presence = Presence.PRESENT if there else Presence.DRIFTED if own else Presence.WANTED
    others = [ip for ip in own if ip not in words]
    found = [f"has {ip}" for ip in others] if effective.dhcp or presence is Presence.DRIFTED else []
    notes = (*(words or ["own address"]), *mode, *found)
    details = (*words, *(f"has {ip}" for ip in others), *(f"gateway {g}" for g in effective.gateways))
    wire = Presence.WANTED if presence is Presence.WANTED else Presence.DECLARED
    builder.add_self(host.name, link.name, notes, details, network=network, presence=presence, wire=wire)


def _add_bridge(builder: SceneBuilder, site: Site, host: Host, bridge: Bridge, observed: SeenHost | None) -> None:
    network = site.network_of_link(host, bridge.name)
    name = network.name if network else None
    look = compare(observed, bridge.name)
    notes = list(bridge.traits)
    if bridge.uplink is None:
        notes.append("no uplink")
    without = "unknown" if bridge.uplink_unknown else "none, on purpose"
    beside = f", ports {', '.join(port.link for port in bridge.ports)}" if bridge.ports else ""
    details = [f"uplink {bridge.uplink or without}{beside}", f"STP {'on' if bridge.stp else 'off'}"]
    if bridge.mtu and not look.details:
        details.append(f"MTU {bridge.mtu} bytes")
    if not bridge.has_address:
        details.append("no address: carries guests only")
    details += declared_details(bridge)
    look = look if bridge.uplink else replace(look, state=without_uplink(look.state))
    seen, own = dict.fromkeys((*details, *look.details)), None if bridge.vlan_aware else name
    _add_link(builder, host, bridge.name, look, Kind.BRIDGE, notes, seen, network=own)
    _add_self(builder, site, host, bridge, observed)
    if bridge.port is not None and bridge.port != bridge.uplink:  # the VLAN link between it and its uplink
        look, words = compare(observed, bridge.port), f"VLAN {bridge.vlan}"
        below = look.details or (f"{words} of {bridge.uplink}",)
        _add_link(builder, host, bridge.port, look, Kind.VLAN, (words,), below, network=own)


def _add_patch(builder: SceneBuilder, host: Host, bridge: Bridge, patch: Patch, observed: SeenHost | None) -> None:
    """A cable to another bridge: one element, under the name of the end that comes first."""
    own, far = link_id(host.name, patch.name), link_id(host.name, patch.peer)
    here = builder.nodes[link_id(host.name, bridge.name)]
    if far not in builder.nodes:
        look = compare(observed, patch.name)
        words = "veth pair" if patch.by_kernel else "patch ports"
        details = look.details or (f"a cable from {bridge.name} to {patch.to}",)
        _add_link(builder, host, patch.name, look, Kind.LINK, (words,), details, network=here.network)
    else:
        builder.aliases[own] = far
    node = builder.nodes[builder.aliases.get(own, own)]
    builder.wire(node.id, here.id, network=here.network, presence=node.presence, state=node.state)


def _wire_links(builder: SceneBuilder, declared: HostState, host: Host, observed: SeenHost | None) -> None:
    """The wires between a host's own links, as the graph has them: a port and its master, a link and its parent."""
    for link in declared.links.values():
        own = builder.nodes.get(link_id(host.name, link.name))
        if own is None or isinstance(link.options, Tap | Macvtap | Veth):
            continue  # a guest's is drawn with the guest, a cable by itself
        if link.master is not None:
            upper = builder.nodes[link_id(host.name, link.master)]
            presence = _of_port(observed, link.name, link.master)
            network = own.network if upper.kind is Kind.BOND else upper.network
            builder.wire(upper.id, own.id, network=network, presence=presence, state=own.state)
        if link.parent is not None:
            builder.wire(own.id, link_id(host.name, link.parent), network=own.network)


def _of_port(observed: SeenHost | None, port: str, master: str) -> Presence:
    """Of the wire between a port and its master: only wanted, where the host was seen and has it otherwise."""
    seen = observed.state.links.get(IfName(port)) if observed else None
    apart = observed is not None and (seen is None or seen.master != master)
    return Presence.WANTED if apart else Presence.DECLARED


def _wire_listeners(builder: SceneBuilder, host: Host, observed: SeenHost | None) -> None:
    """The NICs that get copies: ports of their switch, which stand on no network."""
    for bridge in host.bridges.values():
        for name in (mirror.to for mirror in bridge.mirrors if mirror.to in host.nics):
            own = builder.nodes[link_id(host.name, name)]
            presence = _of_port(observed, name, bridge.name)
            builder.wire(link_id(host.name, bridge.name), own.id, presence=presence, state=own.state)


IPV6_NOTES = {Ipv6.AUTO: "IPv6 auto", Ipv6.DHCP: "DHCPv6", Ipv6.MANUAL: "IPv6 manual", Ipv6.OFF: "IPv6 off"}
_TICKS = ("forward_delay", "hello", "max_age", "ageing")  # hundredths of a second
_BRIDGE = ("priority", *_TICKS, "path_cost", "port_priority", "snooping", "querier", "pvid")
_UNITS = {**dict.fromkeys(("miimon", "updelay", "downdelay", "arp_interval"), " ms"), "lp_interval": " s"}


def declared_details(link: HostLink) -> Iterator[str]:
    """One line for each key that has a value."""
    if link.ipv6 is not None:
        yield f"IPv6 mode {link.ipv6}"
    if link.ipv6_privacy is not None:
        yield f"temporary IPv6 addresses: {link.ipv6_privacy}"
    yield from (f"gateway {gateway}" for gateway in link.gateways)
    if link.metric is not None:
        yield f"metric {link.metric}"
    yield from (f"{key.replace('_', ' ')}: {value}".lower() for key, value in use_words(link.unused).items())
    if link.routes:
        yield f"routes: {len(link.routes)}"
    if isinstance(link, Nic):
        if link.wol is not None:
            yield f"woken by: {wake_words(link.wol)}"
    elif link.mac is not None:
        yield f"MAC {link.mac}, given"
    if isinstance(link, Bridge) and link.port_flags:
        yield f"uplink: {', '.join(f'{name} {ON_OFF[value]}' for name, value in link.port_flags)}"
    keys = _BRIDGE if isinstance(link, Bridge) else tuple(BOND_KEYS) if isinstance(link, Bond) else ()
    for key in keys:
        value = getattr(link, key)
        if key == "pvid" and value == NO_VLAN:
            yield "nothing untagged comes in"
        elif value is not None:
            text = ", ".join(value) if isinstance(value, tuple) else str(value)
            shown = f"{value / 100:g} s" if key in _TICKS else text + _UNITS.get(key, "")
            yield f"{key.replace('_', ' ')} {'on' if value is True else 'off' if value is False else shown}"
    if isinstance(link, Bridge) and link.vlans:
        yield f"VLANs of the uplink {', '.join(span_words(*span) for span in link.vlans)}"
    yield from (f"its own files run: {line}" for line in link.hooks)
