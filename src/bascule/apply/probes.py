"""Who answers before the change must answer after it: gateways, the SSH peer, running guests, DNS, and what is named.

A probe that did not pass before never counts, and neither does one that the plan itself takes away: a gateway that no
route leads by any more, a neighbour of a subnet that the host leaves. A gateway that the plan brings in place of one
that answered must answer. All are asked at once; where everybody answers it costs milliseconds.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.prepare import PreparedPlan, address_place
from bascule.errors import BasculeError, CommandFailed, UsageFault
from bascule.model.dhcp.offers import Offer
from bascule.model.site import GuestNic
from bascule.model.state import HostState
from bascule.model.values import NO_MAC, IfName, IpAddress, Mac
from bascule.observe.neighbours import sightings
from bascule.probe.domain import ProbeAttachment
from bascule.probe.question import Answer, Protocol, Question
from bascule.system.net.iproute import route_to
from bascule.system.net.netns import Namespace

BEFORE_S = 1.0  # how long one may take to answer before the change
AFTER_S = 5.0  # and after it: ARP, a switch that learns a moved MAC
DHCP_S = 15.0  # more, where the host's own client asks for a lease first
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


class Probe(Struct, frozen=True):
    """One thing to ask. ``link`` says from where, in a state of the host; None where it cannot be asked."""

    name: str
    protocol: Protocol
    address: IpAddress
    link: Callable[[HostState], IfName | None]
    port: int = 0


class DefaultRouter(Struct, frozen=True):
    """A router of the default route of one IP version in one table."""

    dst: str
    table: str
    probe: Probe

    @property
    def place(self) -> tuple[str, str, IpAddress]:
        """Of two with the same place one is the other."""
        return self.dst, self.table, self.probe.address


class Probes:
    """The probes that passed before the change, and those that it brings; ``hopes`` are brought, and only told of."""

    def __init__(self, prepared: PreparedPlan, named: Sequence[str] = ()) -> None:
        """Ask them all once. Raises UsageFault for a ``--probe`` that is not HOST:PORT."""
        after = _with_leases(prepared)
        gateways = tuple(_gateways(prepared.observed))
        leaving = [one.probe for one in gateways if one.probe.link(after) is None]
        kept = [one.probe for one in gateways if one.probe.link(after) is not None]
        kept += [*_peer(prepared, after), *_guests(prepared), *_resolvers(prepared.observed, after)]
        unique = {
            (probe.protocol, probe.address, probe.port): probe for probe in reversed([*kept, *map(_named, named)])
        }
        before = list(reversed(unique.values()))
        self.patience_s = _patience_s(prepared)
        answers = _ask([*before, *leaving], prepared.observed, BEFORE_S)
        self.passed = [probe for probe, words in zip(before, answers, strict=False) if not words]
        answered = [probe for probe, words in zip([*before, *leaving], answers, strict=True) if not words]
        self.brought, self.hopes = _new_gateways(gateways, tuple(_gateways(after)), {p.address for p in answered})

    def __call__(self, state: HostState) -> tuple[str, ...]:
        """Ask in the state after the change those that passed, and those that it brings; what does not answer."""
        answers = _ask([*self.passed, *self.brought], state, self.patience_s)
        failed = [(probe, words) for probe, words in zip((*self.passed, *self.brought), answers, strict=True) if words]
        old = "answered before the change, and does not answer after it"
        new = "is new with the change, in place of a gateway that answered, and does not answer"
        return tuple(f"{probe.name} {new if probe in self.brought else old}: {words}" for probe, words in failed)

    def no_longer_answering(self, state: HostState) -> tuple[str, ...]:
        """A gateway that the change brings where none answered before, and that does not answer either."""
        answers = _ask(self.hopes, state, BEFORE_S)
        return tuple(
            f"{probe.name} is new with the change, and does not answer ({words}); nor did a gateway before the change"
            for probe, words in zip(self.hopes, answers, strict=True)
            if words
        )


def dhcp_answers(prepared: PreparedPlan) -> bool:
    """Whether a DHCP server answers now on each link whose client is to go on elsewhere; nothing is taken from it."""
    links = dict.fromkeys(handover.link for handover in prepared.leases.handovers)
    if not links:
        return False
    from bascule.probe.dhcp_client import DhcpNic, discover

    with Namespace.current() as here:
        clients = [DhcpNic(namespace=here, link=n, mac=prepared.observed.links[n].mac or Mac("")) for n in links]
        return all(discover(clients, wait_s=BEFORE_S).values())


def _patience_s(prepared: PreparedPlan) -> float:
    host = prepared.host
    waits = any(link.dhcp for link in host.links())
    return AFTER_S + (DHCP_S if waits else 0.0)


def _ask(probes: Sequence[Probe], state: HostState, patience_s: float) -> list[str]:
    """What came back for each, empty where it answered."""
    with Namespace.current() as here:
        attachments: dict[IfName, ProbeAttachment] = {}
        questions: dict[int, Question] = {}
        for index, probe in enumerate(probes):
            name = probe.link(state)
            attachment = attachments.get(name) if name else None
            if name is not None and attachment is None:
                attachment = _attachment(state, name, here)
            if name is None or attachment is None:
                continue
            attachments[name] = attachment
            questions[index] = Question(
                source=attachment,
                protocol=probe.protocol,
                address=probe.address,
                port=probe.port,
                patience_s=patience_s,
            )
        answers: dict[int, Answer] = {}
        if questions:  # on a host that nobody can answer, nobody is asked
            from bascule.probe.ask import ask

            answers = dict(zip(questions, ask(tuple(questions.values())), strict=True))
    return [
        "there is no route to it" if index not in answers else "" if answers[index].ok else answers[index].words
        for index in range(len(probes))
    ]


def _attachment(state: HostState, name: IfName, here: Namespace) -> ProbeAttachment | None:
    link = state.links.get(name)
    if link is None or not link.up:
        return None
    return ProbeAttachment(
        endpoint="this host",
        namespace=here,
        link=name,
        mac=link.mac or NO_MAC,
        addresses=tuple(ip_interface(address.ip) for address in link.addresses),
    )


def _route_to(address: IpAddress) -> Callable[[HostState], IfName | None]:
    """The link that the kernel would send to an address by."""

    def link(state: HostState) -> IfName | None:
        try:
            found = route_to(str(address)).get("dev", "")
        except BasculeError:
            return None
        return IfName(found) if found in state.links else None

    return link


def _with_leases(prepared: PreparedPlan) -> HostState:
    """The wanted state as it will be when a DHCP client has its lease again, on another link."""
    wanted, observed = prepared.wanted, prepared.observed
    home = {handover.link: handover.to for handover in prepared.leases.handovers}
    links = dict(wanted.links)
    for old, new in home.items():
        if new in links and old in observed.links:
            links[new] = replace(links[new], addresses=links[new].addresses + observed.links[old].addresses)
    refused = {handover.link for handover in prepared.leases.handovers if Offer.GATEWAY in handover.unused}
    coming = (r for r in observed.routes if r.dev in home and not (r.is_default and r.dev in refused))
    moved = (replace(route, dev=home[IfName(route.dev)]) for route in coming)
    routes = (route for route in moved if route not in wanted.routes)
    return replace(wanted, links=links, routes=(*wanted.routes, *routes)) if home else wanted


def _gateways(state: HostState) -> Iterator[DefaultRouter]:
    for route in state.routes:
        for router, dev in route.hops if route.is_default else ():
            if router and dev:
                yield DefaultRouter(route.dst, route.table, _neighbour(f"gateway {router}", router, route.dst))


def _new_gateways(
    there: Sequence[DefaultRouter], coming: Sequence[DefaultRouter], answered: Collection[IpAddress]
) -> tuple[list[Probe], list[Probe]]:
    """The gateways that a change brings in place of one that ``answered``, and the others that it brings."""
    known, stay = {one.place for one in there}, {one.place for one in coming}
    gone = [one for one in there if one.place not in stay and one.probe.address in answered]
    places = {(one.dst, one.table) for one in gone}
    versions = {one.dst for one in gone if all(one.probe.address != other.probe.address for other in coming)}
    already = {one.probe.address for one in there} & {*answered}
    new = {one.probe.address: one for one in coming if one.place not in known and one.probe.address not in already}
    instead = {ip for ip, one in new.items() if one.dst in versions or (one.dst, one.table) in places}
    brought, hopes = ([one.probe for ip, one in new.items() if (ip in instead) is wish] for wish in (True, False))
    return brought, hopes


def _stays(before: HostState, after: HostState, address: IpAddress) -> bool:
    """Whether a neighbour of the host is one after the change as well; what is behind a router is no neighbour."""
    was_near, is_near = (any(address in net for net in _subnets(state)) for state in (before, after))
    return is_near or not was_near


def _subnets(state: HostState) -> list[IPv4Network | IPv6Network]:
    return [ip_interface(address.ip).network for link in state.links.values() for address in link.addresses]


def _neighbour(name: str, address: str, dst: str) -> Probe:
    def link(state: HostState) -> IfName | None:
        ways = (hop for route in state.routes if route.dst == dst for hop in route.hops)
        return next((IfName(dev) for gateway, dev in ways if gateway == address and dev), None)

    return Probe(name, Protocol.ARP, ip_address(address), link)


def _peer(prepared: PreparedPlan, after: HostState) -> Iterator[Probe]:
    line = prepared.line
    if line is None or line.device == "lo" or not prepared.observed.links[line.device].arp:
        return  # a tun has no neighbours that could be asked
    neighbour = line.gateway or line.peer
    if not address_place(after, line.address) or not _stays(prepared.observed, after, ip_address(neighbour)):
        return  # the line ends here
    name = f"gateway {neighbour}" if line.gateway else f"your own machine {neighbour}"
    yield Probe(name, Protocol.ARP, ip_address(neighbour), _route_to(ip_address(neighbour)))


def _guests(prepared: PreparedPlan) -> Iterator[Probe]:
    """Running guests: an address of theirs is in the file, or in the host's neighbour table."""
    nics = [nic for nic in prepared.site.guest_nics(prepared.host.name) if _runs(nic, prepared.observed)]
    known = _neighbours() if any(not nic.addresses for nic in nics) else {}
    for nic in nics:
        address = nic.addresses[0].ip if nic.addresses else known.get(nic.mac)
        if address is not None and _bridge_of(nic.tap)(prepared.wanted) is not None:
            yield Probe(f"guest {nic.guest} ({address})", Protocol.ARP, address, _bridge_of(nic.tap))


