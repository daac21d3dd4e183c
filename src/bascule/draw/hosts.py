"""A declared host: its NICs, bonds, VLAN links, bridges and virtual networks, and the host's own addresses on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bascule.draw.guests import add_guests
from bascule.draw.look import (
    Fault,
    has_addresses,
    has_mac,
    has_master,
    has_mtu,
    has_no_address,
    has_parent,
    is_kind,
    look_at,
    option_is,
)
from bascule.draw.scene import Kind, Layer, Node, Presence, exit_id, link_id, network_id, self_id, virtual_id
from bascule.draw.sheet import Sheet
from bascule.model.site import Bridge, Guest, Host, Mode, Nic, Site, VirtualNetwork
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, IpAddress, IpInterface


@dataclass(frozen=True, slots=True)
class WayOut:
    """Where the host's own traffic leaves: the link with its gateway, else the first one with an address."""

    link: str
    address: str
    network: str | None


def add_host(
    sheet: Sheet, site: Site, host: Host, groups: Iterable[Sequence[Guest]], observed: HostState | None
) -> None:
    """Put everything that the file says about a host on the sheet."""
    for nic in host.nics.values():
        _add_nic(sheet, site, host, nic, observed)
    for bond in host.bonds.values():
        enslaved = next((b.name for b in host.bridges.values() if b.uplink == bond.name and b.port == bond.name), None)
        look = look_at(observed, bond.name, [is_kind("bond"), has_master(enslaved), has_mtu(bond.mtu)])
        sheet.add(
            Node(
                id=link_id(host.name, bond.name),
                layer=Layer.MIDDLE,
                kind=Kind.BOND,
                label=bond.name,
                notes=(bond.mode,),
                details=(f"mode {bond.mode}", *look.details),
                host=host.name,
                presence=look.presence,
                state=look.state,
                drift=look.drift,
            )
        )
        for member in bond.nics:
            nic_node = sheet.nodes.get(link_id(host.name, member))
            network = nic_node.network if nic_node else None
            sheet.wire(link_id(host.name, bond.name), link_id(host.name, member), network=network)
    for bridge in host.bridges.values():
        _add_bridge(sheet, site, host, bridge, observed)
    for virtual in host.virtual_networks.values():
        _add_virtual(sheet, host, virtual, observed)
    add_guests(sheet, site, host, groups, observed)


def _add_nic(sheet: Sheet, site: Site, host: Host, nic: Nic, observed: HostState | None) -> None:
    bond = next((bond.name for bond in host.bonds.values() if nic.name in bond.nics), None)
    bridge = next((b for b in host.bridges.values() if b.uplink == nic.name and b.port == nic.name), None)
    master = bond or (bridge.name if bridge else None)
    faults: list[Fault] = [has_master(master), has_mac(nic.mac), has_mtu(nic.mtu)]
    faults.append(has_no_address() if master else has_addresses(nic.addresses))
    look = look_at(observed, nic.name, faults)
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
    reached = list(dict.fromkeys(_networks(site, host, nic)))
    tags = sorted(vlan for name in reached if (vlan := site.networks[name].vlan) is not None)
    if tags:
        notes.append(f"VLAN {','.join(map(str, tags))}")
    node = Node(
        id=link_id(host.name, nic.name),
        layer=Layer.NIC,
        kind=Kind.NIC,
        label=nic.name,
        notes=tuple(notes),
        details=tuple(dict.fromkeys((*details, *look.details))),
        host=host.name,
        network=nic.network if len(reached) < 2 else None,
        presence=look.presence,
        state=look.state,
        drift=look.drift,
    )
    sheet.add(node)
    moved = bridge is not None and bridge.from_uplink
    if nic.has_address and not moved:
        _add_self(sheet, host, nic.name, nic.addresses, nic.gateways, dhcp=nic.dhcp, network=nic.network)
    for name in reached:
        sheet.wire(node.id, network_id(name), network=name, state=look.state)


