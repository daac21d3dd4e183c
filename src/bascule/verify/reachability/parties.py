"""Who is meant: guests, machines and hosts of a site file, and what is seen on the wires of this host. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.links import Physical, Vlan
from bascule.model.site import Host, Site
from bascule.model.values import NO_MAC, IpNetwork, Mac
from bascule.plan.virtual_network import resolved_networks
from bascule.topology.declared import native_vlans
from bascule.topology.endpoints import Endpoint, EndpointKind, EndpointNic, default_routes
from bascule.topology.graph import Topology
from bascule.topology.layer2 import Tags, inside
from bascule.topology.layer2 import outside as leaving
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import text_of
from bascule.topology.trace.rules.values import mac as mac_number
from bascule.verify.reachability.participant import Participant
from bascule.verify.reachability.routers import handed_on

INTERNET = {4: int(ipaddress.IPv4Address("11.22.33.44")), 6: int(ipaddress.IPv6Address("2a00::1"))}  # any of it
UNKNOWN_MAC = 0x02_00_00_00_00_00
MOST_TRIED = 4096  # addresses of a subnet, from its end

Leases = Mapping[tuple[Mac, IpNetwork], int]
"""The addresses that are assumed of those that get one from a server, by NIC and subnet."""


class ObservedGuest(Struct, frozen=True, kw_only=True):
    """A guest that is on this host, as whoever runs it tells."""

    name: str
    tap: str
    mac: Mac
    addresses: tuple[str, ...] = ()


def parties(
    network: HostNetwork,
    here: str,
    site: Site | None = None,
    host: Host | None = None,
    seen: Iterable[ObservedGuest] = (),
    topology: Topology | None = None,
) -> dict[str, Participant]:
    """Everybody who is known, by name; ``topology`` is the site's, where the caller has it."""
    found = {here: host_party(network, here)}
    if site is not None and host is not None:
        topology = topology or Topology.of(site)
        learned = {**_reserved(site, host), **learned_addresses(network)}
        heard_of = (one for some in learned.values() for one in some)
        leases = _assumed(site, topology.endpoints.values(), heard_of)
        for endpoint in topology.endpoints.values():
            if endpoint.name != host.name:
                found[endpoint.name] = _declared(network, site, host, endpoint, learned, leases)
        for machine in site.machines.values():
            passes = handed_on(site, machine, found)
            party = found[machine.name]
            ends = tuple(replace(end, passes=passes) for end in party.ends)
            found[machine.name] = replace(party, ends=ends)
    for guest in seen:
        if guest.name not in found:
            found[guest.name] = _seen(network, guest)
    found.setdefault("internet", _internet(network))
    # behind whoever stands where this host sends what is for them, and after it, for its MAC is asked for first
    for name in [name for name, party in found.items() if not party.ends and not party.is_host]:
        found[name] = _placed(network, found.pop(name))
    return found


def host_party(network: HostNetwork, name: str) -> Participant:
    """The host itself, with the addresses that it can be asked at."""
    own = [
        (version, number)
        for (version, number), links in network.own_addresses.items()
        if links != ("lo",) and not (version == 6 and number >> 118 == 0x3FA)
    ]
    further = frozenset(one.version for one in network.awaited)
    return Participant(name=name, addresses=tuple(own), is_host=True, further=further)


def learned_addresses(network: HostNetwork) -> dict[int, tuple[tuple[int, int], ...]]:
    """What the host's neighbour cache knows of each MAC: version and number of addresses."""
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for one in network.neighbours:
        if one.mac and not one.failed:
            found[one.mac] = (*found.get(one.mac, ()), (one.version, one.address))
    return found


# ---- of the site file


def _reserved(site: Site, host: Host) -> dict[int, tuple[tuple[int, int], ...]]:
    """The addresses that the host's own DHCP servers keep for guests, by MAC."""
    found: dict[int, tuple[tuple[int, int], ...]] = {}
    for one in (kept for network in resolved_networks(site, host) for kept in network.reservations if kept.mac):
        number = mac_number(one.mac or "")
        found[number] = (*found.get(number, ()), (one.address.version, int(one.address)))
    return found


