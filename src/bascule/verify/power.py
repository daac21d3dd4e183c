"""Which guests of a host are off: nothing can be asked of them, and nothing is wrong with them."""

from __future__ import annotations

from bascule.model.links import Tap
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.providers.registry import PROVIDERS


def guests_off(site: Site, host: Host, state: HostState) -> frozenset[str]:
    """The guests none of whose NICs anybody holds, and which nobody who runs guests says to run.

    A guest without a NIC leaves no trace here, and counts as on.
    """
    running = {name for provider in PROVIDERS for name in provider.running(state)}
    nics: dict[str, list[GuestNic]] = {}
    for nic in site.guest_nics(host.name):
        nics.setdefault(nic.guest, []).append(nic)
    return frozenset(
        guest for guest, some in nics.items() if guest not in running and not any(_is_held(nic, state) for nic in some)
    )


def _is_held(nic: GuestNic, state: HostState) -> bool:
    """Whether a process has the NIC open: its tap is there, and an up one has a carrier (drivers/net/tun.c)."""
    if nic.shared_nic:
        return any(link.mac == nic.mac for link in state.links.values())
    link = state.links.get(nic.tap)
    if link is None:
        return False
    return not isinstance(link.options, Tap) or link.facts.carrier or not link.up
