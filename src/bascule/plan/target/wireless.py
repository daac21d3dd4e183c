"""A wireless NIC as an uplink: the access point takes frames of one MAC only, so guests behind it stay mute. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.errors import BasculeError, Place, Problem
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName

WHY = "an access point takes frames of the NIC's own MAC only, so no guest is ever answered"
FIX = "use a wired NIC, or a virtual network (mode: nat or routed)"


class Use(Struct, frozen=True):
    """A NIC that carries guests' own MACs to the wire: what it is, as ``the uplink of br3``, and where that stands."""

    nic: IfName
    words: str
    place: Place
    bridge: IfName | None = None


def uses(site: Site, host: Host) -> Iterator[Use]:
    """Each NIC under a bridge, and each that guests share."""
    for bridge in host.bridges.values():
        for nic in host.uplink_nics(bridge):
            yield Use(nic.name, f"the uplink of {bridge.name}", bridge.place, bridge.name)
    for plug in site.guest_nics(host.name):
        if plug.shared_nic is not None:
            yield Use(plug.shared_nic, f"what {plug.guest} is plugged into", plug.place)


def refuse_wireless(site: Site, host: Host, observed: HostState) -> None:
    """Raise a problem for each wireless one, as far as can be seen.

    One that the kernel has let into the bridge already is an access point itself, or speaks with four addresses.
    """
    problems = []
    for use in uses(site, host):
        link = observed.links.get(use.nic)
        if link is not None and link.facts.wireless and (use.bridge is None or link.master != use.bridge):
            text = f"NIC '{use.nic}' is wireless and {use.words}: {WHY}"
            problems.append(Problem(code="WIRELESS", message=text, place=use.place, hint=FIX))
    if problems:
        raise BasculeError(*problems)
