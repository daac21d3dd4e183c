"""What a host's files say: the wanted state, and beside it what only the site file knows.

Addresses, routes, masters, VLANs and MTUs are those that the target has where nothing is known of the host but its
declared NICs. So a file says what the site file says, and not what others have put on a link meanwhile. The state that
a plan leads to adds what the site file leaves open: MACs, options, what a NIC hands over to its bridge.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_interface

from msgspec.structs import replace

from bascule.model.host_links import Bond, Bridge, HostLink, HostRoute, Ipv6, Nic, VlanLink
from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.links import Bridge as BridgeOptions
from bascule.model.links import BridgePort, LinkOptions, OpenVSwitch, Physical
from bascule.model.site import Host, PlugKind, Site
from bascule.model.state import HostState, Link, LinkFacts
from bascule.model.values import ETHERNET_MTU, IfName, is_onlink
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.running import link_config, routes_by_link
from bascule.plan.target import target
from bascule.policy.guards.ports import is_guarded
from bascule.topology.ipv6_modes import hears_routers, makes_no_ipv6

GUEST_TAPS = ("macvtap*", "tap*", "vnet*")  # what libvirt and QEMU call the host's end of a guest's NIC


def wanted_config(site: Site, host: Host, state: HostState | None = None) -> NetworkConfig:
    """The configuration that keeps a host's declared links over a reboot.

    ``state`` is what a plan leads to (or, after it, what is there). Without it the site file speaks alone, and a
    bridge whose uplink's MAC it does not say is left unpinned.
    """
    said = declared_state(site, host)
    seen = state or said
    said_routes, seen_routes = routes_by_link(said), routes_by_link(seen)
    links = []
    for own in _effective_links(host):
        name, nic = own.name, own if isinstance(own, Nic) else None
        silent = isinstance(own, Bond | VlanLink) and not own.has_address  # not even IPv6 by its own doing
        inherits = isinstance(own, Bridge) and own.from_uplink  # whatever the NIC below it has goes over to it
        link = said.links[name]
        now = seen.links.get(name, link)
        config = link_config(link, said, said_routes)
        found = config if now is link and seen is said else link_config(now, seen, seen_routes)
        told = {(route.dst, route.table) for route in config.routes}
        addresses = (*(a.ip for a in link.addresses), *(found.addresses if inherits else ()))
        routes = (*config.routes, *(r for r in found.routes if inherits and (r.dst, r.table) not in told))
        links.append(
            replace(
                config,
                options=_guarded(_with_times(found.options, link.options), site, host, name, seen),
                mac=found.mac,
                port=_with_cost(found.port, link.port),
                vlans=now.vlans if now.master else (),
                mtu=link.mtu if link.mtu != ETHERNET_MTU or own.mtu is not None else None,
                pin_mac=nic.mac if nic else None,
                pin_path=nic.path if nic else None,
                dhcp4=own.dhcp or (inherits and found.dhcp4),
                metric=own.metric,
                unused=own.unused,
                ipv6=own.ipv6 or (Ipv6.OFF if silent else _ipv6(now, seen, speaks=own.has_address)),
                ipv6_privacy=own.ipv6_privacy,
                wol=nic.wol if nic else None,
                hooks=own.hooks,
                addresses=addresses,
                routes=tuple(_on_link(route, addresses) for route in routes),
                dns=tuple(map(str, own.dns)),
                search=own.search,
            )
        )
    taps = (*GUEST_TAPS, *_other_taps(site, host))
    return NetworkConfig.of(links, taps, host.rules, _host_routes(host, {link.name: link for link in links}))


def _with_times(found: LinkOptions, said: LinkOptions) -> LinkOptions:
    """A bridge with the times that the site file says where the kernel shows those of its spanning tree's root.

    Without a tree the delay does nothing, and NetworkManager leaves it as it is: the file says it as for a new bridge.
    """
    if not (isinstance(found, BridgeOptions) and isinstance(said, BridgeOptions)):
        return found
    known = found.with_times(said)
    idle = not known.stp_state and not said.stp_state
    return replace(known, forward_delay=said.forward_delay) if idle else known


def _guarded(options: LinkOptions, site: Site, host: Host, name: IfName, state: HostState) -> LinkOptions:
    """A bridge of Open vSwitch with its row's fail mode: one with guards passes nothing without their rules."""
    if not isinstance(options, OpenVSwitch):
        return options
    switches = state.parts.get("ovs")
    row = switches.bridges.get(name) if switches is not None else None
    if row is not None:
        return replace(options, fail_mode=row.fail_mode or "")
    guarded = any(nic.master == name and is_guarded(nic) for nic in site.guest_nics(host.name))
    return replace(options, fail_mode="secure") if guarded else options