def _networks(site: Site, host: Host, nic: Nic) -> Iterable[str]:
    """The building's networks that a NIC's wire carries: the one it names, and those of the VLANs used over it."""
    bond = next((bond for bond in host.bonds.values() if nic.name in bond.nics), None)
    siblings = [host.nics[name] for name in (bond.nics if bond else (nic.name,)) if name in host.nics]
    carriers = {nic.name} | ({bond.name} if bond else set())
    yield from (name for sibling in siblings if (name := sibling.network) is not None and name in site.networks)
    for bridge in host.bridges.values():
        if bridge.uplink not in carriers:
            continue
        if bridge.vlan is not None and (network := site.network_of_vlan(bridge.vlan)):
            yield network.name
        if not bridge.vlan_aware:
            continue
        used = {nic.vlan for nic in site.guest_nics(host.name) if nic.into == bridge.name and nic.vlan is not None}
        ranges = [span for nic in site.guest_nics(host.name) if nic.into == bridge.name for span in nic.vlans]
        for network in site.networks.values():
            vid = network.vlan
            if vid is not None and (vid in used or any(first <= vid <= last for first, last in ranges)):
                yield network.name


def _add_self(
    sheet: Sheet,
    host: Host,
    link: str,
    addresses: Sequence[IpInterface],
    gateways: Sequence[IpAddress],
    *,
    dhcp: bool,
    network: str | None,
) -> None:
    words = [str(address) for address in addresses] + (["dhcp"] if dhcp else [])
    sheet.add(
        Node(
            id=self_id(host.name, link),
            layer=Layer.SWITCH,
            kind=Kind.HOST,
            label=host.name,
            notes=tuple(words or ["own address"]),
            details=("the host's own address", *words, *(f"gateway {gateway}" for gateway in gateways)),
            host=host.name,
            network=network,
        )
    )
    sheet.wire(self_id(host.name, link), link_id(host.name, link), network=network)


def _add_bridge(sheet: Sheet, site: Site, host: Host, bridge: Bridge, observed: HostState | None) -> None:
    network = site.network_of_bridge(host, bridge)
    name = network.name if network else None
    faults = [is_kind("bridge"), has_mtu(bridge.mtu), has_addresses(bridge.addresses)]
    faults += [option_is("stp_state", int(bridge.stp), "STP")]
    faults += [option_is("vlan_filtering", int(bridge.vlan_aware), "VLAN filtering")]
    if not bridge.has_address:
        faults.append(has_no_address())
    look = look_at(observed, bridge.name, faults)
    notes = [words for words, on in (("VLAN-aware", bridge.vlan_aware), ("STP", bridge.stp)) if on]
    if bridge.uplink is None:
        notes.append("no uplink")
    details = [f"uplink {bridge.uplink or 'none, on purpose'}", f"STP {'on' if bridge.stp else 'off'}"]
    if bridge.mtu and not look.details:
        details.append(f"MTU {bridge.mtu} bytes")
    if not bridge.has_address:
        details.append("no address: carries guests only")
    node = Node(
        id=link_id(host.name, bridge.name),
        layer=Layer.SWITCH,
        kind=Kind.BRIDGE,
        label=bridge.name,
        notes=tuple(notes),
        details=tuple(dict.fromkeys((*details, *look.details))),
        host=host.name,
        network=None if bridge.vlan_aware else name,
        presence=look.presence,
        state=look.state,
        drift=look.drift,
    )
    sheet.add(node)
    if bridge.has_address:
        own = bridge.addresses
        gateways = bridge.gateways
        dhcp = bridge.dhcp
        if bridge.from_uplink:
            nics = host.uplink_nics(bridge)
            own = own or tuple(address for nic in nics for address in nic.addresses)
            gateways = gateways or tuple(gateway for nic in nics for gateway in nic.gateways)
            dhcp = dhcp or any(nic.dhcp for nic in nics)
        _add_self(sheet, host, bridge.name, own, gateways, dhcp=dhcp, network=node.network)
    if bridge.uplink is None or bridge.port is None:
        return
    below = link_id(host.name, bridge.uplink)
    if bridge.port != bridge.uplink:
        faults = [is_kind("vlan"), has_parent(bridge.uplink), has_master(bridge.name)]
        seen = look_at(observed, bridge.port, [*faults, option_is("id", int(bridge.vlan or 0), "the VLAN")])
        vlan = Node(
            id=link_id(host.name, bridge.port),
            layer=Layer.MIDDLE,
            kind=Kind.VLAN,
            label=bridge.port,
            notes=(f"VLAN {bridge.vlan}",),
            details=seen.details or (f"VLAN {bridge.vlan} of {bridge.uplink}",),
            host=host.name,
            network=name,
            presence=seen.presence,
            state=seen.state,
            drift=seen.drift,
        )
        sheet.add(vlan)
        sheet.wire(node.id, vlan.id, network=name, presence=seen.presence, state=seen.state)
        sheet.wire(vlan.id, below, network=name)
        return
    lower = sheet.nodes.get(below)
    link = observed.links.get(bridge.uplink) if observed else None
    apart = observed is not None and (link is None or link.master != bridge.name)
    presence = Presence.WANTED if apart else Presence.DECLARED
    sheet.wire(node.id, below, network=node.network, presence=presence, state=lower.state if lower else look.state)


