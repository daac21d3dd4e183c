"""Whether one endpoint reaches another, as far as layer 2, addresses and routes prove it. Pure.

A frame goes to a neighbour in the same broadcast domain and subnet, or to a router that the sender names and that is
known to forward; the answer must find its way back. What the file does not say makes the answer unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from bascule.model.site import Forward, Mode, VirtualNetwork
from bascule.model.values import IpAddress, IpNetwork, Service, is_within
from bascule.topology.elements import Element, Trace, label
from bascule.topology.endpoints import Endpoint, EndpointKind, EndpointNic, default_routes
from bascule.topology.graph import FramePosition, Topology
from bascule.topology.layer2 import tag_words
from bascule.topology.routers import Forwarding, forwarding, no_forward


class _Leg(Struct, kw_only=True):
    """A packet's way to an address. ``seen_as`` are those whose address it bore, the sender first."""

    elements: list[Element]
    reached: bool | None = True
    why: str = ""
    seen_as: list[tuple[Endpoint, EndpointNic]]
    routers: frozenset[str] = frozenset()
    version: int = 4


def trace(topology: Topology, source: str, target: str, service: Service | None = None) -> Trace:
    """The way from one endpoint to another; raises KeyError where one is not in the graph."""
    return _Tracer(topology, topology.endpoints[source], topology.endpoints[target], service).trace()


