"""What a host's network shall be: the observed state with the site file's declarations laid over it, pure.

Links that the file does not name are copied as they are. Wanted and observed are therefore whole states, and their
difference is the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError, Place, Problem
from bascule.model.links import Bond, Bridge, BridgePort, Vlan
from bascule.model.site import Bridge as DeclaredBridge
from bascule.model.site import Host, Nic, Site, StaticRoute
from bascule.model.state import Address, HostState, Link, PortVlans, Route
from bascule.model.values import IfName, IpAddress, IpInterface, bridge_name, derive_mac
from bascule.plan.address_migration import address_successor, inherit, moved_routes, slaac_keys
from bascule.plan.change import Note
from bascule.plan.target.guests import GuestLayer, arp_ignore, ranges
from bascule.plan.target.hardware import find_nics
from bascule.plan.target.macvtap import macvtap_notes
from bascule.plan.target.networks import accept_ra, network_sysctl_keys
from bascule.plan.target.wireless import refuse_wireless

PROTOCOL = "66"  # of the routes that Bascule makes (rtm_protocol; 66 is unassigned in iproute2's rt_protos)
ZERO = {4: "0.0.0.0/0", 6: "::/0"}
UNTAGGED = (PortVlans(first=1, last=1, pvid=True, untagged=True),)  # what the kernel gives to every port
MIIMON_MS = 100  # how often a bond looks at its members' carrier


class Target(Struct, frozen=True, kw_only=True):
    """The wanted state, why each link is in it, and what the plan cannot or need not do.

    ``guests`` are those that a link shall carry, ``running`` those whose frames cross it now.
    """

    state: HostState
    reasons: Mapping[str, str]
    guests: Mapping[str, tuple[str, ...]]
    running: Mapping[str, tuple[str, ...]]
    notes: tuple[Note, ...] = ()


def sysctl_keys(host: Host, taps: tuple[IfName, ...] = ()) -> tuple[str, ...]:
    """The kernel parameters that a plan for this host looks at."""
    quiet = dict.fromkeys((*host.bridges, *host.nics, *_ports(host), *taps))
    moving = [name for b in host.bridges.values() if b.from_uplink and b.port for name in (b.name, b.port)]
    return (
        *map(accept_ra, quiet),
        *map(arp_ignore, (*host.bridges, *host.nics)),
        *(key for name in moving for key in slaac_keys(name) if not key.endswith("/accept_ra")),
        *network_sysctl_keys(host),
    )


def _ports(host: Host) -> list[IfName]:
    names = [bridge.port for bridge in host.bridges.values() if bridge.port]
    names += [nic for bond in host.bonds.values() for nic in bond.nics]
    return list(dict.fromkeys(names))


def target(
    site: Site,
    host: Host,
    observed: HostState,
    added: Mapping[str, frozenset[str]] = MappingProxyType({}),
    *,
    by_libvirt: bool = False,
) -> Target:
    """The wanted state of one host.

    ``added`` are the addresses that Bascule put on links before: those that the file no longer names go again.
    ``by_libvirt`` leaves the virtual networks to libvirt.
    Raises BasculeError with every NIC that the file names and the host does not have.
    """
    return _Target(site=site, host=host, observed=observed, added=added, by_libvirt=by_libvirt).target()


class _Target(GuestLayer):
    """Lays the declarations over the observed state, link by link."""

    def target(self) -> Target:
        find_nics(self.host, self.observed)
        refuse_wireless(self.site, self.host, self.observed)
        outdated = self._outdated()
        self.links = {name: link for name, link in self.observed.links.items() if name not in outdated}
        self.routes = [route for route in self.observed.routes if route.protocol != PROTOCOL]
        self.sysctls = dict(self.observed.sysctls)
        self._give_back()
        for name in (*self.host.nics, *self.host.bonds):
            self._leave(name)
        for nic in self.host.nics.values():
            self._nic(nic)
        for bond in self.host.bonds.values():
            self._bond(bond.name, bond.nics, bond.mode, bond.mtu, bond.place)
        for bridge in self.host.bridges.values():
            self._bridge(bridge)
        self._networks()
        for guest_nic in self.site.guest_nics(self.host.name):
            self._guest(guest_nic)
        self.notes += macvtap_notes(self.site, self.host)
        self._room()
        self._forget()
        self._foreign()
        state = HostState(
            links=self.links,
            routes=tuple(route for route in self.routes if not route.dev or route.dev in self.links),
            rules=self.observed.rules,
            sysctls=self.sysctls,
            tables=self.tables,
        )
        return Target(
            state=state,
            reasons=self.reasons,
            guests={name: tuple(dict.fromkeys(guests)) for name, guests in self.guests.items()},
            running={name: tuple(dict.fromkeys(guests)) for name, guests in self.running.items()},
            notes=tuple(self.notes),
        )

    def _outdated(self) -> set[IfName]:
        """Made by us for this site, and no longer in the file."""
        declared = {*self.host.bridges, *self.host.bonds, *(b.port for b in self.host.bridges.values() if b.port)}
        if not self.by_libvirt:
            declared |= set(map(bridge_name, self.host.virtual_networks))
        mark = self.mark
        return {
            name
            for name, link in self.observed.links.items()
            if link.alias == mark and link.options.virtual and name not in declared
        }

    def _leave(self, name: IfName) -> None:
        """Out of the bridge or bond of ours that the file no longer puts it into; then it wears its own MAC again."""
        link = self.links.get(name)
        master = self.observed.links.get(link.master) if link is not None and link.master is not None else None
        if link is None or master is None:
            return
        members = {name for bond in self.host.bonds.values() if bond.name == master.name for name in bond.nics}
        members |= {b.port for b in self.host.bridges.values() if b.name == master.name and b.port}
        if name in members:
            return
        if isinstance(master.options, Bond):
            link = replace(link, mac=link.hardware_mac)
        if master.name in {*self.host.bridges, *self.host.bonds} or master.alias == self.mark:
            link = replace(link, master=None, port=None, vlans=())
        self.links[name] = link

    # ---- NICs

    def _nic(self, nic: Nic) -> None:
        self._set(nic.name, up=True, mtu=nic.mtu or self.links[nic.name].mtu)
        network = f" on {nic.network}" if nic.network else ""
        if self.host.is_enslaved(nic.name):
            heirs = [b.name for b in self.host.bridges.values() if b.from_uplink and b.port == nic.name]
            words = f"hands its addresses to {heirs[0]}" if heirs else f"carries guests only{network}"
            self._because(nic.name, f"{nic.name} {words}", nic.place)
            return
        if nic.has_address:
            words = ", ".join([*map(str, nic.addresses), *(["DHCP"] if nic.dhcp else [])])
            self._because(nic.name, f"{nic.name} is the host's own NIC{network}: {words}", nic.place)
        else:
            self._because(nic.name, f"{nic.name} is declared{network}", nic.place)
        self._speaks(nic.name, nic.addresses, nic.gateways)
        self._static_routes(nic.name, nic.routes)
        if nic.dhcp:
            self._dhcp(nic.name)

    def _static_routes(self, name: IfName, routes: tuple[StaticRoute, ...]) -> None:
        """Networks behind other routers; whoever made a route that is there already, it is the same route."""
        for route in routes:
            metric = route.metric or (1024 if route.to.version == 6 else 0)
            there = [
                r
                for r in self.observed.routes
                if (r.dst, r.dev, r.gateway, r.metric, r.table) == (str(route.to), name, str(route.via), metric, "main")
            ]
            if there:
                self.routes += [r for r in there if r.protocol == PROTOCOL]
            else:
                self.routes.append(
                    Route(dst=str(route.to), dev=name, gateway=str(route.via), metric=metric, protocol=PROTOCOL)
                )

    def _speaks(self, name: IfName, addresses: tuple[IpInterface, ...], gateways: tuple[IpAddress, ...]) -> None:
        """The host has these addresses on the link and its default routes over it."""
        link = self.links[name]
        have = {address.ip for address in link.addresses}
        new = tuple(Address(ip=str(ip)) for ip in addresses if str(ip) not in have)
        self.links[name] = replace(link, addresses=link.addresses + new)
        for gateway in gateways:
            self._default_route(name, gateway)

    def _default_route(self, name: IfName, gateway: IpAddress) -> None:
        dst = ZERO[gateway.version]
        own = [r for r in self.observed.routes if r.protocol == PROTOCOL]
        found = (*self.routes, *own)  # those of others may have moved here from a NIC, whatever metric they have
        rivals = [r for r in found if r.dst == dst and r.table == "main" and r.kind == "unicast"]
        fitting = [r for r in rivals if r.dev == name and r.gateway == str(gateway)]
        if fitting:
            self.routes += [r for r in fitting if r not in self.routes]
            return
        metric = 1024 if gateway.version == 6 else 0
        for rival in rivals:
            if rival.metric == metric:
                self.routes = [r for r in self.routes if r != rival]
            elif rival.protocol != PROTOCOL:
                text = f"default route via {rival.gateway or 'link'} on {rival.dev} with metric {rival.metric} stays"
                self.notes.append(Note(kind="warning", subject=rival.dev, text=text))
        self.routes.append(Route(dst=dst, dev=name, gateway=str(gateway), metric=metric, protocol=PROTOCOL))

    def _dhcp(self, name: IfName) -> None:
        if not any(address.dynamic and ":" not in address.ip for address in self.links[name].addresses):
            text = "its address comes by DHCP from the host's own client; Bascule asks for none itself"
            self.notes.append(Note(kind="waiting", subject=name, text=text))

    # ---- what NICs are put under

    def _bond(self, name: IfName, nics: tuple[IfName, ...], mode: str, mtu: int | None, place: Place) -> None:
        before = self.links.get(name)
        if before is not None and not isinstance(before.options, Bond):
            raise _occupied("NOT-A-BOND", f"'{name}' exists on this host and is no bond", "bond", place)
        options = before.options if before and isinstance(before.options, Bond) else Bond(miimon=MIIMON_MS)
        self.links[name] = replace(
            before or Link(name=name, options=options, mac=self.links[nics[0]].mac, alias=self.mark),
            options=replace(options, mode=mode),
            up=True,
            mtu=mtu or (before or self.links[nics[0]]).mtu,
        )
        self._because(name, f"{name} bonds {', '.join(nics)} ({mode})", place)
        for nic in nics:
            self._enslave(nic, name, None)

    def _vlan(self, bridge: DeclaredBridge, name: IfName, uplink: IfName) -> None:
        options = Vlan(id=bridge.vlan or 0)
        before = self.links.get(name)
        if before is None:
            parent = self.links[uplink]
            self.links[name] = Link(
                name=name, options=options, parent=uplink, mac=parent.mac, mtu=parent.mtu, alias=self.mark
            )
        elif (before.options, before.parent) != (options, uplink):
            what = f"'{name}' exists on this host and is not VLAN {bridge.vlan} of {uplink}"
            raise _occupied("NOT-THE-VLAN", what, None, bridge.place)
        self._because(name, f"{bridge.name} sits on VLAN {bridge.vlan} of {uplink}", bridge.place)

    def _learn_vlans(self, bridge: IfName) -> None:
        """A bridge that begins to look at tags has had every port on the untagged VLAN all the time."""
        for name, link in self.observed.links.items():
            if link.master == bridge and name in self.links:
                self.links[name] = replace(self.links[name], vlans=UNTAGGED)

    def _bridge(self, bridge: DeclaredBridge) -> None:
        before = self.observed.links.get(bridge.name)
        if before is not None and not before.is_bridge:
            what = f"'{bridge.name}' exists on this host and is no bridge"
            raise _occupied("NOT-A-BRIDGE", what, "bridge", bridge.place)
        port = bridge.port
        if port is not None and bridge.uplink is not None and port != bridge.uplink:
            self._vlan(bridge, port, bridge.uplink)
        uplink = self.links[port] if port is not None else None
        mac = (
            uplink.mac
            if uplink
            else before.mac
            if before
            else derive_mac(self.site.name, self.host.name + "/" + bridge.name, 0)
        )
        mtu = bridge.mtu or (uplink.mtu if uplink else before.mtu if before else 1500)
        known = before.options if before and isinstance(before.options, Bridge) else Bridge()
        delay, snooping = 1500 if bridge.stp else 0, 0
        if before is not None and not bridge.stp and not known.stp_state:
            delay = known.forward_delay  # without STP it does nothing
        if self.host.as_found and before is not None:
            mac, mtu = before.mac, bridge.mtu or before.mtu
            delay, snooping = known.forward_delay, known.mcast_snooping
        self.links[bridge.name] = replace(
            before or Link(name=bridge.name, options=known, alias=self.mark),
            options=replace(
                known,
                stp_state=int(bridge.stp),
                forward_delay=delay,
                vlan_filtering=int(bridge.vlan_aware),
                mcast_snooping=snooping,
            ),
            up=True,
            mac=mac,
            mtu=mtu,
        )
        if bridge.vlan_aware and not known.vlan_filtering:
            self._learn_vlans(bridge.name)
            self.links[bridge.name] = replace(self.links[bridge.name], vlans=UNTAGGED)
        behind = f"uplink {port}" if port else "no uplink, on purpose"
        self._because(bridge.name, f"{bridge.name} is declared with {behind}", bridge.place)
        if bridge.from_uplink and uplink is not None:
            self._take_over(bridge.name, uplink)
            for nic in self.host.uplink_nics(bridge):
                self._speaks(bridge.name, nic.addresses, nic.gateways)
                self._static_routes(bridge.name, nic.routes)
        elif bridge.has_address:
            self._speaks(bridge.name, bridge.addresses, bridge.gateways)
            self._static_routes(bridge.name, bridge.routes)
            if bridge.dhcp:
                self._dhcp(bridge.name)
        else:
            self._silent(bridge.name)
            # Linux answers ARP for any of its addresses on any link: the host's own NIC may be on this network, too
            if not (self.host.as_found and before is not None):
                self.sysctls[arp_ignore(bridge.name)] = "1"
        if port is not None:
            self._set(port, mtu=mtu if bridge.mtu else self.links[port].mtu)
            self._enslave(port, bridge.name, BridgePort())
            self.reasons.setdefault(port, f"{port} is the uplink of {bridge.name}")
            if bridge.vlan_aware:
                self._trunk(bridge)

    def _take_over(self, bridge: IfName, uplink: Link) -> None:
        """The host's own addresses move from the NIC to the bridge, with its routes, leases and how it hears routers.

        Link-local addresses stay behind, unless the NIC's were not made by the kernel (NetworkManager makes its own).
        """
        if uplink.master == bridge:
            return  # they have moved already
        there = {address.ip for address in self.links[bridge].addresses}
        by_hand = uplink.addrgenmode == "none"
        moved = tuple(a for a in uplink.addresses if a.ip not in there and (by_hand or not a.is_link_local))
        self.links[bridge] = replace(
            self.links[bridge], addresses=self.links[bridge].addresses + moved, addrgenmode=uplink.addrgenmode
        )
        self.routes = moved_routes(self.routes, uplink.name, bridge)
        for old, new in zip(slaac_keys(uplink.name), slaac_keys(bridge), strict=True):
            if old in self.observed.sysctls:
                self.sysctls[new] = self.observed.sysctls[old]

    def _give_back(self) -> None:
        """The host's own addresses go back to the NIC when the bridge that had taken them goes."""
        for name, bridge in self.observed.links.items():
            added = self.added.get(name, frozenset())
            nic = address_successor(bridge, self.observed, added) if name not in self.links else None
            if nic is None:
                continue
            self.links[nic.name] = inherit(self.links[nic.name], bridge, added)
            self.routes = moved_routes(self.routes, name, nic.name)
            self.reasons[nic.name] = (
                f"{nic.name} gets its addresses back from {name}, which is not in the file any more"
            )
            if any(address.dynamic and ":" in address.ip for address in bridge.addresses):
                routes_for_others = self.observed.sysctls.get("net/ipv6/conf/all/forwarding") == "1"
                self.sysctls[f"net/ipv6/conf/{nic.name}/accept_ra"] = "2" if routes_for_others else "1"

    def _trunk(self, bridge: DeclaredBridge) -> None:
        """The uplink of a VLAN-aware bridge carries every VLAN of its guests, tagged, and the untagged one."""
        vids: set[int] = set()
        for nic in self.site.guest_nics(self.host.name):
            if nic.bridge == bridge.name:
                vids |= {nic.vlan} if nic.vlan is not None else set()
                vids |= {vid for first, last in nic.vlans for vid in range(first, last + 1)}
        if bridge.port is not None:
            self.links[bridge.port] = replace(self.links[bridge.port], vlans=UNTAGGED + ranges(vids - {1}))

    # ---- what is taken away, what is left alone

    def _forget(self) -> None:
        """Addresses that Bascule put there before and that the file no longer names."""
        for name, added in self.added.items():
            link = self.links.get(IfName(name))
            if link is not None:
                old = added - self._declared(link.name)
                self.links[link.name] = replace(link, addresses=tuple(a for a in link.addresses if a.ip not in old))

    def _declared(self, name: IfName) -> set[str]:
        nic, bridge = self.host.nics.get(name), self.host.bridges.get(name)
        own = next((one for one in self.resolved_networks if one.bridge == name), None)
        handed = self.host.uplink_nics(bridge) if bridge and bridge.from_uplink else ()
        return {str(ip) for thing in (nic, bridge, own, *handed) if thing for ip in thing.addresses}

    def _foreign(self) -> None:
        named = {*self.reasons, "lo"}
        for name, link in sorted(self.observed.links.items()):
            if name in named or name not in self.links:
                continue
            what = f"port of {link.master}" if link.master else link.options.kind or "NIC"
            self.notes.append(Note(kind="foreign", subject=name, text=f"{what}, not in the file: left alone"))


def _occupied(code: str, message: str, what: str | None, place: Place) -> BasculeError:
    """A link with a name that the file gives to something else: it is not ours to delete."""
    other = f"name the {what} differently, or " if what else ""
    return BasculeError(Problem(code=code, message=message, place=place, hint=f"{other}take the other link away first"))