def _declared(
    network: HostNetwork,
    site: Site,
    host: Host,
    endpoint: Endpoint,
    learned: Mapping[int, tuple[tuple[int, int], ...]],
    leases: Leases,
) -> Participant:
    ends: list[WireEnd] = []
    elsewhere, further = "", set[int]()
    gateways = {int(gateway.version): int(gateway) for _, gateway in default_routes(endpoint.nics, leased=True)}
    routes = tuple(
        (one.to.version, int(one.to[0]), int(one.to[-1]), int(one.via))
        for nic in endpoint.nics
        for one in nic.routes
        if one.via is not None
    )
    for nic in endpoint.nics:
        own = site.guests[endpoint.name].host if endpoint.kind is EndpointKind.GUEST else ""
        plugged = nic.plug is not None and own == host.name
        ports = [(str(nic.plug.tap), 0)] if plugged and nic.plug else _ports_of(network, site, host, nic)
        for port, vlan in ports:
            number = _heard(network, nic) or mac_number(nic.mac)
            addresses = _addresses(nic, learned.get(number, ()), leases)
            if nic.mac == NO_MAC:  # of another host: two of them have not the same
                number = UNKNOWN_MAC | next((value & 0xFFFFFFFF for value, _, _ in addresses), 0)
            ends.append(
                WireEnd(
                    name=endpoint.name,
                    port=port,
                    mac=number,
                    addresses=addresses,
                    gateways=gateways,
                    routes=routes,
                    routes_known=endpoint.kind is not EndpointKind.HOST,
                    outside=own != host.name,
                    vlan=vlan,
                    mac_assumed=nic.mac_assumed and not _heard(network, nic),
                )
            )
        elsewhere = own if own != host.name else elsewhere
        if not any(end.addresses for end in ends[len(ends) - len(ports) :]):
            further |= {one.version for one in nic.addresses} | ({4} if nic.dhcp else set())
    own_addresses = dict.fromkeys((kind, value) for end in ends for value, kind, _ in end.addresses)
    if not ends:  # on networks that this host has no link on
        declared = (one for nic in endpoint.nics for one in _addresses(nic, (), leases))
        own_addresses = dict.fromkeys((kind, value) for value, kind, _ in declared)
    return Participant(
        name=endpoint.name,
        ends=tuple(ends),
        addresses=tuple(own_addresses),
        further=frozenset(further if ends else ()),
        elsewhere=elsewhere,
    )


def _heard(network: HostNetwork, nic: EndpointNic) -> int:
    """The MAC that this host knows for an address of a machine whose MAC the file does not say, 0 for none."""
    own = {int(one.ip) for one in nic.addresses} if nic.mac_assumed else set()
    found = (one.mac for one in network.neighbours if one.address in own and one.mac and not one.failed)
    return next((one for one in found if one != mac_number(nic.mac)), 0)  # in a twin it has the one that is assumed


def _assumed(site: Site, endpoints: Iterable[Endpoint], learned: Iterable[tuple[int, int]]) -> Leases:
    """For each NIC that gets an address from a server one that nobody else has; it counts where no other is known."""
    nics = [nic for each in endpoints for nic in each.nics]
    taken = {(own.version, int(own.ip)) for nic in nics for own in nic.addresses} | set(learned)
    taken |= {(own.version, int(own)) for network in site.networks.values() for own in network.gateways}
    found: dict[tuple[Mac, IpNetwork], int] = {}
    for nic in nics:
        for subnet in nic.leased:
            numbers = (int(subnet[-place]) for place in range(2, min(subnet.num_addresses, MOST_TRIED)))
            number = next((one for one in numbers if (subnet.version, one) not in taken), int(subnet[-1]))
            taken.add((subnet.version, number))
            found[nic.mac, subnet] = number
    return found


def _addresses(
    nic: EndpointNic, learned: Iterable[tuple[int, int]], leases: Leases
) -> tuple[tuple[int, int, int], ...]:
    declared: list[tuple[int, int, int]] = []
    declared += [(int(one.ip), one.version, one.network.prefixlen) for one in nic.addresses]
    subnets = [*nic.leased, *(nic.network.subnets if nic.network else ())]
    for version, number in () if declared else learned:
        length = next(
            (x.prefixlen for x in subnets if x.version == version and int(x[0]) <= number <= int(x[-1])),
            24 if version == 4 else 64,
        )
        declared.append((number, version, length))
    if not declared:  # it has one of these, and nobody has seen which
        declared = [(leases[nic.mac, subnet], subnet.version, subnet.prefixlen) for subnet in nic.leased]
    return tuple(declared)


