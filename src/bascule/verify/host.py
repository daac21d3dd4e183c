"""All checks of a host: what must be so, read from its state and asked with real frames."""

from __future__ import annotations

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.observe.firewall import read_firewall
from bascule.plan.change import Plan
from bascule.probe.domain import ProbeDomain
from bascule.verify.checks import Check
from bascule.verify.doctor.firewall.all_looks import check_firewall
from bascule.verify.endpoints import Endpoints
from bascule.verify.guests import check_guests
from bascule.verify.networks import check_networks, check_servers
from bascule.verify.power import NONE_OFF, GuestsOff
from bascule.verify.state import StateChecks, check_links
from bascule.verify.wire.mirrors import check_mirrors
from bascule.verify.wire.routing import check_routing


def check_host(
    site: Site,
    host: Host,
    state: HostState,
    probe_domain: ProbeDomain,
    plan: Plan,
    off: GuestsOff = NONE_OFF,
) -> tuple[Check, ...]:
    """All checks of one host: its state held against ``plan``, which is made from it, then each guest with real frames.

    ``off`` are the guests that do not run, of which nothing is asked. Raises NotPermitted, MissingTool or CommandFailed
    where the host cannot be read or asked.
    """
    return (
        *check_state(site, host, state, plan, off),
        *_firewall(site, host, state, probe_domain),
        *check_servers(site, host, state, probe_domain),
        *check_guests(site, host, state, probe_domain, off),
        *check_mirrors(site, host, probe_domain, off),
        *check_routing(site, host, state, probe_domain, Endpoints(site, probe_domain)),
    )


def check_state(site: Site, host: Host, state: HostState, plan: Plan, off: GuestsOff = NONE_OFF) -> tuple[Check, ...]:
    """The half that needs no frames: a host's state held against ``plan``, which is made from it."""
    facts = StateChecks(plan, off)
    half = (*check_links(site, host, state, facts), *check_networks(site, host, state, facts))
    return (*half, *facts.rest())


def _firewall(site: Site, host: Host, state: HostState, probe_domain: ProbeDomain) -> tuple[Check, ...]:
    """Others' rules on the way of its guests' frames."""
    with probe_domain.hosts[host.name].entered():
        network = read_firewall(state)
    return tuple(check_firewall(site, host, network)) if network.rules.filters else ()