def _with_cost(found: BridgePort | None, said: BridgePort | None) -> BridgePort | None:
    """A port with the cost that the site file says; what the kernel shows follows from the speed as a rule."""
    if said is None or said.cost is None:
        return found
    return replace(found or BridgePort(), cost=said.cost)


def _host_routes(host: Host, links: Mapping[IfName, LinkConfig]) -> Iterator[HostRoute]:
    """Routes on no single link; a router outside of its link's single address is on the link."""
    for route in host.routes:
        hops = []
        for hop in host.ways(route):
            own = map(ip_interface, links[hop.link].addresses) if hop.link in links else ()
            hops.append(replace(hop, onlink=hop.onlink or is_onlink(hop.router, own)))
        yield replace(route, hops=tuple(hops))


def _on_link(route: StaticRoute, addresses: Collection[str]) -> StaticRoute:
    """A gateway outside every prefix of the link's own addresses is on the link, or nothing would lead to it."""
    if not route.gateway:
        return route
    gateway = ip_address(route.gateway)
    near = [network for text in addresses if (network := ip_interface(text).network).version == gateway.version]
    outside = near and not gateway.is_link_local and not any(gateway in network for network in near)
    return replace(route, onlink=True) if outside else route


def declared_state(site: Site, host: Host) -> HostState:
    """The target of a host of which nothing is known but its declared NICs: what the site file alone says."""
    handing = {bridge.uplink for bridge in host.bridges.values() if bridge.from_uplink}
    nics = [
        Link(
            name=nic.name,
            options=Physical(),
            mac=nic.mac,
            addrgenmode="eui64" if nic.has_address or nic.name in handing else "none",
            facts=LinkFacts(permanent_mac=nic.mac, bus=nic.path or ""),
        )
        for nic in host.nics.values()
    ]
    # a kernel that speaks IPv6, and somebody who keeps switches
    bare = HostState.of(nics, sysctls={FORWARDING[6]: "0"}, parts={"ovs": None})
    return target(site, replace(host, as_found=False), bare, by_libvirt=True).state


def unpinned(host: Host, config: NetworkConfig) -> tuple[IfName, ...]:
    """The bridges that will take their MAC from whatever port has the lowest one."""
    return tuple(name for name in host.bridges if config.links[name].mac is None)


def unsaid(host: Host, dialect: str) -> tuple[str, ...]:
    """What the site file wants of a host and a dialect has no words for, or none has, a sentence each."""
    hooks = [f"{link.name}: '{line}' is a line of ifupdown" for link in host.links() for line in link.hooks]
    kept = () if dialect == "ifupdown" else tuple(f"{words}, and not in the files of {dialect}" for words in hooks)
    words = "its rules and its name server are in no dialect's files; 'bascule apply' keeps it in a unit of systemd"
    return (*kept, *(f"virtual network '{name}': {words}" for name in host.virtual_networks))


def _effective_links(host: Host) -> Iterator[HostLink]:
    """Every link that the site file declares for a host, with what the host says on it."""
    yield from map(host.effective, host.links())
    for bridge in host.bridges.values():
        if bridge.port is not None and bridge.port != bridge.uplink:
            yield HostLink(name=bridge.port)


def _ipv6(link: Link, state: HostState, *, speaks: bool) -> Ipv6:
    """As the state has it; the kernel's own way (advertisements decide) for a link on which the host speaks.

    Where it does not, and has heard no router, a link-local address is all: NetworkManager takes a link down that
    waits for a router in vain, and the boot waits with it.
    """
    off = state.sysctls.get(conf(6, link.name, "disable_ipv6")) == "1"  # a NIC's own goes over to its bridge
    if off or makes_no_ipv6(link):
        return Ipv6.OFF
    return Ipv6.AUTO if speaks or hears_routers(link, state.routes) else Ipv6.MANUAL


def _other_taps(site: Site, host: Host) -> Iterable[IfName]:
    """Guests' taps with names of their own, and ends of cables: ports that files leave where they are."""
    taps = [nic.tap for nic in site.guest_nics(host.name) if nic.plug is PlugKind.BRIDGE]
    taps += [patch.name for bridge in host.bridges.values() for patch in bridge.patches]
    return (tap for tap in taps if not any(fnmatchcase(tap, pattern) for pattern in GUEST_TAPS))
