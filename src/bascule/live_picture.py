"""What a picture has of this host: what it shows, and what the plan would change."""

from __future__ import annotations

from bascule.apply.options import ANY_DRIVER
from bascule.apply.prepare import look, prepare
from bascule.draw import SeenHost
from bascule.errors import BasculeError
from bascule.model.site import Host, Site


def seen_host(site: Site, host: Host) -> SeenHost:
    """What this host shows, and what the plan would change on it, for the picture."""
    try:
        found = prepare(site, host, choice=ANY_DRIVER)
    except BasculeError as error:
        problems = tuple(problem.message for problem in error.problems)
        return SeenHost(state=look(site, host), problems=problems)
    return SeenHost(state=found.observed, changes=found.plan.changes, notes=found.plan.notes)
