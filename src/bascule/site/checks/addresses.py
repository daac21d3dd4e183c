"""Addresses: in their subnet, with its prefix, not its edges, and each only once."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from msgspec import Struct

from bascule.model.host_links import LISTENING, MAIN_TABLE, Ipv6
from bascule.model.state import DEFAULT_DST
from bascule.model.values import IpAddress, IpInterface, IpNetwork, is_onlink
from bascule.site import document as d
from bascule.site.checks.networks import is_edge
from bascule.site.findings import Path, suggest
from bascule.site.wiring import BroadcastDomain, DocumentWiring, SpeakerNic
from bascule.topology.virtual_networks import host_address

IPV6_MTU_MIN = 1280  # RFC 8200, section 5


def check_addresses(wiring: DocumentWiring) -> None:
    """Every address of every speaker, and the gateways and MTUs of the host's own."""
    seen: dict[tuple[tuple[str, ...], IpAddress], _Taken] = {}
    for speaker in wiring.speakers:
        segment = speaker.segment
        if speaker.path[2] == "virtual_networks" and segment:
            for subnet in segment.subnets:
                owner = f"host '{speaker.owner}' itself (the first address of {segment.label})"
                own = host_address(subnet)
                seen[(segment.unique_in, own.ip)] = _Taken(owner, (*speaker.path, "subnet"), own)
        for address, path in speaker.addresses:
            if segment and _in_subnet(wiring, speaker, segment, address, path):
                _edges(wiring, speaker, segment, address, path)
            _once(wiring, speaker, address, path, seen)
        _dhcp_words(wiring, speaker)
        if speaker.kind == "hosts" and speaker.path[2] != "virtual_networks":
            link = wiring.document.hosts[speaker.owner].link(str(speaker.path[3]))
            assert link is not None  # it speaks
            _link(wiring, speaker, link)
            _host_routes(wiring, speaker, link)
            _ipv6(wiring, speaker, link)
        if speaker.kind == "machines":
            _routes(wiring, speaker)
    for name, host in wiring.document.hosts.items():
        for index, route in enumerate(host.routes):
            _whole_route(wiring, host, route, ("hosts", name, "routes", index))
        taken: dict[tuple[IpNetwork, int, int], Path] = {}
        for place, where in _ranked_routes(name, host):
            first = taken.setdefault(place, where)
            if first != where and {first[-2], where[-2]} != {"gateway"}:  # for two gateways there is a code of its own
                text = f"host '{name}' has two routes to {place[0]} of one rank in one table, and the kernel keeps one"
                also = [("the first", first)]
                wiring.found.add("ROUTE", text, where, hint="give each its own 'metric', or remove one", also=also)


def _in_subnet(
    wiring: DocumentWiring, speaker: SpeakerNic, segment: BroadcastDomain, address: IpInterface, path: Path
) -> bool:
    if address.is_link_local:
        return False
    if not segment.subnets:
        return segment.network is None
    family = [s for s in segment.subnets if s.version == address.version]
    other = 10 - address.version
    inside = next((s for s in family if address.ip in s), None)
    if inside is None:
        where = " and ".join(str(s) for s in family)
        reason = f"is outside {where}, the subnet of {segment.label}"
        if not family:
            reason = f"is IPv{address.version}, but {segment.label} has only an IPv{other} subnet"
        here = [n for n, e in wiring.document.networks.items() if any(address.ip in s for s in e.subnet)]
        hint = f"take a free address in {where}" if family else f"add an IPv{address.version} subnet there"
        if here:
            hint = f"it belongs to network '{here[0]}'; {hint}, or plug the NIC in there"
        also = [(segment.label, ("networks", segment.network, "subnet"))] if segment.network else []
        wiring.found.add(
            "ADDRESS-SUBNET",
            f"address {address.ip} of {speaker.label} {reason}",
            path,
            hint=hint,
            also=also,
        )
        return False
    prefix = address.network.prefixlen
    if prefix not in {inside.prefixlen, inside.max_prefixlen}:
        wiring.found.add(
            "ADDRESS-PREFIX",
            f"{address} of {speaker.label} has prefix length {prefix}, but the subnet of {segment.label} is {inside}",
            path,
            hint=f"write {address.ip}/{inside.prefixlen}; with another one it would not find all its neighbours",
        )
        return False
    return True


