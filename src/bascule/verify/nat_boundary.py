"""Where a host's virtual networks end, and what their modes do to a frame there: the reason behind a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import Place
from bascule.model.site import Mode, Site, VirtualNetwork, virtual_segment
from bascule.model.values import IpAddress
from bascule.plan.virtual_network import PortForward, ResolvedNetwork, resolved_networks
from bascule.probe.question import Answer, Question, Response
from bascule.system.net.iproute import route_to
from bascule.verify.endpoints import Endpoints
from bascule.verify.witness import Hop


class Reason(Struct, frozen=True):
    """Why a frame passed or did not, and the line of the file that has it so."""

    words: str
    place: Place

    def __str__(self) -> str:
        return self.words + self.place.bracketed


class NatBoundary(Struct, frozen=True):
    """A virtual network with its host."""

    host: str
    network: VirtualNetwork
    resolved_network: ResolvedNetwork

    def reason(self, words: str) -> Reason:
        """Words with the network's own line behind them."""
        return Reason(words, self.network.place)


class NatBoundaries:
    """The virtual networks of all hosts, by the name of their segment."""

    def __init__(self, site: Site, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._boundaries = {
            virtual_segment(host.name, one.name): NatBoundary(host.name, host.virtual_networks[one.name], one)
            for host in site.hosts.values()
            for one in resolved_networks(site, host)
        }

    def bridges(self, host: str) -> frozenset[str]:
        """The bridges of a host's virtual networks."""
        return frozenset(
            boundary.resolved_network.bridge for boundary in self._boundaries.values() if boundary.host == host
        )

    def forward(self, host: str, protocol: str, port: int) -> PortForward | None:
        """What a port of a host leads to."""
        found = [
            x
            for boundary in self._boundaries.values()
            if boundary.host == host
            for x in boundary.resolved_network.forwards
        ]
        return next((x for x in found if x.service.protocol == protocol and port in x.host_ports), None)

    def led_on(self, questions: Iterable[Question]) -> Iterator[Question]:
        """The same questions as they go on behind a forward, under another port."""
        found = [forward for boundary in self._boundaries.values() for forward in boundary.resolved_network.forwards]
        for question in questions:
            for forward in found:
                if forward.service.protocol == question.protocol and question.port in forward.host_ports:
                    inner = forward.service.first + question.port - forward.host_port
                    yield replace(question, port=inner)

    def _of(self, endpoint: str, address: IpAddress | None) -> NatBoundary | None:
        """The virtual network on which an endpoint has an address."""
        for goal in self._endpoints.addresses(endpoint):
            if goal.address.ip == address and goal.network in self._boundaries:
                return self._boundaries[goal.network]
        return None

    def stopped(self, answer: Answer, hops: Sequence[Hop], target: str) -> Reason | None:
        """Why a question that got no answer ended where it did, if a virtual network is the reason."""
        question = answer.question
        home = self._boundaries.get(question.source.network or "")
        there = self._of(target, question.address)
        if home is not None and home == there:
            return None
        if (trap := self._shared_nic(question, target)) is not None:
            return trap
        if home is not None and home.network.mode is Mode.ISOLATED:
            return home.reason(f"network {home.network.name} is isolated: nothing goes out")
        if there is not None:
            return self._not_let_in(there, answer, hops)
        if home is not None and home.network.mode is not Mode.NAT and answer.response is Response.SILENCE:
            return self._no_way_back(home, question, hops, target)
        return None

    def _shared_nic(self, question: Question, target: str) -> Reason | None:
        """Macvtap hands nothing from a host to its guest, nor back."""
        one, other = question.source.endpoint, target
        for host, guest in ((one, other), (other, one)):
            for nic in self._endpoints.site.guests[guest].nics if guest in self._endpoints.site.guests else ():
                is_own = self._endpoints.site.guests[guest].host == host and nic.shared_nic is not None
                if is_own and any(attachment.link == nic.into for attachment in self._endpoints.attachments(host)):
                    words = f"{host} and {guest} share {nic.into} by macvtap, which passes nothing between them"
                    return Reason(words, nic.place)
        return None

    def _not_let_in(self, there: NatBoundary, answer: Answer, hops: Sequence[Hop]) -> Reason | None:
        name, mode = there.network.name, there.network.mode
        is_at_host = any(hop.node == there.host and hop.direction == "in" for hop in hops)
        if mode is Mode.ISOLATED and (is_at_host or there.host == answer.question.source.endpoint):
            return there.reason(f"network {name} is isolated: nothing goes in")
        if is_at_host:
            return there.reason(f"network {name} lets in answers only") if mode is Mode.NAT else None
        if answer.question.source.endpoint == there.host:
            return None
        subnet = next((s for s in there.resolved_network.subnets if answer.question.address in s), None)
        if mode in {Mode.NAT, Mode.ISOLATED}:
            return there.reason(f"{subnet} exists inside of {there.host} only: network {name}, {mode}")
        asker = answer.question.source.endpoint
        return there.reason(f"{asker} has no route by {there.host} to {subnet}: network {name}, {mode}")

    def _no_way_back(self, home: NatBoundary, question: Question, hops: Sequence[Hop], target: str) -> Reason | None:
        """A guest of a routed network is heard under its own address; who has no route to that cannot answer."""
        own = next(
            (a.ip for a in question.source.addresses if question.address and a.version == question.address.version),
            None,
        )
        attachment = next(
            (x for x in self._endpoints.attachments(target) if any(a.ip == question.address for a in x.addresses)), None
        )
        if own is None or attachment is None or not any(hop.node == target for hop in hops):
            return None
        back = route_to(str(own), namespace=attachment.namespace)
        if back and "gateway" not in back and home.host != target:
            return None
        words = f"{target} has no route back by {home.host} to {own}: network {home.network.name}, {home.network.mode}"
        return home.reason(words)

    def beside(self, target: str, question: Question) -> Reason | None:
        """The port of its host by which a guest is reached from outside, if one leads to what was asked."""
        home = self._boundaries.get(question.source.network or "")
        if home is not None and home.network.mode is Mode.ISOLATED:
            return None
        for boundary in self._boundaries.values():
            for forward in boundary.resolved_network.forwards:
                same = forward.guest == target and forward.service.protocol == question.protocol
                if same and question.port in forward.service.ports and forward.place:
                    port = forward.host_port + question.port - forward.service.first
                    return Reason(
                        f"it is {question.protocol}/{port} of {boundary.host} that leads there", forward.place
                    )
        return None

    def opened(self, question: Question, hops: Sequence[Hop], target: str) -> Reason | None:
        """What of a virtual network let a question pass that should not have."""
        forward = self.forward(target, question.protocol, question.port)
        if forward is not None and forward.place is not None:
            words = f"port {question.port} of {target} is forwarded to {forward.guest} {forward.service}"
            return Reason(words, forward.place)
        home, there = self._boundaries.get(question.source.network or ""), self._of(target, question.address)
        if home is not None and home != there:
            name = home.network.name
            return home.reason(f"network {name} is {home.network.mode} and lets {question.source.endpoint} out")
        if there is not None and home != there:
            return there.reason(f"network {there.network.name} is {there.network.mode} and lets {target} be reached")
        if there is not None:
            source = question.source.endpoint
            return there.reason(f"{source} and {target} are both on network {there.network.name}")
        return None
