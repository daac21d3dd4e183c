"""Whether the host's own packets go where the file means: its routes and policy rules asked, its gateway pinged.

Probes are bound to a link and pass by the host's routing; a daemon of the host's is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface

from msgspec import Struct

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IpAddress, grouped, listed
from bascule.probe.ask import ask
from bascule.probe.domain import ProbeAttachment, ProbeDomain
from bascule.probe.question import Protocol, Question
from bascule.system.net.iproute import Way, routes_to
from bascule.verify.checks import Check
from bascule.verify.endpoints import Endpoints


class RouteTarget(Struct, frozen=True, kw_only=True):
    """Whom the host must reach over one of some links, by the file."""

    what: str
    address: IpAddress
    links: frozenset[str]


def check_routing(
    site: Site, host: Host, state: HostState, probe_domain: ProbeDomain, endpoints: Endpoints
) -> Iterator[Check]:
    """The way to each of the host's networks, gateways and guests, then each gateway by an ordinary ping."""
    namespace = probe_domain.hosts[host.name]
    by_file, by_routes = (
        [one for one in some if _is_played(one, probe_domain, endpoints)]
        for some in (declared_gateways(host), _other_gateways(state))
    )
    near = [*_on_networks(site, host, endpoints)]
    targets = {one.address: one for one in (*by_routes, *near, *by_file)}  # what the file says goes before what stands
    gateways = [targets[address] for address in dict.fromkeys(one.address for one in (*by_file, *by_routes))]
    if not targets:
        return
    sources = {one.address: source for one in targets.values() if (source := _own_source(one, state)) is not None}
    by = {address: min(one.links) for address, one in targets.items() if address.is_link_local}
    ways = routes_to(list(targets), namespace, by=by)
    answers = routes_to(list(sources), namespace, sources, by=by)
    astray = [
        _misrouted(one, ways.get(str(one.address)), state)
        or (_of_answers(one, answers, sources[one.address], state) if one.address in sources else "")
        for one in targets.values()
    ]
    for one, words in zip(targets.values(), astray, strict=True):
        if words:
            yield Check(id="own-route", subject=host.name, ok=False, detail=f"{one.what}: {words}")
    if not any(astray):
        links = dict.fromkeys(str(ways[str(one.address)]["dev"]) for one in targets.values())
        words = ", ".join(f"{name}: {_listed(name, targets.values(), ways)}" for name in links)
        yield Check(id="own-route", subject=host.name, ok=True, detail=f"as the file means, {words}")
    yield from _pinged(host, gateways, ways, probe_domain)


def _on_networks(site: Site, host: Host, endpoints: Endpoints) -> Iterator[RouteTarget]:
    """The gateways and guests on networks where the host has an address in their subnet."""
    own = [one for one in endpoints.attachments(host.name) if one.network is not None]
    for name in dict.fromkeys(one.network for one in own):
        network = site.networks.get(name or "")
        for gateway in network.gateways if network else ():
            if links := _links(own, name, gateway):
                yield RouteTarget(what=f"gateway {gateway} of {name}", address=gateway, links=links)
    for guest in site.guests_on(host.name):
        for goal in endpoints.addresses(guest.name):
            if links := _links(own, goal.network, goal.address.ip):
                yield RouteTarget(what=f"{guest.name} ({goal.address.ip})", address=goal.address.ip, links=links)


def _own_source(target: RouteTarget, state: HostState) -> IpAddress | None:
    """The host's own address in the same subnet, from which it answers; None where it has none there now."""
    links = (link for name, link in state.links.items() if name in target.links and link.up)
    own = (ip_interface(address.ip) for link in links for address in link.addresses)
    return next((one.ip for one in own if target.address in one.network and target.address != one.ip), None)


def _of_answers(target: RouteTarget, ways: Mapping[str, Way], source: IpAddress, state: HostState) -> str:
    """Where answers from an address of the host's own go instead."""
    words = _misrouted(target, ways.get(str(target.address)), state)
    return f"with packets from {source}, {words}" if words else ""


def _links(own: Sequence[ProbeAttachment], network: str | None, address: IpAddress) -> frozenset[str]:
    near = [one for one in own if one.network == network and any(address in a.network for a in one.addresses)]
    mine = any(address == a.ip for one in own for a in one.addresses)
    return frozenset() if mine else frozenset(one.link for one in near)


