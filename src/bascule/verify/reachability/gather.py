"""Look at what is asked about: this host with its guests, or one whose state was saved or is wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.gather import gather as inventory
from bascule.guests.gather import unread_state
from bascule.guests.inventory import GuestRow
from bascule.host.identity import own_name
from bascule.model.links.plain import Macvtap
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.observe.held import links_on_our_nics
from bascule.observe.packet_path import read_network
from bascule.providers.guest_nics import with_live_taps
from bascule.topology.trace.network import HostNetwork
from bascule.verify.reachability.host_model import model_host, of_state
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.parties import ObservedGuest

THIS_HOST = "this host"


def gather(
    site: Site | None, host: Host | None, networks: Path, *, state: HostState | None = None, where: str = THIS_HOST
) -> HostModel:
    """The host with everybody on it. Raises BasculeError where it cannot be read.

    ``state`` is asked instead of this host, if it is given; ``networks`` is the folder of our own networks' servers.
    """
    name = host.name if host is not None else own_name() or "host"
    if state is not None:
        return model_host(of_state(state, site, host), name, where, site, host)
    network = read_network()
    if closed := unread_state(networks):
        network = replace(network, rules=replace(network.rules, unread=(*network.rules.unread, *closed)))
    rows = _running(networks, network.state)
    network, seated = _with_links_on_our_nics(network)
    if site is not None and host is not None:  # a guest that somebody else made has a tap of libvirt's choice
        site = with_live_taps(site, host, tuple({row.domain.name: row.domain for row in rows}.values()))
    return model_host(network, name, where, site, host, (*_guests(rows), *seated))


def _with_links_on_our_nics(network: HostNetwork) -> tuple[HostNetwork, list[ObservedGuest]]:
    """The host with what sits on its NICs from other namespaces, which none of its own listings shows."""
    names = {link.facts.index: link.name for link in network.state.links.values()}
    links, found = dict(network.state.links), list[ObservedGuest]()
    for one in links_on_our_nics():
        if one.index in names:
            name = IfName(f"{one.whose} ({one.kind} {one.name})")
            links[name] = Link(name=name, options=Macvtap(mode=one.mode), up=True, mac=one.mac, parent=names[one.index])
            found.append(ObservedGuest(name=name, tap=name, mac=one.mac, addresses=one.addresses))
    if not found:
        return network, found
    return replace(network, state=replace(network.state, links=links)), found


def _running(networks: Path, state: HostState) -> tuple[GuestRow, ...]:
    with contextlib.suppress(BasculeError):
        return inventory(networks, state=state).rows
    return ()


def _guests(rows: Iterable[GuestRow]) -> tuple[ObservedGuest, ...]:
    """The guests that run here, by whoever runs them."""
    return tuple(
        ObservedGuest(
            name=row.domain.name,
            tap=row.nic.tap,
            mac=row.nic.mac,
            addresses=tuple(str(one.address) for one in row.addresses),
        )
        for row in rows
        if row.nic is not None and row.nic.tap and row.nic.mac
    )
