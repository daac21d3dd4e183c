"""On which links the administrator's own line to this host runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed, NotPermitted
from bascule.model.links import Physical, Veth
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.observe import carriers
from bascule.system.net.iproute import route_to
from bascule.system.process import proc
from bascule.topology.management import management_path


class Management(Struct, frozen=True, kw_only=True):
    """The line: who sits at the far end, which of our addresses he talks to, and the links that carry it.

    ``through`` says what it comes in by where that is a tunnel, which the links below carry.
    """

    peer: str
    address: str
    device: IfName
    gateway: str = ""
    links: frozenset[str] = frozenset()
    through: str = ""


def ssh_connection() -> tuple[str, str, str, str] | None:
    """The peer's and our address of the SSH session that we were started in, then our port and the peer's.

    sudo and su drop SSH_CONNECTION (sshd(8)), so the processes above us are asked as well.
    """
    environments = (os.environ, *map(proc.environment, proc.ancestors(os.getppid())))
    return next((found for one in environments if (found := _connection(one)) is not None), None)


def _connection(environment: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    words = environment.get("SSH_CONNECTION", "").split()
    return (words[0], words[2], words[3], words[1]) if len(words) == 4 else None


def management(state: HostState) -> Management | None:
    """The administrator's line through this network namespace; None where he sits at the console or elsewhere."""
    connection = ssh_connection()
    if connection is None:
        return None
    peer, _, zone = connection[0].partition("%")
    address = connection[1].partition("%")[0]
    if not any(a.local == address for link in state.links.values() for a in link.addresses):
        return None  # that session ends in another namespace
    try:
        ip_address(peer)
        route = route_to(peer, "from", address, *(("oif", zone) if zone else ()))
        device = IfName(route.get("dev", ""))
        if device == "lo" or route.get("type") == "local":
            return _relayed(state, peer, connection)
    except (ValueError, IndexError, CommandFailed, NotPermitted):
        return None
    if device not in state.links:
        return None
    links = management_path(state, device)
    through, outer = ("", frozenset[str]()) if links & _wires(state) else _outside(state, device)
    return Management(
        peer=peer,
        address=address,
        device=device,
        gateway=route.get("gateway", ""),
        links=links | outer,
        through=through,
    )


def _outside(state: HostState, tunnel: str) -> tuple[str, frozenset[str]]:
    """What carries a tunnel, in words and the links; of one whose far end nothing tells the default route's."""
    known = _carrying(state, carriers.of_link(tunnel))
    defaults = [dev for route in state.routes if route.is_default for _, dev in route.hops]
    guess = [one for dev in defaults if dev != tunnel for one in management_path(state, IfName(dev))]
    if known or not guess:
        return f"the tunnel {tunnel}", known
    return f"the tunnel {tunnel}, if that goes by the default route: its far end is not known", frozenset(guess)


def _wires(state: HostState) -> frozenset[str]:
    """The links that are the end of a cable, or as good as one."""
    return frozenset(str(name) for name, link in state.links.items() if isinstance(link.options, Physical | Veth))


def _carrying(state: HostState, far_ends: Iterable[str]) -> frozenset[str]:
    """The links by which the host sends to the far ends of a tunnel."""
    found: set[str] = set()
    for address in far_ends:
        with contextlib.suppress(ValueError, IndexError, BasculeError):
            device = route_to(address).get("dev", "")
            found |= management_path(state, IfName(device)) if device in state.links else set()
    return frozenset(found)


def _relayed(state: HostState, peer: str, connection: tuple[str, str, str, str]) -> Management | None:
    """A session from this host to itself: the line of the program that relays it, as `ssh -R` does."""
    outer = _carrying(state, carriers.of_connection(peer, connection[3]))
    if not outer:
        return None
    through = "a relay on this host"
    return Management(peer=peer, address=connection[1], device=IfName("lo"), links=outer, through=through)