def declared_gateways(host: Host) -> Iterator[RouteTarget]:
    """The host's own gateways, each on the links where the file has them: a bridge, if its uplink's address moved."""
    return _by_gateway((gateway, link.name) for link in host.speakers() for gateway in host.effective(link).gateways)


def _other_gateways(state: HostState) -> Iterator[RouteTarget]:
    """What a lease or an advertisement gave, and what stands that the file does not say, each over all its links."""
    routes = (route for route in state.routes if route.is_default and route.gateway)
    found = ((ip_address(route.gateway), route.dev) for route in routes if route.table == "main")
    return _by_gateway((gateway, dev) for gateway, dev in found if not gateway.is_link_local)


def _by_gateway(found: Iterable[tuple[IpAddress, str]]) -> Iterator[RouteTarget]:
    links = grouped((gateway, link) for gateway, link in found)
    for gateway, names in links.items():
        yield RouteTarget(what=f"gateway {gateway}", address=gateway, links=frozenset(names))


def _is_played(target: RouteTarget, probe_domain: ProbeDomain, endpoints: Endpoints) -> bool:
    """Whether anybody can stand for a gateway: on a live host somebody must, in a twin the machines of the file."""
    return probe_domain.live or endpoints.owner(target.address) is not None


def _misrouted(target: RouteTarget, way: Way | None, state: HostState) -> str:
    """Where packets to it go instead of where the file means, and why; empty where they go right."""
    meant = " or ".join(sorted(target.links))
    if way is None:
        return f"the host has no route to it, and the file means {meant}"
    dev, table = way["dev"], way.get("table", "main")
    if dev in target.links and way.get("type", "unicast") == "unicast":
        return ""
    if way.get("type") == "local":
        return (
            f"the host takes it for an address of its own (ip route get {target.address}), and the file means {meant}"
        )
    via = f" via {way['gateway']}" if "gateway" in way else ""
    words = f"the host sends to it by {dev}{via}, "
    words += f"and the file means {meant}: "
    if table != "main":
        rules = [f"{x.priority}: {' '.join(x.words)}" for x in state.rules if table in x.words]
        return words + f"a policy rule sends it to table {table}" + (f" ({'; '.join(rules)})" if rules else "")
    other = state.links.get(dev)
    same = [a.ip for a in other.addresses if target.address in ip_interface(a.ip).network] if other else []
    return words + (f"{dev} has {', '.join(same)}, which it lies in" if same else f"a route of table {table}")


def _listed(link: str, targets: Iterable[RouteTarget], ways: Mapping[str, Way]) -> str:
    found = [str(one.address) for one in targets if ways[str(one.address)]["dev"] == link]
    return listed(found, between=" ")


def _pinged(
    host: Host,
    gateways: Sequence[RouteTarget],
    ways: Mapping[str, Way],
    probe_domain: ProbeDomain,
) -> Iterator[Check]:
    own = {str(one.link): one for one in probe_domain.attachments.get(host.name, ())}
    asked: list[tuple[RouteTarget, Question, Question | None]] = []
    for one in {one.address: one for one in gateways}.values():
        link = next((own[name] for name in one.links if name in own), None)
        source = link or next(iter(own.values()), None)
        if source is not None:
            ping = Question(source=source, protocol=Protocol.ICMP, address=one.address)
            near = Question(source=link, protocol=Protocol.ARP, address=one.address) if link else None
            asked.append((one, ping, near))
    questions = [question for _, *some in asked for question in some if question is not None]
    replies = dict(zip(questions, ask(questions, patience=probe_domain.patience), strict=True))
    for one, ping, near in asked:
        dev = ways.get(str(one.address), {}).get("dev", "")
        if replies[ping].ok:
            detail = f"{one.address} answers by the host's own routing, over {dev}"
            yield Check(id="gateway", subject=host.name, ok=True, detail=detail)
        elif near is not None and replies[near].ok and dev in one.links:
            detail = f"{one.address} is at {replies[near].mac} on {near.source.link} and answers no ping: unproven"
            yield Check(id="gateway", subject=host.name, ok=None, detail=detail, unproven=True)
        else:
            there = f", though it is at {replies[near].mac} on {near.source.link}" if near and replies[near].ok else ""
            detail = f"{one.address} does not answer by the host's own routing{f' over {dev}' if dev else ''}{there}"
            yield Check(id="gateway", subject=host.name, ok=False, detail=detail)