def _add_virtual(sheet: Sheet, host: Host, network: VirtualNetwork, observed: HostState | None) -> None:
    link = virtual_bridge(network, observed)
    look = look_at(observed, link.name if link else "", ())
    mode = {Mode.NAT: "NAT", Mode.ROUTED: "routed", Mode.ISOLATED: "isolated", Mode.OPEN: "open"}[network.mode]
    details = [f"virtual network, {mode}", *(f"subnet {subnet}" for subnet in network.subnets)]
    if network.dhcp:
        details.append(f"DHCP {network.dhcp}")
    notes = [mode, *(str(subnet) for subnet in network.subnets)]
    if link:
        notes.insert(0, link.name)
        sheet.aliases[link_id(host.name, link.name)] = virtual_id(host.name, network.name)
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
        state=look.state,
    )
    sheet.add(node)
    if network.mode is Mode.ISOLATED:
        return
    way = way_out(site_host=host)
    step = Node(
        id=exit_id(host.name, network.name),
        layer=Layer.MIDDLE,
        kind=Kind.TRANSLATION if network.mode is Mode.NAT else Kind.ROUTING,
        label="masquerade" if network.mode is Mode.NAT else "routing",
        notes=_step_notes(network, way),
        details=_step_details(network, way),
        lets_in=tuple(dict.fromkeys(forward.guest for forward in network.forwards)),
        host=host.name,
    )
    sheet.add(step)
    sheet.wire(node.id, step.id)
    if way:
        sheet.wire(step.id, link_id(host.name, way.link), network=way.network)


def _step_notes(network: VirtualNetwork, way: WayOut | None) -> tuple[str, ...]:
    if way is None:
        return ("no way out: host has no address",)
    if network.mode is Mode.ROUTED:
        return ("no translation", "in and out by route")
    if network.mode is Mode.OPEN:
        return ("host's rules decide",)
    notes = [f"out as {way.address}"]
    notes += [f"in :{f.host_port} → {f.guest} {f.service}" for f in network.forwards]
    return (*notes, "all else: no way in" if network.forwards else "in: nothing")


def _step_details(network: VirtualNetwork, way: WayOut | None) -> tuple[str, ...]:
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


def way_out(site_host: Host) -> WayOut | None:
    """The link that the host's default route would use."""
    links: list[tuple[int, WayOut]] = []
    for bridge in site_host.bridges.values():
        nics = site_host.uplink_nics(bridge)
        own = bridge.addresses or (tuple(a for n in nics for a in n.addresses) if bridge.from_uplink else ())
        gateway = bool(bridge.gateways) or (bridge.from_uplink and any(nic.gateways for nic in nics))
        if bridge.has_address:
            network = next((nic.network for nic in nics if nic.network), None) if bridge.vlan is None else None
            links.append((0 if gateway else 2, WayOut(bridge.name, _first(own), network)))
    moved = {b.uplink for b in site_host.bridges.values() if b.from_uplink}
    for nic in site_host.nics.values():
        if nic.has_address and nic.name not in moved:
            rank = 0 if nic.gateways else 1 if nic.dhcp else 2
            links.append((rank, WayOut(nic.name, _first(nic.addresses), nic.network)))
    return min(links, key=lambda found: found[0], default=(0, None))[1]


def _first(addresses: Sequence[IpInterface]) -> str:
    return addresses[0].ip.compressed if addresses else "the host's address"


def virtual_bridge(network: VirtualNetwork, observed: HostState | None) -> Link | None:
    """The bridge that carries a virtual network: the one with an address in its subnet, whoever made it."""
    if observed is None:
        return None
    for link in observed.links.values():
        for address in link.addresses:
            ip = IfName(address.ip.split("/")[0])
            if link.is_bridge and any(_contains(subnet, ip) for subnet in network.subnets):
                return link
    return None


def _contains(subnet: object, ip: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(ip) in subnet  # type: ignore[operator]  # either family; a mixed question is False
    except ValueError:
        return False
