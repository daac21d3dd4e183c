"""Expectations that the site file itself contradicts, with the line of it that does. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from bascule.errors import Place, Problem
from bascule.model.ruleset.owners import BASCULE, owner
from bascule.model.site import Expectation, Machine, Site, Verdict
from bascule.model.site_place import NOWHERE
from bascule.topology.graph import Topology
from bascule.topology.trace.answer import UNKNOWN, Blocker, Certainty, Code
from bascule.topology.trace.declared_way import trace
from bascule.verify.reachability.host_model import rule_places
from bascule.verify.reachability.model_verdict import blocker_words, model_says, walks_by_host
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import AnsweredQuestion

CODE = "EXPECT-CONTRADICTED"
HINT = "one of the two is not what you mean; 'bascule why {} {} {} --wanted --site {}' shows the way"
TOLD_EVERY = 1000  # expectations: a tenth of a second

Cause = tuple[str, Place]


def contradicted(site: Site, hosts: Sequence[HostModel], progress: Callable[[str], object]) -> Iterator[Problem]:
    """A problem for each expectation that cannot hold if the hosts become what the file wants."""
    topology = Topology.of(site)
    places = {name: rule_places(site, site.hosts[name]) for name in site.hosts}
    walks = walks_by_host(hosts)
    for number, expected in enumerate(site.expectations):
        if number % TOLD_EVERY == 0:
            progress(f"expectation {number + 1} of {len(site.expectations)}")
        said = model_says(hosts, expected, walks)
        wants = expected.verdict is Verdict.REACH
        contrary = Certainty.NO if wants else Certainty.YES
        against = [one for one in said.asked if one.answer.result is contrary]  # of a range of ports one is enough
        if against or said.result is contrary:
            words, place = _cause(site, places, expected, against)
            if len(against) < len(said.asked):
                words = f"{', '.join(str(one.service) for one in against)}: {words}"
        elif said.result is Certainty.UNKNOWN and wants and not _awaits(said.asked):
            way = trace(topology, expected.source, expected.target, expected.service)
            if way.reached is not False:
                continue
            words, place = way.end, _plugged(site, expected)[1]
        else:
            continue
        does = "must reach" if wants else "must not reach"
        but = "this file prevents it" if wants else "by this file it does"
        yield Problem(
            code=CODE,
            message=f"'{expected.source}' {does} '{expected.target}' by {expected.service}, and {but}: {words}",
            place=expected.place,
            also=((but if wants else "what lets it through", place),) if place != NOWHERE else (),
            hint=HINT.format(expected.source, expected.target, expected.service, site.source.path or "SITE"),
        )


def _awaits(asked: Sequence[AnsweredQuestion]) -> bool:
    """Whether a host's way hangs on addresses that are not in the file."""
    return any(blocker.code is Code.AWAITED for one in asked for blocker in one.answer.blockers)


def _cause(
    site: Site, places: Mapping[str, Mapping[str, Place]], expected: Expectation, against: Sequence[AnsweredQuestion]
) -> Cause:
    """What of the file decides, and its line."""
    for asked in against:
        for blocker in (one for one in asked.answer.blockers if one.certain and one.code not in UNKNOWN):
            return blocker_words(blocker), _place(site, places, expected, blocker)
        for machine in _routers(site, asked):
            rule = machine.masquerade if machine.masquerade is not None else machine
            words = f"{machine.name} masquerades" if machine.masquerade is not None else f"{machine.name} forwards it"
            return words, rule.place
    return _plugged(site, expected)


def _routers(site: Site, asked: AnsweredQuestion) -> Iterator[Machine]:
    """The machines that hand the first packet on."""
    stages = (stage for leg in asked.answer.legs if leg.name == "new" for stage in leg.stages)
    return (site.machines[stage.where] for stage in stages if stage.name == "router" and stage.where in site.machines)


def _place(site: Site, places: Mapping[str, Mapping[str, Place]], expected: Expectation, blocker: Blocker) -> Place:
    if blocker.subject in site.machines:
        machine = site.machines[blocker.subject]
        flows = (machine.masquerade, *(machine.forwards or ()))
        return next((one.place for one in flows if one is not None), machine.place)
    if blocker.chain is not None and owner(blocker.chain.table, blocker.chain.name) == BASCULE:
        links = (str(blocker.fields.get("meta iifname")), str(blocker.fields.get("meta oifname")))
        known = (named[link] for named in places.values() for link in links if link in named)
        return next(known, _plugged(site, expected)[1])
    return _plugged(site, expected, blocker.subject)[1]


def _plugged(site: Site, expected: Expectation, subject: str = "") -> Cause:
    """Where one of the two is plugged in: the one that is meant, else the target, else the source."""
    names = sorted((expected.target, expected.source), key=lambda name: name not in subject)
    for name in names:
        guest = site.guests.get(name)
        if guest is not None and guest.nics:
            return f"{name} is plugged into {guest.nics[0].into}", guest.nics[0].place
    for name in names:
        place = getattr(site.machines.get(name) or site.hosts.get(name), "place", NOWHERE)
        if place != NOWHERE:
            return f"{name} stands where it is reached", place
    return "where the two stand", expected.place
