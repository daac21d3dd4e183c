"""One question: FROM and TO as a person writes them, and the best way that there is between them. Pure."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.model.values import Service, parse_mac
from bascule.topology.sweep.port_ranges import told_apart
from bascule.topology.trace.answer import Blocker, Certainty, Code, Leg, Reachability, Stage
from bascule.topology.trace.ends.wire_ends import sending
from bascule.topology.trace.large_packets import LargePacket, LargePacketWalk
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic, text_of
from bascule.topology.trace.rules.lines import CHANGING
from bascule.topology.trace.rules.values import mac as mac_number
from bascule.topology.trace.walk import Walks
from bascule.verify.reachability.participant import Participant
from bascule.verify.reachability.parties import heard, learned_addresses, somebody

Known = Mapping[str, Participant]


class AnsweredQuestion(Struct, frozen=True, kw_only=True):
    """A question with its answer; ``source`` and ``target`` are the NICs between which it was asked, None the host."""

    by: Participant
    of: Participant
    traffic: Traffic
    answer: Reachability
    source: WireEnd | None = None
    target: WireEnd | None = None
    address: int = 0
    version: int = 4
    service: Service = Service("icmp")  # of its ports, which all have the same answer, the traffic has the first one

    @property
    def packet(self) -> str:
        """The first packet, as one that is asked about: ``10.0.0.5 → 10.0.0.6 tcp/22, in by web.0``."""
        own = self.source.addresses if self.source is not None else ()
        near = next((number for number, version, _ in own if version == self.version), None)
        sender = self.by.name if near is None else text_of(self.version, near)
        enters = f", in by {self.source.port}" if self.source is not None else ", of the host itself"
        return f"{sender} → {text_of(self.version, self.address)} {self.traffic}{enters}"


def party_of(word: str, known: Known, network: HostNetwork, here: str) -> Participant:
    """Who is meant by a name, an address or a MAC. Raises UsageFault."""
    if word in known:
        return known[word]
    if word == "host":
        return known[here]
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        pass
    else:
        return _at(word, address.version, int(address), known, network, here)
    try:
        number = mac_number(parse_mac(word))
    except ValueError:
        close = difflib.get_close_matches(word, list(known), 1)
        names = ", ".join(list(known)[:12])
        hint = f"did you mean '{close[0]}'?" if close else f"an address, a MAC, or one of: {names}"
        raise UsageFault.of("ENDPOINT", f"there is no host, guest or machine called '{word}'", hint=hint) from None
    for party in known.values():
        if any(end.mac == number for end in party.ends):
            return party
    entry = next((one for one in network.fdb if one.mac == number), None)
    numbers = learned_addresses(network).get(number, ())
    if entry is None or not numbers:
        missing = "no bridge has learned it" if entry is None else "no address of it is known"
        raise UsageFault.of("ENDPOINT", f"the MAC {word} cannot be asked for: {missing}")
    version, value = numbers[0]
    end = WireEnd(
        name=word,
        port=entry.port,
        mac=number,
        addresses=((value, version, 24 if version == 4 else 64),),
        routes_known=False,
    )
    return Participant(name=word, ends=(end,), addresses=numbers)


def _at(word: str, version: int, number: int, known: Known, network: HostNetwork, here: str) -> Participant:
    for party in known.values():
        if (version, number) in party.addresses:
            return Participant(
                name=f"{party.name} ({word})",
                ends=tuple(end for end in party.ends if end.owns(version, number)),
                addresses=((version, number),),
                is_host=party.is_host,
                note=party.note,
            )
    if (version, number) in network.own_addresses:
        return Participant(name=f"{here} ({word})", addresses=((version, number),), is_host=True)
    end = somebody(network, known.values(), version, number, word)
    if end is None:
        hint = _why_nowhere(network, version, number)
        raise UsageFault.of("ENDPOINT", f"nothing is known of {word} here", hint=hint)
    return Participant(name=word, ends=network.everywhere(end), addresses=((version, number),))


def _why_nowhere(network: HostNetwork, version: int, number: int) -> str:
    """Why it is not known where somebody is whom the host has not heard."""
    hop = network.routes(version).find(number)
    link = network.link(hop.link) if hop.kind == "unicast" else None
    if link is not None and link.is_bridge:
        words = f"a route leads there by {link.name}, and by which of its ports is not known"
        return f"{words}: send something there first, and {link.name} learns it"
    return "it is on no network of this host and no route leads to it, so it is not known where it is"


def walks_of(network: HostNetwork, known: Known, *others: Participant) -> Walks:
    """The walks between those who are known, and others."""
    return Walks(network, all_ends(network, (*known.values(), *others)))


def ask(
    network: HostNetwork,
    known: Known,
    by: Participant,
    of: Participant,
    service: Service,
    walks: Walks | None = None,
) -> AnsweredQuestion:
    """The best of all ways between two: of their NICs and addresses. Raises UsageFault where neither has an address.

    ``walks`` are those between all who are known, for who asks about many of them.
    """
    traffic = Traffic(protocol=service.protocol, port=service.first)
    walks = walks or walks_of(network, known, by, of)
    found = [
        AnsweredQuestion(
            by=by,
            of=of,
            traffic=traffic,
            answer=walks.ask(source, target, address, version, traffic),
            source=source,
            target=target,
            address=address,
            version=version,
            service=service,
        )
        for source, target, version, address in ways_between(network, by, of)
    ]
    there = of.elsewhere or by.elsewhere
    if not found and there and by is not of:
        inner = of if of.elsewhere and not of.ends else by
        words = f"{inner.name} stands on a network of host {inner.elsewhere or there} alone"
        return _unknown(by, of, traffic, f"{words}: what that host forwards is not known")
    if not found:
        if by.name == of.name:
            message = f"{by.name} needs no network to reach itself"
            raise UsageFault.of("ENDPOINT", message, hint="name two: bascule why A B")
        silent = next((party for party in (by, of) if not party.addresses), of)
        reason = f" that {by.name} could use" if silent is of else ""
        message = f"no address of {silent.name} is known{reason}"
        raise UsageFault.of("NO-ADDRESS", message, hint="ask by an address: bascule why A 192.0.2.7")
    best = min(found, key=lambda one: (one.answer.result.rank, len(one.answer.blockers)))
    if best.answer.result is Certainty.NO and by.may_meet(of):
        stop = best.answer.blockers[0].text if best.answer.blockers else ""
        who = of if of.further else by
        text = f"{who.name} has further addresses, of which this host knows nothing; by those that it knows: {stop}"
        return _unknown(by, of, traffic, text)
    told = as_read(best.answer.result, network)
    return best if told is best.answer.result else replace(best, answer=replace(best.answer, result=told))


def ask_each_port(
    network: HostNetwork,
    known: Known,
    by: Participant,
    of: Participant,
    service: Service,
    walks: Walks | None = None,
) -> list[AnsweredQuestion]:
    """An answer for each part of a range of ports that something tells apart from the others. Raises UsageFault."""
    ends = (end for party in known.values() for end in party.ends)
    return [ask(network, known, by, of, one, walks) for one in told_apart((network,), ends, service)]


def worst_port(found: Sequence[AnsweredQuestion]) -> AnsweredQuestion:
    """Of a range of ports the first of those that are stopped most surely."""
    return max(found, key=lambda one: one.answer.result.rank)


def _unknown(by: Participant, of: Participant, traffic: Traffic, text: str) -> AnsweredQuestion:
    """A question that this host cannot answer: a part of the way is not seen from here."""
    why = Blocker(code=Code.UNKNOWN_OUTSIDE, subject=of.elsewhere or by.elsewhere or of.name, text=text)
    stage = Stage(name="other host", verdict="unknown", words=text, blockers=(why,))
    leg = Leg(name="new", stages=(stage,), result=Certainty.UNKNOWN, delivered=Certainty.UNKNOWN, fields={})
    return AnsweredQuestion(by=by, of=of, traffic=traffic, answer=Reachability(result=Certainty.UNKNOWN, legs=(leg,)))


def large_packets(network: HostNetwork, known: Known, asked: AnsweredQuestion) -> tuple[LargePacket, ...]:
    """What becomes of the largest packets, where small ones pass and those do not fit."""
    if not asked.answer.result.passes:
        return ()
    walks = walks_of(network, known, asked.by, asked.of)
    walk = LargePacketWalk(walks, asked.source, asked.target, asked.address, asked.version, asked.traffic, 0)
    return walk.large_packets()


def as_read(result: Certainty, network: HostNetwork) -> Certainty:
    """What is said where rules could not be read: nobody knows whether one of them drops what else would pass.

    Where they changed all the while that they were read, nobody knows of those that were seen either.
    """
    unread = network.rules.unread
    return Certainty.UNKNOWN if CHANGING in unread or (result.passes and unread) else result


def all_ends(network: HostNetwork, known: Iterable[Participant]) -> list[WireEnd]:
    """Who stands on the wires: those who are known, and at other addresses those whom the host has heard there."""
    found = distinct(end for party in known for end in party.ends)
    owned = {(version, number) for end in found for number, version, _ in (*end.addresses, *end.router)}
    return [*found, *(each for end in heard(network, owned) for each in network.everywhere(end))]


def distinct(ends: Iterable[WireEnd]) -> list[WireEnd]:
    """Without those that stand there twice."""
    found: dict[tuple[str, str, int], WireEnd] = {}
    for end in ends:
        found.setdefault((end.name, end.port, end.mac), end)
    return list(found.values())


def ways_between(
    network: HostNetwork, by: Participant, of: Participant
) -> Iterator[tuple[WireEnd | None, WireEnd | None, int, int]]:
    """The NICs, the IP version and the address by which one asks another; None for the host itself."""
    sources: Sequence[WireEnd | None] = (None,) if by.is_host else by.ends
    for source in sources:
        versions = {kind for _, kind, _ in source.addresses} if source else {kind for kind, _ in by.addresses} | {4, 6}
        if of.is_host:
            yield from (
                (source, None, *one)
                for one in _nearest(network, source, of)
                if one[0] in versions and (source is None or source in sending(by.ends, *one))
            )
            continue
        for target in of.ends:
            if target is source:
                continue
            for number, version, _ in target.addresses:
                known = version in versions and (version, number) in of.addresses
                if known and (source is None or source in sending(by.ends, version, number)):
                    yield source, target, version, number


def _nearest(network: HostNetwork, source: WireEnd | None, of: Participant) -> Sequence[tuple[int, int]]:
    """The host's addresses on the sender's own segment, else all of them."""
    if source is None:
        return of.addresses
    segment = network.bridge_of(source.port) or source.port
    near = [one for one in of.addresses if segment in network.own_addresses.get(one, ())]
    return near or of.addresses