def _edges(
    wiring: DocumentWiring, speaker: SpeakerNic, segment: BroadcastDomain, address: IpInterface, path: Path
) -> None:
    for subnet in segment.subnets or (address.network,):
        edge = is_edge(address.ip, subnet) if subnet.version == address.version else None
        if edge:
            wiring.found.add(
                "ADDRESS",
                f"address {address.ip} of {speaker.label} is the {edge} address of {subnet}",
                path,
                hint="take one in between",
            )


class _Taken(Struct, frozen=True):
    """Who has an address, where that stands, and with which prefix."""

    label: str
    path: Path
    address: IpInterface


def _borrows(path: Path, address: IpInterface, other: _Taken) -> bool:
    """Whether a host repeats its own address on another link of its own, as a single one: so it answers there, too.

    Hosters have it so: the bridge of routed guests carries the host's one address, which stands on its NIC already.
    """
    single = any(one.network.prefixlen == one.max_prefixlen for one in (address, other.address))
    return single and path[0] == "hosts" and path[:2] == other.path[:2] and "virtual_networks" not in other.path


def _once(
    wiring: DocumentWiring,
    speaker: SpeakerNic,
    address: IpInterface,
    path: Path,
    seen: dict[tuple[tuple[str, ...], IpAddress], _Taken],
) -> None:
    # link-local addresses are unique on their link only; a host's own networks hide theirs
    unique_in = speaker.segment.unique_in if speaker.segment else ()
    if address.is_link_local:
        unique_in = speaker.segment.key if speaker.segment else tuple(str(part) for part in speaker.path)
    key = (unique_in, address.ip)
    if key in seen:
        label, first = seen[key].label, seen[key].path
        same = first[:4] == path[:4]
        if not same and _borrows(path, address, seen[key]):
            return
        wiring.found.add(
            "DUPLICATE-ADDRESS",
            f"address {address.ip} of {speaker.label} " + ("appears twice here" if same else f"is taken by {label}"),
            path,
            hint="remove one" if same else "two that answer for one address break each other's connections; change one",
            also=[("the first", first)],
        )
    else:
        seen[key] = _Taken(speaker.label, path, address)


def _dhcp_words(wiring: DocumentWiring, speaker: SpeakerNic) -> None:
    """'dhcp' or 'from-uplink' twice in a list."""
    for index, each in enumerate(speaker.given):
        if isinstance(each, str) and each in speaker.given[:index]:
            path = (*speaker.path, "address", index)
            wiring.found.add("DUPLICATE-ADDRESS", f"'{each}' appears twice here", path, hint="remove one of them")


def _link(wiring: DocumentWiring, speaker: SpeakerNic, link: d.HostLink) -> None:
    """The gateway of a host's link is a neighbour; IPv6 needs an MTU of 1280."""
    found = wiring.found
    path, name = speaker.path, speaker.path[3]
    subnets = list(speaker.segment.subnets) if speaker.segment else []
    neighbours = [address.network for address, _ in speaker.addresses] + subnets
    own = {address.ip for address, _ in speaker.addresses}
    for index, gateway in enumerate(link.gateway):
        where = (*path, "gateway", index)
        inside = [n for n in neighbours if n.version == gateway.version and gateway in n]
        if gateway in own:
            found.add("GATEWAY", f"gateway {gateway} of '{name}' is its own address", where, hint="name the router's")
        elif (
            (neighbours if _is_written(link, gateway) else [n for n in neighbours if n.version == gateway.version])
            and not inside
            and not link.onlink
            and not gateway.is_link_local
            and not is_onlink(gateway, (address for address, _ in speaker.addresses))
        ):
            found.add(
                "GATEWAY",
                f"gateway {gateway} of '{name}' is outside {' and '.join(dict.fromkeys(str(n) for n in neighbours))}",
                where,
                hint="a gateway is a neighbour: it has an address in the same subnet, or 'onlink: true' says so",
            )
        elif any(is_edge(gateway, n) for n in inside):
            found.add("GATEWAY", f"gateway {gateway} of '{name}' is the network or broadcast address", where)
    speaks_ipv6 = any(s.version == 6 for s in subnets) or any(a.version == 6 for a, _ in speaker.addresses)
    if link.mtu is not None and link.mtu < IPV6_MTU_MIN and speaks_ipv6:
        found.add(
            "MTU",
            f"MTU {link.mtu} of '{name}' is too small for IPv6, which needs {IPV6_MTU_MIN}",
            (*path, "mtu"),
            hint="raise it, or the kernel switches IPv6 off there",
        )


