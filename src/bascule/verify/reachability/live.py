"""Why one does not reach another on this host, or on one whose state was saved or is wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.ruleset.owners import BASCULE, owner
from bascule.model.values import Service
from bascule.policy.guards.flows import COOKIE
from bascule.topology.trace.answer import Blocker, Certainty
from bascule.topology.trace.large_packets import LargePacket
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import Decision
from bascule.topology.trace.rules.openflow_tables import OWNER
from bascule.verify.reachability.fixes import Fix, fixes
from bascule.verify.reachability.other_hosts import as_seen_here, decisive, parts
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.places import UNKNOWN, Places
from bascule.verify.reachability.question import AnsweredQuestion, ask_each_port, large_packets, party_of, worst_port

YOU = "you"
SHOWN = 8  # stretches of a range of ports that are named


class WhyAnswer(Struct, frozen=True, kw_only=True):
    """An answer with what belongs to it: fixes, and how long the model took, in seconds."""

    asked: AnsweredQuestion
    service: Service
    fixes: tuple[Fix, ...]
    network: HostNetwork
    places: Places
    model_s: float
    where: str  # this host, the state that the file wants, or a saved one
    declared: Mapping[str, str] = {}  # where the site file declares the NIC or network of a link, by the link
    notes: tuple[str, ...] = ()  # which host's part of the way this is, where there are two
    large: tuple[LargePacket, ...] = ()  # the largest packets, where small ones pass and those do not fit

    @property
    def result(self) -> Certainty:
        """The verdict."""
        return self.asked.answer.result

    def owner(self, blocker: Blocker) -> str:
        """Whose rule it is: a program's, or the administrator's."""
        if blocker.chain is None:
            return BASCULE if blocker.fields.get(OWNER) == COOKIE else ""
        line = blocker.hit.line if blocker.hit else None
        own = blocker.hit.chain if blocker.hit else blocker.chain
        targets = [
            part.target
            for one in (blocker.chain.lines if line is None else (line,))
            for part in one.parts
            if isinstance(part, Decision) and part.target
        ]
        return owner(own.table, own.name, line.comment if line else "", targets) or YOU

    def place(self, blocker: Blocker) -> str:
        """The file and line of it, where one is known."""
        if blocker.chain is None and self.owner(blocker) != BASCULE:
            return ""
        if self.owner(blocker) == BASCULE:  # our tables are made from the file: by the NIC or network at the link
            links = (blocker.fields.get("meta iifname"), blocker.fields.get("meta oifname"))
            return next((self.declared[str(link)] for link in links if link in self.declared), UNKNOWN)
        assert blocker.chain is not None  # all else of ours is in tables
        return self.places.of(blocker.chain, blocker.hit)


def why(given: HostModel, source: str, target: str, service: Service, *, root: str = "/") -> WhyAnswer:
    """Ask. Raises UsageFault for somebody who is nobody here."""
    by = party_of(source, given.known, given.network, given.here)
    of = party_of(target, given.known, given.network, given.here)
    places = Places(root)
    begun = time.perf_counter()
    each = [as_seen_here(one) for one in ask_each_port(given.network, given.known, by, of, service)]
    found = answered(given, worst_port(each), service, places, begun)
    return replace(found, notes=tuple(_of_range(service, each)))


def _of_range(service: Service, each: Sequence[AnsweredQuestion]) -> Iterator[str]:
    """Which ports of a range have which answer, where they have not the same."""
    results = dict.fromkeys(one.answer.result for one in each)
    for result in results if len(results) > 1 else ():
        ports = [str(one.service).partition("/")[2] for one in each if one.answer.result is result]
        yield f"of {service} {result.value}: {', '.join(ports[:SHOWN])}{' …' if len(ports) > SHOWN else ''}"


def why_between(
    between: Sequence[HostModel], source: str, target: str, service: Service, *, root: str = "/"
) -> WhyAnswer:
    """Ask two hosts, each for its part of the way; the answer is that of the one that decides. Raises UsageFault."""
    begun = time.perf_counter()
    found = parts(between, source, target, service)
    given, asked = decisive(found)
    named = replace(asked, by=replace(asked.by, name=source), of=replace(asked.of, name=target))
    also = tuple(
        f"host {one.here} passes it" for one, part in found if one is not given and part.answer.result == "yes"
    )
    return replace(
        answered(given, named, service, Places(root), begun), notes=(f"the part of host {given.here}", *also)
    )


def answered(given: HostModel, asked: AnsweredQuestion, service: Service, places: Places, begun: float) -> WhyAnswer:
    """An answer with what belongs to it."""
    large = large_packets(given.network, given.known, asked)
    took = time.perf_counter() - begun
    return WhyAnswer(
        asked=asked,
        service=service,
        fixes=fixes(given.network, given.known, asked, service, places.libvirt_forward),
        network=given.network,
        places=places,
        model_s=took,
        where=given.where,
        declared=given.declared,
        large=large,
    )
