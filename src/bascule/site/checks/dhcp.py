"""DHCP: ranges fit their subnets and keep off fixed addresses; who asks is answered."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from msgspec import Struct

from bascule.model.host_links import LISTENING
from bascule.site import document as d
from bascule.site.checks.networks import is_edge, known_network
from bascule.site.findings import Path
from bascule.site.wiring import BroadcastDomain, DocumentWiring
from bascule.topology.virtual_networks import host_address

USES = ("use_gateway", "use_routes", "use_dns")


class _Server(Struct, frozen=True):
    label: str
    segment: BroadcastDomain
    first: IPv4Address
    last: IPv4Address
    path: Path  # of the range

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and self.first <= address <= self.last


def check_dhcp(wiring: DocumentWiring) -> None:
    """Every server's range, and every NIC that asks."""
    servers = list(_servers(wiring))
    for index, server in enumerate(servers):
        if _inside(wiring, server):
            _over_fixed(wiring, server)
        for other in servers[:index]:
            if other.segment.key == server.segment.key and other.first <= server.last and server.first <= other.last:
                wiring.found.add(
                    "DHCP-RANGE",
                    f"the DHCP ranges of {server.label} and {other.label} overlap on {server.segment.label}",
                    server.path,
                    hint="two servers split the addresses between them",
                    also=[("the other", other.path)],
                )
    _answered(wiring, {server.segment.key for server in servers})


def _servers(wiring: DocumentWiring) -> Iterator[_Server]:
    document = wiring.document
    for host, entry in document.hosts.items():
        for name, virtual in entry.virtual_networks.items():
            segment = wiring.of_virtual(host, name)
            if virtual.dhcp and segment:
                path: Path = ("hosts", host, "virtual_networks", name, "dhcp")
                yield _Server(f"virtual network '{name}'", segment, *virtual.dhcp, path)
    for name, machine in document.machines.items():
        if machine.dhcp is None:
            continue
        path = ("machines", name, "dhcp")
        if not known_network(wiring, machine.dhcp.network, (*path, "network")):
            continue
        segment = wiring.network(machine.dhcp.network)
        speakers = [f for f in wiring.by_owner.get(name, ()) if f.segment == segment]
        if not any(address.version == 4 for speaker in speakers for address, _ in speaker.addresses):
            wiring.found.add(
                "DHCP-SERVER",
                f"machine '{name}' serves DHCP on network '{machine.dhcp.network}' without a fixed IPv4 address there",
                (*path, "network"),
                hint=f"give it one: nics: [{{network: {machine.dhcp.network}, address: …}}]",
            )
        if segment:
            yield _Server(f"machine '{name}'", segment, *machine.dhcp.range, (*path, "range"))


def _inside(wiring: DocumentWiring, server: _Server) -> bool:
    subnets = [s for s in server.segment.subnets if s.version == 4]
    if any(server.first in s and server.last in s for s in subnets):
        for end in (server.first, server.last):
            edge = next((e for s in subnets if (e := is_edge(end, s))), None)
            if edge:
                message = f"DHCP range {server.first}-{server.last} holds {end}, the {edge} address of the subnet"
                wiring.found.add("DHCP-RANGE", message, server.path, hint="leave it out")
        return True
    of = " and ".join(str(s) for s in subnets)
    wiring.found.add(
        "DHCP-RANGE",
        f"DHCP range {server.first}-{server.last} is "
        + (f"not inside {of}, the subnet of" if of else "given, but there is no IPv4 subnet on")
        + f" {server.segment.label}",
        server.path,
        hint=f"both ends lie in {of}" if of else "give the network its subnet",
    )
    return False


def _over_fixed(wiring: DocumentWiring, server: _Server) -> None:
    found = wiring.found
    words = f"the DHCP range {server.first}-{server.last} of {server.label}"
    hint = "take an address outside the range, or make the range smaller"
    for speaker in wiring.speakers:
        if speaker.segment is None or speaker.segment.key != server.segment.key:
            continue
        for address, path in speaker.addresses:
            if address.ip in server:
                message = f"fixed address {address.ip} of {speaker.label} lies in {words}"
                found.add("DHCP-STATIC", message, path, hint=hint, also=[("the range", server.path)])
    network = wiring.document.networks.get(server.segment.network or "")
    for index, gateway in enumerate(network.gateway if network else ()):
        if gateway in server:
            where = ("networks", server.segment.network or "", "gateway", index)
            message = f"gateway {gateway} lies in {words}"
            found.add("DHCP-STATIC", message, where, hint="make the range smaller", also=[("the range", server.path)])
    if server.segment.key[0] == "virtual":
        for subnet in server.segment.subnets:
            if host_address(subnet).ip in server:
                message = f"{words} holds {host_address(subnet).ip}, the host's own address"
                found.add("DHCP-STATIC", message, server.path, hint="begin one later")


def _answered(wiring: DocumentWiring, served: set[tuple[str, ...]]) -> None:
    """Who asks on a known segment is answered there: by a declared range, or by someone who serves udp/67."""
    if any(path[0] in {"machines", "hosts"} for path in wiring.found.broken):
        return
    document = wiring.document
    for speaker in wiring.speakers:
        entry = document.guests.get(speaker.owner) or document.machines.get(speaker.owner)
        if speaker.segment and entry and any(s.protocol == "udp" and 67 in s.ports for s in entry.serves):
            served.add(speaker.segment.key)
    for speaker in wiring.speakers:
        # the host's own lease is there before Bascule comes; it need not be explained
        if speaker.dhcp is None or speaker.segment is None or speaker.kind == "hosts" or speaker.segment.key in served:
            continue
        network = speaker.segment.network
        hint = f"say who does: machines: NAME: {{dhcp: {{network: {network}, range: FIRST-LAST}}}}"
        if speaker.segment.key[0] == "virtual":
            hint = "give the virtual network 'dhcp: FIRST-LAST'"
        elif network is None:
            hint = "give the guest a fixed address, or 'serves: [udp/67]' to the guest that hands out addresses there"
        wiring.found.add(
            "DHCP-NOBODY",
            f"{speaker.label} asks for its address by DHCP, but nothing in the file serves DHCP on "
            f"{speaker.segment.label}",
            speaker.dhcp,
            hint=hint,
        )


def check_offers(wiring: DocumentWiring) -> None:
    """``use_gateway`` and its kin stand on links that ask for a lease or hear routers."""
    for host, entry in wiring.document.hosts.items():
        for table, noun, name, link in entry.links():
            if not any(getattr(link, key) is not None for key in USES):
                continue
            below = entry.link(link.uplink) if isinstance(link, d.Bridge) and "from-uplink" in link.address else None
            speakers = [link, *([below] if below is not None else [])]
            asks = any("dhcp" in each.address for each in speakers)
            modes = [each.ipv6 for each in speakers if each.ipv6 is not None]
            hears = modes[0] in LISTENING if modes else any(each.address for each in speakers)
            offered = {4: asks, 6: hears}
            path = ("hosts", host, table, name)
            for key in USES:
                used = getattr(link, key)
                if used is None or len(used) == 2 or wiring.found.is_broken((*path, "address")):
                    continue
                if any(offered[version] for version in {4, 6} - {*used}):
                    continue
                why = "asks for no lease" if used == (6,) else "hears no router"
                why = "asks for no lease and hears no router" if not used else why
                wiring.found.add(
                    "NOTHING-OFFERED",
                    f"'{key}' of {noun} '{name}' has no effect: it {why}",
                    (*path, key),
                    hint="it belongs to 'address: dhcp', or to a link that hears router advertisements; remove it",
                )