def _ports_of(network: HostNetwork, site: Site, host: Host, nic: EndpointNic) -> list[tuple[str, int]]:
    """The links of this host that lead to a network of the building: ports of bridges first, and the tag there.

    On the trunk of a VLAN-aware bridge each network that has a VLAN arrives with its tag, but that of its ``pvid``.
    """
    if nic.network is None:
        return []
    found: list[tuple[str, int]] = []
    for bridge in host.bridges.values():
        tagged = int(nic.network.vlan or 0) if bridge.vlan_aware and bridge.vlan is None else 0
        ports = () if bridge.vlan is not None else [port.link for port in bridge.every_port]
        on_it = nic.network in [site.network_of_link(host, link) for link in (bridge.name, *ports)]
        for port in bridge.every_port if on_it or tagged else ():
            comes_untagged = on_it or tagged in native_vlans(host, port.link)
            found.append((str(port.link), 0 if comes_untagged else tagged))
    found += [(name, 0) for name in _own_links(host) if site.network_of_link(host, name) == nic.network]
    return [port for port in found if network.link(port[0]) is not None] or found


def _own_links(host: Host) -> list[str]:
    """The links by which the host itself is on a network, without bridges."""
    links = (*host.nics, *host.bonds, *host.vlans)
    return [str(name) for name in links if not host.is_enslaved(name)]


def wires(network: HostNetwork, site: Site, host: Host) -> dict[str, str]:
    """Which links of the host come out on the same network of the building, by link."""
    found: dict[str, str] = {}
    for bridge in host.bridges.values():
        wired = site.network_of_link(host, bridge.name)
        if wired is not None:
            found |= {str(port.link): wired.name for port in bridge.every_port}
    for name in _own_links(host):
        if wired := site.network_of_link(host, name):
            found[name] = wired.name
    return {name: wire for name, wire in found.items() if network.link(name) is not None}


# ---- of what is seen


def _seen(network: HostNetwork, guest: ObservedGuest) -> Participant:
    bridge = network.bridge_of(guest.tap)
    learned = learned_addresses(network).get(mac_number(guest.mac), ())
    numbers: list[tuple[int, int]] = []
    numbers += [(one.version, int(one)) for one in map(ipaddress.ip_address, guest.addresses)]
    numbers = numbers or list(learned)
    found: list[tuple[int, int, int]] = []
    gateways: dict[int, int] = {}
    for version, number in dict.fromkeys(numbers):
        length, gateway = _subnet(network, bridge, version, number)
        found.append((number, version, length))
        if gateway:
            gateways.setdefault(version, gateway)
    end = WireEnd(
        name=guest.name,
        port=guest.tap,
        mac=mac_number(guest.mac),
        addresses=tuple(found),
        gateways=gateways,
        routes_known=False,
    )
    note = f"the router of {guest.name} is assumed to be this network's" if gateways else ""
    return Participant(name=guest.name, ends=(end,), addresses=tuple((v, n) for n, v, _ in found), note=note)


def _subnet(network: HostNetwork, link: str, version: int, number: int) -> tuple[int, int]:
    """The prefix length on a link as the host has it there, and who routes: the host's own gateway, else the host."""
    fib = network.routes(version)
    hop = fib.find(number)
    length = (
        hop.length if hop.kind == "unicast" and hop.link == link and not hop.gateway else 24 if version == 4 else 64
    )
    outward = fib.find(INTERNET[version])
    bits = (32 if version == 4 else 128) - length
    if outward.gateway and outward.gateway >> bits == number >> bits:
        return length, outward.gateway
    own = [value for (kind, value), where in network.own_addresses.items() if kind == version and link in where]
    return length, next((value for value in own if value >> bits == number >> bits), 0)


def _internet(network: HostNetwork) -> Participant:
    """What lies behind the host's default route."""
    found = {one: outside(network, *one, "internet") for one in INTERNET.items()}
    ends = tuple(each for end in found.values() if end is not None for each in network.everywhere(end))
    return Participant(name="internet", ends=ends, addresses=tuple(one for one, end in found.items() if end))


