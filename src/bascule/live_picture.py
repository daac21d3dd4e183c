"""What a picture has of this host: what it shows, and what the plan would change."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.draw import SeenHost
from bascule.errors import BasculeError
from bascule.model.site import Host, Site


def seen_as_found(name: str | None) -> tuple[Site, Mapping[str, SeenHost]]:
    """The machine that we are on, of which nothing is declared."""
    from bascule.host.identity import as_found
    from bascule.providers.observe import observe

    made, found = as_found(name)
    return made, {found.name: SeenHost(state=observe())}


def seen_as_declared(site: Site, host: Host, root: str | None) -> tuple[Site, Mapping[str, SeenHost]]:
    """A site and its host as seen here, its files below ``root``."""
    return site, {host.name: seen_host(site, host, root)}


def seen_host(site: Site, host: Host, root: str | None) -> SeenHost:
    """What this host shows, and what the plan would change on it, for the picture."""
    from bascule.apply.plan_preview import plan_preview
    from bascule.apply.prepare import look
    from bascule.host.identity import compare

    try:
        found = plan_preview(site, host, root)
    except BasculeError as error:
        problems = tuple(problem.message for problem in error.problems)
        state = look(site, host)
        return SeenHost(state=state, problems=problems, other=compare(site, host, state).words)
    other = compare(site, host, found.observed).words
    return SeenHost(state=found.observed, plan=found.plan, other=other)