class _Tracer:
    def __init__(self, topology: Topology, source: Endpoint, target: Endpoint, service: Service | None) -> None:
        self.topology = topology
        self.site = topology.site
        self.source = source
        self.target = target
        self.service = service

    def trace(self) -> Trace:
        if (sealed := self._sealed()) is not None:
            return sealed
        tries = [self._there_and_back(nic, place) for nic in self._meant() for place in nic.places()]
        tries += self._through_forwards()
        if not tries:
            return self._unaddressed(self.target)
        if not any(nic.places() for nic in self.source.nics):
            return self._unaddressed(self.source)
        order: tuple[bool | None, ...] = (True, None, False)
        return min(tries, key=lambda one: (order.index(one.reached), -len(one.elements)))

    # ---- what stands at the ends

    def _meant(self) -> Iterator[EndpointNic]:
        """The NICs of the target at which it can be asked for from another segment.

        A host is not asked for by its address on a virtual network, and what hides a guest behind NAT lets in nobody.
        """
        own = {nic.segment for nic in self.source.nics}
        for nic in self.target.nics:
            inner = (self.target.name, nic.link) in self.topology.virtual_bridges
            if nic.segment in own or not (inner or self._hides(nic)):
                yield nic

    def _hides(self, nic: EndpointNic) -> bool:
        host = self.site.hosts[self.site.guests[nic.plug.guest].host] if nic.plug is not None else None
        network = host.virtual_networks.get(nic.plug.virtual_network or "") if host and nic.plug else None
        return network is not None and network.mode is Mode.NAT

    def _sealed(self) -> Trace | None:
        """Whether one of two guests is on isolated networks alone, on which the other is not."""
        for inmate, other, words in ((self.source, self.target, "leaves"), (self.target, self.source, "enters")):
            guest = self.site.guests.get(inmate.name)
            plugs = [nic.plug.virtual_network for nic in inmate.nics if nic.plug is not None]
            known = self.site.hosts[guest.host].virtual_networks if guest is not None else {}
            shut = [name for name in plugs if name is not None and known[name].mode is Mode.ISOLATED]
            met = {nic.segment for nic in inmate.nics} & {nic.segment for nic in other.nics}
            if guest is None or not shut or len(shut) < len(plugs) or met:
                continue
            elements: tuple[Element, ...] = (self._element(inmate), ("virtual", guest.host, shut[0]))
            if words == "enters":
                elements = (self._element(other),)
            end = f"ends at {label(elements[-1])}: network {shut[0]} is isolated: nothing {words} it"
            return Trace(elements=elements, reached=False, end=end)
        return None

    def _unaddressed(self, silent: Endpoint) -> Trace:
        """Nothing is known of an endpoint's address: the wire is all that can be told."""
        pairs = ((one, nic) for one in self.source.nics for nic in self.target.nics)
        way = next((way for one, nic in pairs if (way := self._wire(self.source, one, self.target, nic))), None)
        asks = [nic for nic in silent.nics if nic.dhcp]
        why = f"the file gives {silent.name} no address"
        if asks:
            where = f"on {asks[0].segment}" if asks[0].segment else "there"
            why = f"{silent.name} asks for its address, and the file names no DHCP server {where}"
        if way is None and self.service is not None and self.service.protocol == "arp":
            return Trace(elements=(self._element(self.source),), reached=False, end=self._no_wire())
        if way is not None:
            why = f"there is a layer-2 path from {self.source.name} to {self.target.name}, but {why}"
        return Trace(elements=tuple(way or [self._element(self.source)]), reached=None, end=f"unknown: {why}")

    def _no_wire(self) -> str:
        return f"there is no path from {self.source.name} to {self.target.name}"

    def _element(self, endpoint: Endpoint, nic: EndpointNic | None = None) -> Element:
        if endpoint.kind is not EndpointKind.HOST:
            return (str(endpoint.kind), endpoint.name)
        nic = nic or next(iter(endpoint.nics), None)
        if nic is None:
            return ("host", endpoint.name, "")
        virtual = self.topology.virtual_bridges.get((endpoint.name, nic.link))
        return ("virtual", endpoint.name, virtual) if virtual else ("host", endpoint.name, nic.link)

    def _exit(self, host: str, network: str) -> Element:
        mode = self.site.hosts[host].virtual_networks[network].mode
        return ("exit", host, network, "masquerade" if mode is Mode.NAT else "routing")

    # ---- there, back, and what is said of it

    def _there_and_back(self, nic: EndpointNic, place: IpNetwork) -> Trace:
        there = self._go(self.source, place, self.target, nic)
        if not there.reached:
            return self._ended(there)
        answer = self._answer(there)
        if not answer.reached:
            where = label(answer.elements[-1])
            if answer.reached is None:
                end = f"unknown: {self.source.name} is heard by {self.target.name}, but of the answer {answer.why}"
            else:
                end = f"{self.source.name} is heard by {self.target.name}, but the answer ends at {where}: {answer.why}"
            return Trace(elements=tuple(there.elements), reached=answer.reached, end=end)
        last = there.seen_as[-1][0]
        as_whom = f", seen as {last.name}" if last.name != self.source.name else ""
        end = f"{self.source.name} reaches {self.target.name}{as_whom}"
        return Trace(elements=tuple(there.elements), reached=True, end=end)

    def _ended(self, leg: _Leg) -> Trace:
        words = f"unknown: {leg.why}" if leg.reached is None else f"ends at {label(leg.elements[-1])}: {leg.why}"
        return Trace(elements=tuple(leg.elements), reached=leg.reached, end=words)

    def _answer(self, there: _Leg) -> _Leg:
        """The way back, from one address to the one that it stands for, to the sender."""
        here, back = self.target, _Leg(elements=[], seen_as=[])
        for owner, nic in reversed(there.seen_as):
            places = [place for place in nic.places() if place.version == there.version]
            if not places:
                why = f"{owner.name} has no address of that family"
                return _Leg(elements=[self._element(here)], reached=None, why=why, seen_as=[])
            back = self._go(here, places[0], owner, nic, routers=there.routers)
            if not back.reached:
                return back
            here = owner
        return back

    # ---- one way

    def _go(
        self,
        sender: Endpoint,
        place: IpNetwork,
        goal: Endpoint,
        into: EndpointNic,
        routers: frozenset[str] = frozenset(),
    ) -> _Leg:
        """A packet from an endpoint to a place, which is an address of ``goal`` on its NIC ``into``.

        ``routers`` have let the connection through already, so its answers pass them.
        """
        leg = _Leg(elements=[], seen_as=[], version=place.version)
        here, came_in = sender, None
        for _ in range(len(self.topology.endpoints) + 1):
            near = [nic for nic in here.nics if any(is_within(place, x) for x in nic.prefixes(place.version))]
            for nic in near:
                if (way := self._wire(here, nic, goal, into)) is not None:
                    if not self._pass(leg, here, came_in, nic, goal, routers):
                        return leg
                    leg.elements += way if not leg.elements else way[1:]
                    return leg
            if near:
                return self._apart(leg, here, near[0], goal, into)
            hop = self._router(here, place)
            if hop is None:
                return self._no_route(leg, here, place, goal, into)
            nic, gateway = hop
            if not self._pass(leg, here, came_in, nic, goal, routers):
                return leg
            found = self._owner(gateway)
            if found is None:
                return self._stop(
                    leg, here, f"the file does not say who has {gateway}, the gateway of {here.name}", reached=None
                )
            router, its = found
            way = self._wire(here, nic, router, its)
            if way is None:
                return self._stop(leg, here, f"its gateway {gateway} ({router.name}) is not on its wire")
            leg.elements += way if not leg.elements else way[1:]
            if router.name == goal.name:
                return leg
            here, came_in = router, its
        return self._stop(leg, here, "the routers forward it in a loop")

    def _stop(
        self, leg: _Leg, here: Endpoint, why: str, *, reached: bool | None = False, nic: EndpointNic | None = None
    ) -> _Leg:
        if not leg.elements:
            leg.elements.append(self._element(here, nic))
        leg.reached, leg.why = reached, why
        return leg

    def _owner(self, address: IpAddress) -> tuple[Endpoint, EndpointNic] | None:
        for endpoint in self.topology.endpoints.values():
            for nic in endpoint.nics:
                if any(own.ip == address for own in nic.addresses):
                    return endpoint, nic
        return None

    def _router(self, here: Endpoint, place: IpNetwork) -> tuple[EndpointNic, IpAddress] | None:
        """By which NIC and gateway an endpoint sends what is for no neighbour."""
        fitting = [
            (route.to.prefixlen, nic, route.via)
            for nic in here.nics
            for route in nic.routes
            if route.via is not None and is_within(place, route.to)
        ]
        if fitting:
            _, nic, gateway = max(fitting, key=lambda one: one[0])
            return nic, gateway
        by_link = {nic.link: nic for nic in here.nics}
        for link, gateway in default_routes(here.nics, leased=True):
            if gateway.version == place.version:
                return by_link[link], gateway
        return None

    def _pass(
        self,
        leg: _Leg,
        here: Endpoint,
        came_in: EndpointNic | None,
        out: EndpointNic,
        goal: Endpoint,
        routers: frozenset[str],
    ) -> bool:
        """Whether a packet leaves an endpoint: its own does; another's if the endpoint forwards it."""
        if came_in is None:
            leg.seen_as.append((here, out))
            return True
        found = forwarding(self.topology, here, came_in, out, leg.seen_as[-1], goal, self.service)
        if here.name in routers:
            found = Forwarding(allowed=True)
        if here.kind is EndpointKind.HOST:
            inner = [self.topology.virtual_bridges.get((here.name, nic.link)) for nic in (came_in, out)]
            leg.elements += [self._exit(here.name, name) for name in dict.fromkeys(inner) if name]
        if not found.allowed:
            self._stop(leg, here, found.why, reached=found.allowed)
            return False
        if found.hides:
            leg.seen_as.append((here, out))
        leg.routers |= {here.name}
        return True

    # ---- ports of a host that are forwarded to a guest behind NAT

    def _through_forwards(self) -> Iterator[Trace]:
        """By way of the host: each NAT network of the target that the source is not on itself."""
        guest = self.site.guests.get(self.target.name)
        if guest is None or self.source.name == guest.host:
            return
        own = {nic.segment for nic in self.source.nics}
        host, networks = self.topology.endpoints[guest.host], self.site.hosts[guest.host].virtual_networks
        for nic in self.target.nics:
            name = nic.plug.virtual_network if nic.plug else None
            if name is None or nic.segment in own or networks[name].mode is not Mode.NAT:
                continue
            outward = [x for x in host.nics if (host.name, x.link) not in self.topology.virtual_bridges]
            for into in outward or host.nics:
                for place in into.places():
                    yield self._by_forward(host, into, place, name, nic)

    def _by_forward(self, host: Endpoint, into: EndpointNic, place: IpNetwork, name: str, nic: EndpointNic) -> Trace:
        leg = self._go(self.source, place, host, into)
        if not leg.reached:
            return self._ended(leg)
        inside = next(x for x in host.nics if self.topology.virtual_bridges.get((host.name, x.link)) == name)
        way = self._wire(host, inside, self.target, nic)
        forward = self._forward(self.site.hosts[host.name].virtual_networks[name])
        leg.elements = [*(x for x in leg.elements if x[0] != "host" or x[1] != host.name), self._exit(host.name, name)]
        if forward is None or way is None:
            return self._ended(self._stop(leg, host, no_forward(self.target.name, self.service)))
        answer = self._answer_from(host, leg)
        if not answer.reached:
            return Trace(
                elements=tuple(leg.elements), reached=answer.reached, end=f"the answer does not come back: {answer.why}"
            )
        by = f"by {forward.service}, through port {forward.host_port} of {host.name}"
        elements = (*leg.elements, *way)
        return Trace(elements=elements, reached=True, end=f"{self.source.name} reaches {self.target.name} {by}")

    def _answer_from(self, host: Endpoint, leg: _Leg) -> _Leg:
        here, self.target = self.target, host
        try:
            return self._answer(leg)
        finally:
            self.target = here

    def _forward(self, network: VirtualNetwork) -> Forward | None:
        for forward in network.forwards:
            if forward.guest == self.target.name and (self.service is None or forward.service.covers(self.service)):
                return forward
        return None

    # ---- layer 2

    def _wire(self, one: Endpoint, nic: EndpointNic, other: Endpoint, into: EndpointNic) -> list[Element] | None:
        """The elements from one endpoint's NIC to another's in one broadcast domain, None if they are in two."""
        start, goal = self.topology.spot(one, nic), self.topology.spot(other, into)
        came = self.topology.reach(start)
        if goal not in came or start == goal:
            return None
        spots, here = [goal], came[goal]
        while here is not None:
            spots.append(here)
            here = came[here]
        if other.kind is EndpointKind.HOST and len(spots) > 1 and self._is_shared(spots[1], spots[0]):
            return None
        return _once([self._element(one, nic), *map(self._at, reversed(spots)), self._element(other, into)])

    def _is_shared(self, before: FramePosition, spot: FramePosition) -> bool:
        """Whether a frame came up from a macvtap, which hands nothing to the host's own stack on the NIC."""
        link = self.topology.states[spot.host].links.get(before.link) if before.kind == spot.kind == "link" else None  # type: ignore[call-overload]  # a name of a link
        return link is not None and link.options.kind == "macvtap"

    def _at(self, spot: FramePosition) -> Element:
        if spot.kind == "network":
            return ("network", spot.name)
        if spot.kind == "machine":
            return ("machine", spot.host)
        virtual = self.topology.virtual_bridges.get((spot.host, spot.link))
        return ("virtual", spot.host, virtual) if virtual else ("link", spot.host, spot.link)

    def _apart(self, leg: _Leg, here: Endpoint, nic: EndpointNic, goal: Endpoint, into: EndpointNic) -> _Leg:
        """An address of the own subnet that is not on the own wire: why."""
        start = self.topology.spot(here, nic)
        mine, theirs = (self.topology.networks_at(x) for x in (start, self.topology.spot(goal, into)))
        self._stop(leg, here, f"there is no path from {here.name} to {goal.name}", nic=nic)
        shared = {x.plug.shared_nic for x in (nic, into) if x.plug is not None}
        if EndpointKind.HOST in {here.kind, goal.kind} and shared & {nic.link, into.link}:
            by = f"share {min(filter(None, shared))} by macvtap"
            leg.why = f"{here.name} and {goal.name} {by}, which passes nothing between them"
        elif mine and theirs:
            leg.why = f"{here.name} is on {_list(mine)}, and {goal.name} on {_list(theirs)}"
        else:
            end = here if not mine else goal
            for host, name, tags in self.topology.unwired(start if not mine else self.topology.spot(goal, into)):
                declared = self.site.hosts[host].nics.get(name)
                network = self.site.networks.get(declared.network or "") if declared else None
                if network is None:
                    leg.reached, leg.why = None, f"the file does not say what {name} of {host} is wired to"
                else:
                    own = (network.vlan,) if network.vlan is not None else ()
                    sent = f"{end.name} leaves {name} {_tagged(tags)}"
                    leg.why = f"{sent}, where {network.name} arrives {_tagged(own)}"
                break
        return leg

    def _no_route(self, leg: _Leg, here: Endpoint, place: IpNetwork, goal: Endpoint, into: EndpointNic) -> _Leg:
        speaking = [nic for nic in here.nics if nic.prefixes(place.version)]
        where = str(place) if place.prefixlen < place.max_prefixlen else str(place.network_address)
        for nic in speaking:
            if (way := self._wire(here, nic, goal, into)) is not None:
                leg.elements += way if not leg.elements else way[1:]
                own = _list(map(str, nic.prefixes(place.version)))
                why = f"{where} is not in {own}, and {here.name} names no gateway to it, though both are on one wire"
                return self._stop(leg, here, why)
        if not speaking:
            asks = any(nic.dhcp for nic in here.nics)
            why = f"the file gives {here.name} no IPv{place.version} address"
            return self._stop(leg, here, why, reached=None if asks else False)
        return self._stop(leg, here, f"{here.name} has no gateway to {where}", nic=speaking[0])


def _once(elements: Sequence[Element]) -> list[Element]:
    """Without what appears twice in a row."""
    return [one for place, one in enumerate(elements) if not place or elements[place - 1] != one]


def _list(words: Iterable[str]) -> str:
    return " and ".join(words)


def _tagged(tags: tuple[int, ...]) -> str:
    return f"with {tag_words(tags)}" if tags else "untagged"
