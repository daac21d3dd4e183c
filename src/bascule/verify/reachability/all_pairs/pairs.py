"""The exchanges of all pairs of names, by each host's sweep; between two hosts each is asked for its part. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.model.values import Service, grouped
from bascule.topology.sweep.port_ranges import told_apart
from bascule.topology.sweep.sweep import Exchange, Sweep, exchange_of
from bascule.topology.trace.answer import Certainty, of_range, worst
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.lines import Translate
from bascule.verify.reachability.all_pairs.large_pairs import LargePairs
from bascule.verify.reachability.other_hosts import decisive, hosts_between, hosts_of, parts
from bascule.verify.reachability.participant import HostModel, Participant
from bascule.verify.reachability.question import (
    AnsweredQuestion,
    all_ends,
    as_read,
    ask_each_port,
    ways_between,
)

UNKNOWN_EXCHANGE = Exchange(Certainty.UNKNOWN, Certainty.UNKNOWN, Certainty.UNKNOWN)


class PairAnswer(Struct, frozen=True):
    """An exchange, and whether the largest packets of it get through as well, where small ones do."""

    exchange: Exchange
    large: Certainty = Certainty.YES


class PairQuestions:
    """Who is alike, and what is said of two names. The first of ``hosts`` is asked, the others for their part of it."""

    def __init__(self, hosts: Sequence[HostModel], services: Sequence[Service]) -> None:
        self.hosts = hosts
        ends = {one.here: all_ends(one.network, one.known.values()) for one in hosts}
        every = [end for some in ends.values() for end in some]
        self.services = {one: told_apart([host.network for host in hosts], every, one) for one in services}
        traffics = [traffic_of(part) for some in self.services.values() for part in some]
        self._sweeps = {one.here: Sweep(one.network, ends[one.here], traffics) for one in hosts}
        self._large = {one.here: LargePairs(self._sweeps[one.here], ends[one.here]) for one in hosts}
        self._translating = {one.here for one in hosts if _translates(one.network)} | {
            here for here, some in ends.items() if any(flow.hides for end in some for flow in end.passes or ())
        }
        told = (name for one in hosts for name, party in one.known.items() if party.addresses)
        self.names = tuple(dict.fromkeys(told))
        self.classes = self._alike()

    def _alike(self) -> tuple[tuple[str, ...], ...]:
        """Classes of those whom no rule, no port and no route of any host tells apart."""
        found = grouped((tuple(self._known_as(one, name) for one in self.hosts), name) for name in self.names)
        return tuple(tuple(names) for names in found.values())

    def _known_as(self, given: HostModel, name: str) -> Any:
        party = given.known.get(name)
        if party is None or party.note or party.is_host or len(party.ends) > 1:
            return name
        if party.further or (not party.elsewhere and (party.is_beyond or not party.ends)):
            return name
        sweep = self._sweeps[given.here]
        return party.elsewhere, party.is_beyond, *(sweep.class_of(end) for end in party.ends)

    def between(self, given: HostModel, source: str, target: str) -> list[tuple[Service, PairAnswer]]:
        """What is said of two by each service, as far as that is a host's to say."""
        homes = hosts_of(self.hosts, source, target)
        across = hosts_between(self.hosts, source, target)
        by, of = given.known.get(source), given.known.get(target)
        if homes and given not in homes:
            return []
        if not across and (by is None or of is None or (by.is_outside and of.is_outside)):
            return []  # between those is not this host's to say
        found = []
        for service, some in self.services.items():
            told = [self._across(across, source, target, one) if across else self._on(given, by, of, one)
                    for one in some]  # fmt: skip
            found += [(service, _together([one for one in told if one is not None]))] if None not in told else []
        return found

    def walked(self, source: str, target: str, service: Service) -> list[AnsweredQuestion]:
        """The walks of one pair, for each part of a range of ports. Raises UsageFault."""
        if across := hosts_between(self.hosts, source, target):
            return [decisive(parts(across, source, target, one))[1] for one in self.services[service]]
        host = (*hosts_of(self.hosts, source, target), *self.hosts)[0]
        return ask_each_port(host.network, host.known, host.known[source], host.known[target], service)

    def _on(self, given: HostModel, by: Participant | None, of: Participant | None, part: Service) -> PairAnswer | None:
        """What one host says; None where there is no way at all between the two."""
        if by is None or of is None or not (found := self._best(given, by, of, part)):
            return None
        there = by.elsewhere or of.elsewhere or by.is_beyond or of.is_beyond
        if there:  # what the other host of a pair does was not seen, nor a router
            return PairAnswer(_each(found.exchange, lambda one: Certainty.UNKNOWN if one.passes else one))
        return found

    def _best(
        self,
        given: HostModel,
        by: Participant,
        of: Participant,
        part: Service,
        address: tuple[int, int] | None = None,
    ) -> PairAnswer | None:
        """The best of all ways between two on a host, or of those to one address."""
        sweep, traffic = self._sweeps[given.here], traffic_of(part)
        ways = [one for one in ways_between(given.network, by, of) if address in {None, one[2:]}]
        if not ways:
            return None
        best, way = min(((sweep.answer(*one, traffic), one) for one in ways), key=lambda one: _order(one[0]))
        large = self._large[given.here].result(*way, traffic) if best.result.passes else Certainty.YES
        further = by.may_meet(of)

        def told(result: Certainty) -> Certainty:  # whom it does not reach here it may reach at another address
            lost = further and result is Certainty.NO
            return Certainty.UNKNOWN if lost else as_read(result, given.network)

        return PairAnswer(_each(best, told), large)

    def _across(self, across: Sequence[HostModel], source: str, target: str, part: Service) -> PairAnswer:
        """What two hosts say together: the best by one of the target's addresses."""
        here, there = across
        found: list[tuple[PairAnswer, PairAnswer]] = []
        if source in there.known and target in here.known:
            for address in here.known[target].addresses:
                first, second = (self._best(one, one.known[source], one.known[target], part, address) for one in across)
                if first is not None:  # what is unknown here is asked no further, nor one that is not there yet
                    unknown = first.exchange.result is Certainty.UNKNOWN
                    found.append((first, first if unknown else second or PairAnswer(UNKNOWN_EXCHANGE)))
        leaves = any(first.exchange.result.passes for first, _ in found)
        if not found or (leaves and here.here in self._translating):
            return PairAnswer(_walked(across, source, target, part))
        return min((_both(*one) for one in found), key=lambda one: _order(one.exchange))


