"""What is asked of a model of a host: of this one as it is, or as it was saved, or as its file wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict, Unpack

from msgspec.structs import replace

from bascule.apply.state_directory import here as state_directory
from bascule.errors import BasculeError, Problem
from bascule.host.identity import choose_host
from bascule.model.site import Expectation, Host, Site, Verdict
from bascule.model.state import HostState
from bascule.model.values import Service, bridge_name
from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.providers.static_fdb import STATIC_FDB
from bascule.providers.static_fdb.state import StaticFdb
from bascule.system.clock import Progress, unseen
from bascule.system.net.netns import Namespace
from bascule.topology.trace.rules.openflow_tables import traces_to_ask
from bascule.verify.reachability.gather import THIS_HOST, gather
from bascule.verify.reachability.live import WhyAnswer, why_between
from bascule.verify.reachability.live import why as ask_why
from bascule.verify.reachability.model_verdict import ModelVerdict, model_says
from bascule.verify.reachability.other_hosts import hosts_between, run_on
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.question import party_of

if TYPE_CHECKING:
    from bascule.apply.prepare import PreparedPlan
    from bascule.verify.checks import Check
    from bascule.verify.reachability.frames import FrameVerdict
    from bascule.verify.reachability.matrix import Matrix

# what plans, and what sends frames, is imported where it is used: most questions need neither, and it takes longer
# to import than to answer them

NOT_IT = {"HOST-OTHER", "NIC-MISSING", "NIC-OTHER"}  # that this machine has other NICs than the file's host


def host_model(
    site: Site | None, host: Host | None, *, here: bool = False, state: HostState | None = None, wanted: bool = False
) -> HostModel:
    """The host with everybody on it; one that this machine is not is taken as the file wants it.

    ``here`` says that this machine is the file's host, where nothing else says so.
    """
    networks = state_directory().state / "networks"
    if state is not None:
        return gather(site, host, networks, state=state, where="the saved state")
    if site is None or host is None:
        return gather(site, host, networks)
    from bascule.apply.options import ANY_DRIVER
    from bascule.apply.prepare import prepare, prepare_from
    from bascule.host.identity import is_here
    from bascule.providers.observe import observe

    lives_here = here or is_here(site, host, observe)
    if lives_here and not wanted:
        return gather(site, host, networks)
    try:
        found = prepare(site, host, choice=ANY_DRIVER) if lives_here else prepare_from(site, host, _bare(site, host))
    except BasculeError as fault:  # a machine that is called so, and is not yet, or no more, as the file has it
        if not NOT_IT.issuperset(problem.code for problem in fault.problems):
            raise
        found = prepare_from(site, host, _bare(site, host))
    return gather(_as_it_runs(found), host, networks, state=found.wanted, where=f"what {site.source.path} wants")


def _as_it_runs(made: PreparedPlan) -> Site:
    """The site with the MACs and taps that the guests of a prepared host have."""
    from bascule.plan.make import site_as_it_runs

    return site_as_it_runs(made.site, made.host, made.observed)


def _bare(site: Site, host: Host) -> HostState:
    """A host with the links that the file names, without bridges that libvirt or others than the kernel make.

    A NIC is the hardware that the file pins.
    """
    from bascule.topology.declared import declared_links

    state = declared_links(site, host)
    switches = {name for name, bridge in host.bridges.items() if not bridge.by_kernel}
    made = {bridge_name(name) for name in host.virtual_networks} | switches
    links = {
        name: replace(link, master=None) if link.master in made else link
        for name, link in state.links.items()
        if name not in made
    }
    for nic in host.nics.values():
        if (link := links.get(nic.name)) is not None and (nic.mac or nic.path):
            facts = replace(link.facts, permanent_mac=nic.mac, bus=nic.path or link.facts.bus)
            links[nic.name] = replace(link, mac=nic.mac or link.mac, facts=facts)
    state = STATIC_FDB.with_part(replace(state, links=links), StaticFdb())
    for provider in SWITCH_PROVIDERS if switches else ():
        state = provider.as_if_there(state)
    return state


class OnHost(TypedDict, total=False):
    """The host that is asked about: this one, or (``wanted``) as its file wants it, or a ``state`` that was saved.

    ``here`` says that this machine is the file's host, where nothing else says so.
    """

    host: str | None
    here: bool
    state: HostState | None
    wanted: bool


def _model(site: Site | None, host: str | None, on: OnHost) -> HostModel:
    chosen = choose_host(site, host) if site is not None else None
    here, state, wanted = on.get("here", False), on.get("state"), on.get("wanted", False)
    return host_model(site, chosen, here=here, state=state, wanted=wanted)


def why(source: str, target: str, service: Service, site: Site | None, root: str, **on: Unpack[OnHost]) -> WhyAnswer:
    """Whether one reaches another by a service, and everything that is in the way."""
    host, wanted = on.get("host"), on.get("wanted", False)
    if wanted and site is not None:
        hosts = _wanted_hosts(site) if len(site.hosts) > 1 else ()
        if between := hosts_between(hosts, source, target):
            return why_between(between, source, target, service, root=root)
        host = host or run_on(hosts, source, target) or None
    given = _model(site, host, on)
    found = ask_why(given, source, target, service, root=root)
    told: dict[tuple[str, str], bool | None] = {}
    while given.where == THIS_HOST and (asked := traces_to_ask(found.asked.answer.blockers) - told.keys()):
        for provider in SWITCH_PROVIDERS:  # behind an answer may be another question
            told |= {each: provider.effects().passes(*each) for each in asked}
        known = {each: answer for each, answer in told.items() if answer is not None}
        given = replace(given, network=replace(given.network, traced=known))
        found = ask_why(given, source, target, service, root=root)
    return found


def probed(found: WhyAnswer) -> FrameVerdict:
    """The same question with real frames, from this host itself."""
    from bascule.verify.reachability.frames import ask_frames

    with Namespace.current(found.asked.by.name) as here:
        return ask_frames(found, here)


def contradictions(site: Site, progress: Progress = unseen) -> tuple[Problem, ...]:
    """The expectations that the file itself contradicts, each with the line that does; no host is looked at."""
    if not site.expectations:
        return ()
    from bascule.verify.reachability.by_file import contradicted

    return tuple(contradicted(site, _wanted_hosts(site), progress))


def _wanted_hosts(site: Site) -> tuple[HostModel, ...]:
    """The hosts as the file wants them; none where one cannot be planned, which plan says."""
    networks = state_directory().state / "networks"
    try:
        from bascule.apply.prepare import prepare_from

        made = [(host, prepare_from(site, host, _bare(site, host))) for host in site.hosts.values()]
        return tuple(
            gather(_as_it_runs(one), host, networks, state=one.wanted, where=f"what {site.source.path} wants")
            for host, one in made
        )
    except BasculeError:
        return ()


def said_of_way(site: Site, source: str, target: str, service: Service, *, live: Host | None = None) -> ModelVerdict:
    """What the model says of one way: on ``live``, which is this host as it is, else on the hosts as the file wants."""
    hosts = _wanted_hosts(site) if live is None else (host_model(site, live, here=True),)
    return model_says(hosts, Expectation(source=source, target=target, service=service, verdict=Verdict.REACH))


def reach(
    site: Site | None,
    services: Sequence[Service],
    sources: Sequence[str],
    targets: Sequence[str],
    **on: Unpack[OnHost],
) -> Matrix:
    """Who reaches whom by which service."""
    from bascule.verify.reachability.matrix import matrix

    host, wanted = on.get("host"), on.get("wanted", False)
    hosts = _wanted_hosts(site) if wanted and site is not None and len(site.hosts) > 1 else ()
    of_all = bool(hosts) and host is None
    asked = hosts[0] if of_all else _model(site, host, on)
    others = tuple(one for one in hosts if one.here != asked.here)
    for name in (*sources, *targets):
        if not any(name in one.known for one in others):
            party_of(name, asked.known, asked.network, asked.here)
    return matrix(asked, site, services=services, sources=sources, targets=targets, others=others, of_all=of_all)


def attacked(site: Site, host: Host, guest: str) -> tuple[Check, ...]:
    """Whether the guard of a guest holds on this host, by hostile frames that reach nobody else."""
    from bascule.apply.options import ANY_DRIVER
    from bascule.apply.prepare import prepare
    from bascule.plan.make import site_as_it_runs
    from bascule.verify.guards.live import check_attacks

    found = prepare(site, host, choice=ANY_DRIVER)
    seen = site_as_it_runs(found.site, found.host, found.observed)
    return tuple(check_attacks(seen, found.host, found.observed, guest))
