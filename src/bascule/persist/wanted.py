"""What a host's site entry means after a reboot: from Site (and the state that a plan leads to) to NetworkConfig."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.links import Bond, Bridge, Physical, Vlan
from bascule.model.site import Bridge as DeclaredBridge
from bascule.model.site import Host, Nic, Site, StaticRoute
from bascule.model.state import HostState, PortVlans
from bascule.model.values import IfName, IpAddress, IpInterface, Mac
from bascule.persist import config as c
from bascule.persist.running import makes_no_ipv6, running_config
from bascule.plan.target import MIIMON_MS
from bascule.plan.target_guests import ranges

GUEST_TAPS = ("macvtap*", "tap*", "vnet*")  # what libvirt and QEMU call the host's end of a guest's NIC


def wanted_config(site: Site, host: Host, state: HostState | None = None) -> c.NetworkConfig:
    """The configuration that keeps a host's declared links over a reboot.

    ``state`` is what a plan leads to (or, after it, what is there): it tells MACs, MTUs and options that the file
    leaves open. Without it they are taken from the file alone, and a bridge whose uplink's MAC the file does not
    say is left unpinned.
    """
    return _Wanted(site, host, state).config()


def unpinned(host: Host, config: c.NetworkConfig) -> tuple[IfName, ...]:
    """The bridges that will take their MAC from whatever port has the lowest one."""
    return tuple(name for name in host.bridges if config.links[name].mac is None)


def unsaid(host: Host) -> tuple[str, ...]:
    """What the site file wants of a host and no dialect has words for, a sentence each."""
    words = "its rules and its name server are in no dialect's files; 'bascule apply' keeps it in a unit of systemd"
    return tuple(f"virtual network '{name}': {words}" for name in host.virtual_networks)


class _Wanted:
    def __init__(self, site: Site, host: Host, state: HostState | None) -> None:
        self.site = site
        self.host = host
        self.state = state
        self.links: dict[IfName, c.LinkConfig] = {}

    def config(self) -> c.NetworkConfig:
        host = self.host
        for nic in host.nics.values():
            self._nic(nic)
        for bond in host.bonds.values():
            options = self._options(bond.name)
            known = options if isinstance(options, Bond) else Bond(miimon=MIIMON_MS)
            self.links[bond.name] = c.LinkConfig(
                name=bond.name,
                options=Bond(**{**known.as_json(), "mode": bond.mode}),
                mac=self._mac(bond.name) or self._nic_mac(bond.nics[0]),
                mtu=bond.mtu,
            )
            for member in bond.nics:
                self._enslave(member, bond.name)
        for bridge in host.bridges.values():
            self._bridge(bridge)
        taps = [nic.tap for nic in self.site.guest_nics(host.name) if nic.bridge]
        other = [tap for tap in taps if not tap.startswith(("tap", "vnet", "macvtap"))]
        return c.NetworkConfig.of(self.links.values(), (*GUEST_TAPS, *other))

    def _options(self, name: IfName) -> object:
        link = self.state.links.get(name) if self.state else None
        return link.options if link else None

    def _mac(self, name: IfName) -> Mac | None:
        link = self.state.links.get(name) if self.state else None
        return link.mac if link else None

    def _nic_mac(self, name: IfName | None) -> Mac | None:
        """The MAC of hardware: as the file pins it, else as it is."""
        nic = self.host.nics.get(name) if name else None
        if nic is not None and nic.mac:
            return nic.mac
        return self._mac(name) if name else None

    def _ipv6(self, name: IfName, *, speaks: bool) -> c.Ipv6:
        """As the state has it; the kernel's own way (advertisements decide) for a link on which the host speaks.

        Where it does not, and has heard no router, a link-local address is all: NetworkManager takes a link down that
        waits for a router in vain, and the boot waits with it.
        """
        link = self.state.links.get(name) if self.state else None
        if makes_no_ipv6(link) if link else not speaks:
            return c.Ipv6.OFF
        return c.Ipv6.AUTO if speaks or self._hears_router(name) else c.Ipv6.LINK_LOCAL

    def _hears_router(self, name: IfName) -> bool:
        if self.state is None:
            return False
        made = (a.dynamic and ":" in a.ip and not a.is_link_local for a in self.state.links[name].addresses)
        return any(made) or any(route.dev == name and route.protocol == "ra" for route in self.state.routes)

    def _nic(self, nic: Nic) -> None:
        self.links[nic.name] = c.LinkConfig(
            name=nic.name,
            options=Physical(),
            pin_mac=nic.mac,
            pin_path=nic.path,
            mtu=nic.mtu,
            dhcp4=nic.dhcp,
            ipv6=self._ipv6(nic.name, speaks=nic.has_address),
            addresses=_texts(nic.addresses),
            routes=_routes(nic.gateways, nic.routes),
            dns=tuple(str(server) for server in nic.dns),
            search=nic.search,
        )

    def _enslave(self, name: IfName, master: IfName, vlans: tuple[PortVlans, ...] = ()) -> None:
        link = self.state.links.get(name) if self.state else None
        port = link.port if link else None
        if port is not None and port.cost is not None:  # the kernel derives it from the speed
            port = type(port)(**{**port.as_json(), "cost": None})
        self.links[name] = c.replace_fields(self.links[name], master=master, port=port, vlans=vlans)

    def _bridge(self, bridge: DeclaredBridge) -> None:
        known = self._options(bridge.name)
        options = Bridge(
            stp_state=int(bridge.stp),
            forward_delay=1500 if bridge.stp else 0,
            vlan_filtering=int(bridge.vlan_aware),
            mcast_snooping=0,
        )
        nics = self.host.uplink_nics(bridge)
        addresses, gateways, routes = bridge.addresses, bridge.gateways, bridge.routes
        dns, search, dhcp = bridge.dns, bridge.search, bridge.dhcp
        for nic in nics if bridge.from_uplink else ():
            addresses, gateways, routes = addresses + nic.addresses, gateways + nic.gateways, routes + nic.routes
            dns, search, dhcp = dns + nic.dns, search + nic.search, dhcp or nic.dhcp
        texts, told = _texts(addresses), _routes(gateways, routes)
        if bridge.from_uplink and self.state is not None:
            moved, dynamic = self._moved(bridge.name)
            texts, dhcp = (*texts, *moved.addresses), dhcp or dynamic
            told += tuple(route for route in moved.routes if route.dst not in {known.dst for known in told})
        mtu = bridge.mtu or next((nic.mtu for nic in nics if nic.mtu), None)
        self.links[bridge.name] = c.LinkConfig(
            name=bridge.name,
            options=known if isinstance(known, Bridge) else options,
            mac=self._mac(bridge.name) or (self._nic_mac(nics[0].name) if nics else None),
            mtu=mtu,
            dhcp4=dhcp,
            ipv6=self._ipv6(bridge.name, speaks=bridge.has_address),
            addresses=texts,
            routes=told,
            dns=tuple(str(server) for server in dns),
            search=search,
        )
        port = bridge.port
        if port is None:
            return
        if port != bridge.uplink:
            options_of_port = self._options(port)
            vlan = options_of_port if isinstance(options_of_port, Vlan) else Vlan(id=bridge.vlan or 0)
            self.links[port] = c.LinkConfig(name=port, options=vlan, parent=bridge.uplink, mtu=mtu)
        self._enslave(port, bridge.name, self._trunk(bridge) if bridge.vlan_aware else ())

    def _moved(self, name: IfName) -> tuple[c.LinkConfig, bool]:
        """What came over from the NIC without standing in the file, and whether a lease was among it."""
        found = running_config(self.state or HostState())[0].links.get(name, c.LinkConfig(name=name))
        return found, found.dhcp4

    def _trunk(self, bridge: DeclaredBridge) -> tuple[PortVlans, ...]:
        """The uplink carries every VLAN of the bridge's guests, tagged, and the untagged one (as plan.target)."""
        vids: set[int] = set()
        for nic in self.site.guest_nics(self.host.name):
            if nic.bridge == bridge.name:
                vids |= {int(nic.vlan)} if nic.vlan is not None else set()
                vids |= {vid for first, last in nic.vlans for vid in range(first, last + 1)}
        return (PortVlans(first=1, last=1, pvid=True, untagged=True), *ranges(vids - {1}))


def _texts(addresses: Iterable[IpInterface]) -> tuple[str, ...]:
    return tuple(address.with_prefixlen for address in addresses)


def _routes(gateways: Iterable[IpAddress], routes: Iterable[StaticRoute]) -> tuple[c.StaticRoute, ...]:
    zero = {4: "0.0.0.0/0", 6: "::/0"}
    return (
        *(c.StaticRoute(dst=zero[gateway.version], gateway=str(gateway)) for gateway in gateways),
        *(c.StaticRoute(dst=str(r.to), gateway=str(r.via), metric=r.metric or 0) for r in routes),
    )