def outside(network: HostNetwork, version: int, number: int, name: str) -> WireEnd | None:
    """Somebody at an address that is not the host's own: where the host itself would send it."""
    hop = network.routes(version).find(number)
    if hop.kind != "unicast":
        return None
    near = hop.gateway or number
    known = network.neighbour(hop.link, near)
    mac = known.mac if known is not None and known.mac else UNKNOWN_MAC | near & 0xFFFFFFFF
    port = hop.link
    link = network.link(hop.link)
    if link is not None and link.is_bridge:
        entry = network.entry(link.name, mac)
        port = entry.port if entry is not None else next(_uplinks(network, link.name), "")
        if not port:
            return None
    bits = 32 if version == 4 else 128
    own = network.own_addresses
    gateway = next((value for (kind, value), where in own.items() if kind == version and hop.link in where), 0)
    length = hop.length if not hop.gateway else bits
    router: tuple[tuple[int, int, int], ...] = ()
    if hop.gateway:
        router = ((hop.gateway, version, network.routes(version).find(hop.gateway).length),)
    return WireEnd(
        name=name,
        port=port,
        mac=mac,
        addresses=((number, version, length),),
        router=router,
        gateways={version: gateway} if not hop.gateway and gateway else {},
        routes_known=False,
        outside=True,
    )


def somebody(
    network: HostNetwork, known: Iterable[Participant], version: int, number: int, name: str
) -> WireEnd | None:
    """Whoever may have an address that nobody known has: on the wire of those whose subnet it is in, else `outside`.

    The host itself may have no address on that wire, and would send elsewhere. None where no wire leads out there.
    """
    ends = (end for party in known for end in party.ends)
    near = [(length, end.outside, end) for end in ends if (length := _own_prefix(end, version, number)) is not None]
    hop = network.routes(version).find(number)
    length, _, beside = max(near, key=lambda one: one[:2], default=(-1, False, None))
    if beside is None or (hop.kind == "unicast" and hop.length >= length):
        return outside(network, version, number, name)
    link = network.link(beside.port)
    segment = network.bridge_of(beside.port) or (link.parent if link is not None and link.parent else beside.port)
    port = beside.port if beside.outside else network.way_out(segment)
    out = network.link(port)
    if out is None:
        return None
    tags: Tags = (beside.vlan,) if beside.vlan else ()
    if not beside.outside and link is not None and network.is_vlan_aware(segment):
        tags = leaving(out, inside(link, tags))
    return WireEnd(
        name=name,
        port=port,
        mac=UNKNOWN_MAC | number & 0xFFFFFFFF,
        addresses=((number, version, length),),
        gateways=beside.gateways,
        routes_known=False,
        outside=True,
        vlan=tags[0] if tags else 0,
    )


def _own_prefix(end: WireEnd, version: int, number: int) -> int | None:
    return replace(end, router=()).prefix_of(version, number)


def heard(network: HostNetwork, owned: Collection[tuple[int, int]]) -> Iterator[WireEnd]:
    """Those whom the host has heard, on links of its own, at addresses that are not ``owned`` by who is known."""
    for one in network.neighbours:
        link = network.link(one.link)
        if not one.mac or one.failed or link is None or (one.version, one.address) in owned:
            continue
        entry = network.entry(link.name, one.mac) if link.is_bridge else None
        if entry is None and link.is_bridge:
            continue
        length, gateway = _subnet(network, link.name, one.version, one.address)
        yield WireEnd(
            name=text_of(one.version, one.address),
            port=entry.port if entry is not None else link.name,
            mac=one.mac,
            addresses=((one.address, one.version, length),),
            gateways={one.version: gateway} if gateway and gateway != one.address else {},
            routes_known=False,
            outside=True,
        )


def _uplinks(network: HostNetwork, bridge: str) -> Iterator[str]:
    """The ports of a bridge that lead to the building: the file says so of them, or their kind does."""
    for link in network.state.ports(bridge):
        if link.name in network.wires or isinstance(link.options, Physical | Vlan) or link.options.kind == "bond":
            yield link.name


def _placed(network: HostNetwork, party: Participant) -> Participant:
    """Somebody on networks that this host has no link on: where it would send to their addresses."""
    found = (outside(network, version, number, party.name) for version, number in party.addresses)
    ends = tuple(each for end in found if end is not None for each in network.everywhere(end))
    return replace(party, ends=ends, addresses=party.addresses if ends else (), is_beyond=True)
