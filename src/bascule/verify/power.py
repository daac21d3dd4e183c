"""Which guests of a host are off or halted: nothing can be asked of them, and nothing is wrong with the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bascule.model.links import Tap
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import grouped
from bascule.providers.registry import PROVIDERS

GuestsOff = Mapping[str, str]  # a word for each: off, paused, crashed, suspended
NONE_OFF: GuestsOff = MappingProxyType({})


def guests_off(site: Site, host: Host, state: HostState) -> GuestsOff:
    """The guests that whoever runs them calls halted, and those that nobody says to run and none of whose NICs is held.

    A guest without a NIC leaves no trace here, and counts as on.
    """
    running = {name: halted for provider in PROVIDERS for name, halted in provider.running(state).items()}
    nics = grouped((nic.guest, nic) for nic in site.guest_nics(host.name))
    found = {}
    for guest, some in nics.items():
        if guest in running:
            found[guest] = running[guest]
        elif not any(_is_held(nic, state) for nic in some):
            found[guest] = "off"
    return {guest: word for guest, word in found.items() if word}


def are_off(guests: Iterable[str], off: GuestsOff) -> str:
    """``a and b are off and c is paused``: of these guests those that are, each with its word; "" for none."""
    by_word = grouped((off[name], name) for name in guests if name in off)
    parts = [f"{' and '.join(some)} {'are' if len(some) > 1 else 'is'} {word}" for word, some in by_word.items()]
    return " and ".join(parts)


def _is_held(nic: GuestNic, state: HostState) -> bool:
    """Whether a process has the NIC open: its tap is there, and an up one has a carrier (drivers/net/tun.c)."""
    if nic.shared_nic:
        return any(link.mac == nic.mac for link in state.links.values())
    link = state.links.get(nic.tap)
    if link is None:
        return False
    return not isinstance(link.options, Tap) or link.facts.carrier or not link.up