def _is_written(link: d.HostLink, gateway: IpAddress) -> bool:
    """Whether all addresses of a gateway's family are written down: none comes by a lease or an advertisement."""
    return "dhcp" not in link.address if gateway.version == 4 else link.ipv6 in {Ipv6.OFF, Ipv6.MANUAL}


def _ipv6(wiring: DocumentWiring, speaker: SpeakerNic, link: d.HostLink) -> None:
    """Where the host speaks no IPv6 it has neither address nor gateway of it, and temporary addresses need a router."""
    if link.ipv6 is None or link.ipv6 in LISTENING:
        return
    if link.ipv6_privacy is not None:
        text = f"'ipv6_privacy' of {speaker.label} has no effect with 'ipv6: {link.ipv6}'"
        hint = "it belongs to 'ipv6: auto' or 'dhcp'; remove it"
        wiring.found.add("ADDRESS-FAMILY", text, (*speaker.path, "ipv6_privacy"), hint=hint)
    if link.ipv6 != Ipv6.OFF:
        return
    written: list[tuple[IpInterface | IpAddress | IpNetwork, Path]] = list(speaker.addresses)
    written += [(gateway, (*speaker.path, "gateway", index)) for index, gateway in enumerate(link.gateway)]
    written += [(route.to, (*speaker.path, "routes", index)) for index, route in enumerate(link.routes)]
    for value, path in written:
        if value.version == 6:
            text = f"{speaker.label} has 'ipv6: off', and {value} is IPv6"
            hint = "write 'ipv6: manual' for the addresses that are written down alone, or remove it"
            wiring.found.add("ADDRESS-FAMILY", text, path, hint=hint, also=[("the mode", (*speaker.path, "ipv6"))])


def _host_routes(wiring: DocumentWiring, speaker: SpeakerNic, link: d.HostLink) -> None:
    """What a route of the host names is of one address family, and its router another one than itself."""
    for index, route in enumerate(link.routes):
        where = (*speaker.path, "routes", index)
        for key, address in (("via", route.via), ("src", route.src)):
            if address is not None:
                _of_its_family(wiring, speaker, route.to, key, address, where)
        if route.via is not None:
            _not_itself(wiring, speaker, route.to, route.via, where)
        elif route.onlink:
            text = f"route to {route.to} of {speaker.label} has no router that could be on the link"
            wiring.found.add("ROUTE", text, (*where, "onlink"), hint="leave 'onlink' out: without 'via' it is so")


def _of_its_family(
    wiring: DocumentWiring, speaker: SpeakerNic, to: IpNetwork, key: str, address: IpAddress, where: Path
) -> bool:
    """Whether an address that a route names is of the family of its destination."""
    if address.version == to.version:
        return True
    text = f"route to {to} of {speaker.label} has '{key}: {address}', of another address family"
    wiring.found.add("ROUTE", text, (*where, key), hint=f"write an IPv{to.version} address")
    return False


def _not_itself(wiring: DocumentWiring, speaker: SpeakerNic, to: IpNetwork, router: IpAddress, where: Path) -> bool:
    """Whether the router of a route is another one than whose route it is."""
    if all(address.ip != router for address, _ in speaker.addresses):
        return True
    text = f"route to {to} of {speaker.label} has its own address {router} as next hop"
    wiring.found.add("ROUTE", text, (*where, "via"), hint="name the router's")
    return False