def _runs(nic: GuestNic, state: HostState) -> bool:
    link = state.links.get(nic.tap)
    plain = nic.bridge is not None and nic.vlan is None and not nic.vlans  # a tagged one does not hear the bridge
    return plain and link is not None and link.facts.carrier


def _bridge_of(tap: IfName) -> Callable[[HostState], IfName | None]:
    def link(state: HostState) -> IfName | None:
        seen = state.links.get(tap)
        return seen.master if seen is not None else None

    return link


def _neighbours() -> dict[str, IpAddress]:
    try:
        return {one.mac: one.address for one in sightings()}
    except BasculeError:
        return {}


def _resolvers(before: HostState, after: HostState) -> Iterator[Probe]:
    for address in _nameservers():
        if not address.is_loopback and _stays(before, after, address):
            yield Probe(f"DNS server {address}", Protocol.UDP, address, _route_to(address), 53)


def _nameservers() -> Iterable[IpAddress]:
    for path in RESOLVERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        words = [line.split() for line in lines if line.startswith("nameserver")]
        found = []
        for word in words:
            try:
                found.append(ip_address(word[1].partition("%")[0]))
            except (ValueError, IndexError):
                continue
        return found
    return []


def _named(text: str) -> Probe:
    """``host:port`` or ``[address]:port``, asked by TCP."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        hint = "write it like 10.0.0.1:22, [fd00::1]:22 or name:443"
        raise UsageFault.of("PROBE", f"'{text}' is not HOST:PORT", hint=hint)
    try:
        address = ip_address(socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, ValueError) as error:
        raise CommandFailed.of("PROBE", f"--probe {text}: '{host}' has no address here: {error}") from error
    return Probe(f"{host} tcp/{port}", Protocol.TCP, address, _route_to(address), int(port))
