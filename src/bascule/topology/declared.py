"""The links of a host as the site file wires them: enough of a host's state to follow a frame. Pure."""

from __future__ import annotations

from typing import Any

from bascule.model.host_links import Bridge as SiteBridge
from bascule.model.host_links import DeclaredPort
from bascule.model.links import Bond, Bridge, Macvtap, Physical, Tap, Veth, Vlan
from bascule.model.site import GuestNic, Host, Network, Site
from bascule.model.state import HostState, Link, PortVlans, tagged_vlans, vlan_numbers
from bascule.model.values import NO_VLAN, IfName, Vid, bridge_name
from bascule.topology.layer2 import ALL_VLANS, UNTAGGED


def declared_links(site: Site, host: Host) -> HostState:
    """NICs, bonds, bridges, virtual networks' bridges and guests' taps, each where the file puts it.

    A reference that leads nowhere is left out.
    """
    links: dict[IfName, dict[str, Any]] = {name: {"options": Physical()} for name in host.nics}
    for bond in host.bonds.values():
        links[bond.name] = {"options": Bond(mode=bond.mode)}
        for member in bond.nics:
            links.setdefault(member, {"options": Physical()})["master"] = bond.name
    for vlan in host.vlans.values():
        links[vlan.name] = {"options": Vlan(id=int(vlan.id), protocol=vlan.protocol), "parent": vlan.link}
    for bridge in host.bridges.values():
        options = Bridge(vlan_filtering=int(bridge.vlan_aware), stp_state=int(bridge.stp))
        links[bridge.name] = {"options": options, "vlans": UNTAGGED if bridge.vlan_aware else ()}
        if bridge.uplink in links and bridge.port is not None and bridge.port != bridge.uplink:
            links[bridge.port] = {"options": Vlan(id=int(bridge.vlan or 0)), "parent": bridge.uplink}
        for port in bridge.every_port:
            if port.link in links:
                links[port.link] |= {"master": bridge.name, "vlans": _port_vlans(port) if bridge.vlan_aware else ()}
        for patch in bridge.patches:
            every = {"vlans": ALL_VLANS} if bridge.vlan_aware else {}
            links[patch.name] = {"options": Veth(), "parent": patch.peer, "master": bridge.name, **every}
    for network in host.virtual_networks:
        links[bridge_name(network)] = {"options": Bridge()}
    for nic in site.guest_nics(host.name):
        if nic.shared_nic is not None:
            links[nic.tap] = {"options": Macvtap(mode="bridge"), "parent": nic.shared_nic}
        elif nic.tap in host.listeners:
            links[nic.tap] = {"options": Tap(type="tap")}  # it gets copies, and stands on no network
        else:
            known = host.bridges.get(nic.bridge) if nic.bridge else None
            vlans = guest_vlans(nic) if known is not None and known.vlan_aware else ()
            links[nic.tap] = {"options": Tap(type="tap"), "master": nic.master, "vlans": vlans}
    return HostState.of(Link(name=name, **rest) for name, rest in links.items())


def _port_vlans(port: DeclaredPort) -> tuple[PortVlans, ...]:
    """All of them where it carries what the guests need, else those that the file says."""
    if port.for_guests and port.pvid != NO_VLAN:
        return ALL_VLANS
    if port.for_guests:
        return (PortVlans(first=1, last=4094),)
    native = 1 if port.pvid is None else port.pvid
    own = () if native == NO_VLAN else (PortVlans(first=native, last=native, pvid=True, untagged=True),)
    return (*own, *(PortVlans(first=first, last=last) for first, last in port.vlans))


def guest_vlans(nic: GuestNic, native: int = 1) -> tuple[PortVlans, ...]:
    """The VLANs of a guest's tap on a VLAN-aware switch: one access VLAN, or a trunk, or the untagged default."""
    if nic.vlans:
        untagged = not nic.native_tagged
        own = () if nic.vlan is None else (PortVlans(first=nic.vlan, last=nic.vlan, pvid=True, untagged=untagged),)
        tagged = tagged_vlans(vlan_numbers(nic.vlans) - {nic.vlan})
        return tuple(sorted((*own, *tagged), key=lambda one: one.first))
    vid = nic.vlan or native
    return (PortVlans(first=vid, last=vid, pvid=True, untagged=True),)


def networks_on(
    site: Site, host: Host, nic: IfName, *, used: bool = False
) -> tuple[Network | None, tuple[Network, ...]]:
    """The network that a NIC's cable carries untagged, and those that it carries with their tags, by name.

    They are those on which the file has the links that use the cable: the NIC, its bond, the bridges and VLAN links on
    it. A VLAN-aware bridge uses all that have a VLAN, or with ``used`` those of its guests; the one of its ``pvid``
    comes there without a tag.
    """
    bonds = (bond.name for bond in host.bonds.values() if nic in bond.nics)
    untagged = (site.network_of_link(host, each) for each in (nic, *bonds))
    named = next((network for network in untagged if network is not None), None)
    carried = [named]
    for link in host.above(nic):
        if host.tags(link.name):
            carried.append(site.network_of_link(host, link.name))
        elif isinstance(link, SiteBridge) and link.vlan_aware:
            known = (network for network in site.networks.values() if network.vlan is not None)
            carried += [one for one in known if not used or _is_used(site, host, link.name, Vid(int(one.vlan or 0)))]
    tagged = {network.name: network for network in carried if network is not None and network.vlan is not None}
    native = named if named is not None and named.vlan is None else None
    untagged_here = native_vlans(host, nic) if native is None and tagged else ()
    name = next((name for name, network in tagged.items() if network.vlan in untagged_here), None)
    native = native if name is None else tagged.pop(name)
    return native, tuple(tagged[name] for name in sorted(tagged))


def native_vlans(host: Host, nic: IfName) -> frozenset[Vid]:
    """The VLANs that the file has come without a tag by a NIC, or by the bond that it is in."""
    links = {nic, *(bond.name for bond in host.bonds.values() if nic in bond.nics)}
    bridges = (link for link in host.above(nic) if isinstance(link, SiteBridge))
    ports = ((bridge, port) for bridge in bridges for port in bridge.every_port if port.link in links)
    return frozenset(
        port.pvid
        for bridge, port in ports
        if port.pvid is not None and port.pvid != NO_VLAN and not (bridge.native_tagged and port.for_guests)
    )


def _is_used(site: Site, host: Host, bridge: IfName, vid: Vid) -> bool:
    """Whether a guest on a bridge sends into a VLAN."""
    nics = site.nics_on(host.name, bridge)
    return any(nic.vlan == vid or any(first <= vid <= last for first, last in nic.vlans) for nic in nics)
