"""Guests and the networks that exist for them alone, in the wanted state of a host."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.links import PORTS_MAX, BridgePort
from bascule.model.site import Bridge as DeclaredBridge
from bascule.model.site import GuestNic
from bascule.model.state import PortVlans
from bascule.model.values import IfName, bridge_name
from bascule.plan.change import Note
from bascule.plan.target.builder import Layer
from bascule.plan.target.networks import (
    accept_ra,
    forwarding,
    left_behind,
    network_link,
    why_forwarding,
)
from bascule.plan.virtual_network import ResolvedNetwork, resolved_networks
from bascule.policy.host_tables import host_tables


def arp_ignore(name: IfName) -> str:
    """The key that says whether a link answers ARP for the addresses of others."""
    return f"net/ipv4/conf/{name}/arp_ignore"


class GuestLayer(Layer):
    """Lays virtual networks, and then the taps of guests that are there."""

    # ---- virtual networks

    def _networks(self) -> None:
        networks = self.host.virtual_networks
        self.resolved_networks = resolved_networks(self.site, self.host)
        found = host_tables(self.site, self.host, self.observed, self.resolved_networks, by_libvirt=self.by_libvirt)
        self.tables = found.tables
        self.reasons |= found.reasons
        self.guests |= {subject: list(guests) for subject, guests in found.guests.items()}
        if self.by_libvirt:
            for name in networks:
                text = f"is virtual network {name}, which libvirt makes and changes"
                self.notes.append(Note(kind="foreign", subject=bridge_name(name), text=text))
                if bridge_name(name) not in self.links:
                    self.reasons[bridge_name(name)] = f"libvirt makes virtual network {name} from now on"
            return
        for one in self.resolved_networks:
            self._network(one)
        changed, notes = forwarding(self.resolved_networks, self.host, self.observed, self.links)
        self.sysctls |= changed
        self.notes += (*notes, *left_behind(self.observed, self.mark, self.resolved_networks))
        for key in changed:
            if (network := why_forwarding(key, self.resolved_networks, networks)) is not None:
                self._because(key, f"virtual network {network.name} is reached by routing", network.place)

    def _network(self, one: ResolvedNetwork) -> None:
        network = self.host.virtual_networks[one.name]
        self.links[one.bridge] = network_link(one, network, self.observed, self.mark)
        if self.observed.has_ipv6:
            self.sysctls[accept_ra(one.bridge)] = "0"  # a guest must not become the host's router
        self._because(one.bridge, f"virtual network {one.name} is declared {one.mode}", network.place)

    # ---- guests

    def _guest(self, nic: GuestNic) -> None:
        if nic.virtual_network is not None:
            self._on_network(nic)
            return
        if nic.bridge is None:
            self._direct(nic)
            return
        bridge = self.host.bridges[nic.bridge]
        way = {bridge.name, bridge.port, bridge.uplink, *(n.name for n in self.host.uplink_nics(bridge))}
        if self._plug(nic, bridge.name, way) and bridge.vlan_aware:
            self._set(nic.tap, vlans=port_vlans(nic))

    def _direct(self, nic: GuestNic) -> None:
        """A macvtap is made by whoever runs the guest; the plan sees to its NIC, as it does to a bridge's."""
        self.guests.setdefault(nic.into, []).append(nic.guest)
        shared = self.host.nics[IfName(nic.into)]
        speaks = shared.has_address or any(not a.is_link_local for a in self.links[shared.name].addresses)
        if not speaks and not self.host.as_found:
            self._silent(shared.name)
            self.sysctls[arp_ignore(shared.name)] = "1"
        if (tap := self.links.get(nic.tap)) is not None:
            self.reasons[tap.name] = f"{nic.guest} is plugged into {nic.into}"
            self.running.setdefault(nic.into, []).append(nic.guest)
        else:
            text = f"is plugged into {nic.into} when {nic.guest} starts"
            self.notes.append(Note(kind="waiting", subject=nic.tap, text=text))

    def _on_network(self, nic: GuestNic) -> None:
        bridge = bridge_name(nic.into)
        if self.by_libvirt:
            for name in {bridge, nic.tap} & self.links.keys():
                self.reasons[name] = f"libvirt plugs {nic.guest} into {nic.into}"
            return
        self._plug(nic, bridge, {bridge})

    def _plug(self, nic: GuestNic, bridge: IfName, way: set[IfName | None]) -> bool:
        """A guest's tap on its bridge; whether there is one. ``way`` are the links that its frames cross as well."""
        tap = self.observed.links.get(nic.tap)
        for name in (*sorted(filter(None, way)), nic.tap):
            self.guests.setdefault(name, []).append(nic.guest)
            if tap is not None and tap.master is not None and (name == nic.tap or tap.master == bridge):
                self.running.setdefault(name, []).append(nic.guest)
        if nic.tap not in self.links:
            text = f"is plugged into {bridge} when {nic.guest} starts"
            self.notes.append(Note(kind="waiting", subject=nic.tap, text=text))
            return False
        self._set(nic.tap, mtu=self.links[bridge].mtu)
        self._enslave(nic.tap, bridge, BridgePort())
        self._because(nic.tap, f"{nic.guest} is plugged into {bridge}", nic.place)
        return True

    def _room(self) -> None:
        """With the ports that others put there, a bridge may need more numbers than the kernel has."""
        ports = Counter(link.master for link in self.links.values() if link.master in self.host.bridges)
        full = [self.host.bridges[name] for name, number in ports.items() if name and number > PORTS_MAX]
        if full:
            raise BasculeError(*(self._crowded(bridge, ports[bridge.name]) for bridge in full))

    def _crowded(self, bridge: DeclaredBridge, number: int) -> Problem:
        now = sum(1 for link in self.observed.links.values() if link.master == bridge.name)
        return Problem(
            code="BRIDGE-FULL",
            message=f"bridge '{bridge.name}' has {now:,} ports and would have {number:,}; "
            f"the kernel takes {PORTS_MAX:,}",
            place=bridge.place,
            hint="spread the guests over several bridges, or take ports away that the file does not name",
        )


def ranges(vids: set[int]) -> tuple[PortVlans, ...]:
    """Tagged VLANs as few ranges."""
    found: list[PortVlans] = []
    for vid in sorted(vids):
        if found and found[-1].last == vid - 1:
            found[-1] = replace(found[-1], last=vid)
        else:
            found.append(PortVlans(first=vid, last=vid))
    return tuple(found)


def port_vlans(nic: GuestNic) -> tuple[PortVlans, ...]:
    """The VLANs of a guest's tap on a VLAN-aware bridge: one access VLAN, or a trunk, or the untagged default."""
    if nic.vlans:
        return ranges({vid for first, last in nic.vlans for vid in range(first, last + 1)})
    vid = nic.vlan or 1
    return (PortVlans(first=vid, last=vid, pvid=True, untagged=True),)