def traffic_of(service: Service) -> Traffic:
    """The packets of a service, by the first of its ports."""
    return Traffic(protocol=service.protocol, port=service.first)


def _translates(network: HostNetwork) -> bool:
    """Whether a host may give packets other addresses, so that only a walk tells as whom they leave it."""
    return bool(network.balanced) or any(
        isinstance(part, Translate) for line in network.rules.lines for part in line.parts
    )


def _walked(across: Sequence[HostModel], source: str, target: str, part: Service) -> Exchange:
    try:
        found = parts(across, source, target, part)
    except UsageFault:  # one of them has no address that the other could ask for
        return UNKNOWN_EXCHANGE
    result = decisive(found)[1].answer.result
    each = [exchange_of(asked.answer) for _, asked in found]
    if len(each) < len(across):
        return replace(each[0], result=result, reply=Certainty.UNKNOWN)
    return replace(_worst(each), result=result)


def _both(first: PairAnswer, second: PairAnswer) -> PairAnswer:
    return PairAnswer(_worst([first.exchange, second.exchange]), worst([first.large, second.large]))


def _worst(each: Sequence[Exchange]) -> Exchange:
    kinds = ([one.result for one in each], [one.request for one in each], [one.reply for one in each])
    return Exchange(*map(worst, kinds))


def _each(found: Exchange, changed: Callable[[Certainty], Certainty]) -> Exchange:
    return Exchange(changed(found.result), changed(found.request), changed(found.reply))


def _together(told: Sequence[PairAnswer]) -> PairAnswer:
    """What is said of a range of ports: perhaps, where not all have the same answer."""
    each = [one.exchange for one in told]
    kinds = ([one.result for one in each], [one.request for one in each], [one.reply for one in each])
    return PairAnswer(Exchange(*map(of_range, kinds)), of_range(one.large for one in told))


def _order(found: Exchange) -> tuple[int, ...]:
    return found.result.rank, found.request.rank, found.reply.rank
