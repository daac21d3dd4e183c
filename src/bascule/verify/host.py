"""All checks of a host: what must be so, read from its state and asked with real frames."""

from __future__ import annotations

from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.probe.world import World
from bascule.verify.checks import Check, check_links
from bascule.verify.guests import check_guests
from bascule.verify.networks import check_networks


def check_host(site: Site, host: Host, state: HostState, world: World) -> tuple[Check, ...]:
    """All checks of one host: its bridges and NICs from ``state``, then each guest with real frames.

    Raises NotPermitted, MissingTool or CommandFailed where the host cannot be read or asked.
    """
    return (
        *check_links(site, host, state),
        *check_networks(site, host, state, world),
        *check_guests(site, host, state, world),
    )
