"""All checks of a host: what must be so, read from its state and asked with real frames."""

from __future__ import annotations

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.probe.domain import ProbeDomain
from bascule.verify.checks import Check
from bascule.verify.guests import check_guests
from bascule.verify.networks import check_networks, check_servers
from bascule.verify.state import StateFacts, check_links


def check_host(site: Site, host: Host, state: HostState, probe_domain: ProbeDomain, plan: Plan) -> tuple[Check, ...]:
    """All checks of one host: its state held against ``plan``, which is made from it, then each guest with real frames.

    Raises NotPermitted, MissingTool or CommandFailed where the host cannot be read or asked.
    """
    facts = StateFacts(plan)
    state_half = (*check_links(site, host, state, facts), *check_networks(site, host, state, facts))
    return (
        *state_half,
        *facts.rest(),
        *check_servers(site, host, state, probe_domain),
        *check_guests(site, host, state, probe_domain),
    )