def _ranked_routes(name: str, host: d.Host) -> Iterator[tuple[tuple[IpNetwork, int, int], Path]]:
    """What the kernel tells a host's routes by (destination, table and metric): gateways first, then those of links."""
    links = [(entry, ("hosts", name, key, link)) for key, _, link, entry in host.links()]
    for entry, top in links:
        for index, gateway in enumerate(entry.gateway):
            yield (ip_network(DEFAULT_DST[gateway.version]), MAIN_TABLE, entry.metric or 0), (*top, "gateway", index)
    for entry, top in links:
        for index, route in enumerate(entry.routes):
            yield (route.to, route.table or MAIN_TABLE, route.metric or 0), (*top, "routes", index)
    for index, whole in enumerate(host.routes):
        yield (whole.to, whole.table or MAIN_TABLE, whole.metric or 0), ("hosts", name, "routes", index)


def _whole_route(wiring: DocumentWiring, host: d.Host, route: d.HostRoute, where: Path) -> None:
    """A route that stands on no single link leads nowhere, or by several routers, each a neighbour on its link."""
    found, what = wiring.found, f"the route to {route.to} of host '{where[1]}'"
    if route.type is not None and route.via:
        hint = "remove 'via', or 'type'"
        found.add("ROUTE", f"{what} leads nowhere ('type: {route.type}') and by routers", where, hint=hint)
    elif route.type is None and len(route.via) < 2:
        text = f"{what} has neither a 'type' nor several routers"
        hint = f"write 'type: blackhole', or, for one router, at its link: routes: [{{to: {route.to}, via: …}}]"
        found.add("ROUTE", text, where, hint=hint)
    for index, hop in enumerate(route.via):
        here: Path = (*where, "via", index)
        link = host.link(hop.link)
        if hop.router.version != route.to.version:
            hint = f"write an IPv{route.to.version} address"
            found.add("ROUTE", f"{what} goes by {hop.router}, of another address family", (*here, "router"), hint=hint)
        if link is None:
            hint = suggest(hop.link, (name for *_, name, _ in host.links()), kind="link")
            text = f"host '{where[1]}' has no link '{hop.link}'"
            found.add("UNKNOWN-NAME", text, (*here, "link"), hint=hint)
        elif not link.address and link.ipv6 not in LISTENING:
            hint = "name the link to the router, on which the host has an address"
            found.add("ROUTE", f"{what} goes by '{hop.link}', which has no address", (*here, "link"), hint=hint)
        elif hop.router in {own.ip for own in link.address if not isinstance(own, str)}:
            found.add(
                "ROUTE", f"{what} goes by its own address {hop.router}", (*here, "router"), hint="name the router's"
            )
        if any((hop.router, hop.link) == (other.router, other.link) for other in route.via[:index]):
            hint = "write it once, with a 'weight'"
            found.add("ROUTE", f"{what} goes twice by {hop.router} on '{hop.link}'", here, hint=hint)


def _routes(wiring: DocumentWiring, speaker: SpeakerNic) -> None:
    """The router of a machine's route is its neighbour, and another one than itself."""
    nic = wiring.document.machines[speaker.owner].nics[int(speaker.path[3])]
    near = [address.network for address, _ in speaker.addresses] + list(
        speaker.segment.subnets if speaker.segment else ()
    )
    for index, route in enumerate(nic.routes):
        where = (*speaker.path, "routes", index)
        is_usable = _of_its_family(wiring, speaker, route.to, "via", route.via, where)
        is_usable = is_usable and _not_itself(wiring, speaker, route.to, route.via, where)
        if is_usable and not any(route.via in subnet for subnet in near):
            text = f"router {route.via} of {speaker.label} is outside {' and '.join(map(str, dict.fromkeys(near)))}"
            wiring.found.add("ROUTE", text, (*where, "via"), hint="a router is a neighbour: it is in the same subnet")
