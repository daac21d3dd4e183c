"""How a frame goes from link to link on a host: ports of switches, VLANs, bonds, cables. Pure.

A frame has tags, the outermost first. Where it is, is said by the link and the tags that it bears there, or by the
switch and the VLAN inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bascule.model.links import Bond, Bridge, Veth, Vlan
from bascule.model.state import HostState, Link, PortVlans

Tags = tuple[int, ...]

ALL_VLANS = (PortVlans(first=1, last=1, pvid=True, untagged=True), PortVlans(first=2, last=4094))
UNTAGGED = ALL_VLANS[:1]


class CableEnd(NamedTuple):
    """A NIC, and the tags that a frame bears on its cable: a place where a broadcast domain reaches the host."""

    nic: str
    tags: Tags

    def __str__(self) -> str:
        return self.nic if not self.tags else f"{self.nic} ({tag_words(self.tags)})"


def tag_words(tags: Tags) -> str:
    """``untagged``, ``VLAN 30``, ``VLAN 30 in 100``."""
    if not tags:
        return "untagged"
    return f"VLAN {tags[0]}" if len(tags) == 1 else f"VLAN {'.'.join(map(str, tags[1:]))} in {tags[0]}"


def runs_stp(link: Link) -> bool:
    """Whether a switch cuts loops by itself."""
    return isinstance(link.options, Bridge) and link.options.stp_state != 0


def passes(port: Link, tags: Tags) -> bool:
    """Whether a VLAN-aware switch takes a frame with these tags at a port; without VLAN entries it takes all."""
    if not port.vlans:
        return True
    if not tags:
        return any(entry.pvid for entry in port.vlans)
    return any(entry.first <= tags[0] <= entry.last for entry in port.vlans)


def inside(port: Link, tags: Tags) -> Tags:
    """The VLAN inside a switch of a frame that comes in by a port."""
    pvid = next((entry.first for entry in port.vlans if entry.pvid), None)
    return (pvid,) if not tags and pvid is not None else tags


def outside(port: Link, tags: Tags) -> Tags:
    """The tags with which a frame of a VLAN inside a switch leaves by a port that passes it."""
    plain = any(entry.untagged and entry.first <= tags[0] <= entry.last for entry in port.vlans) if tags else False
    return tags[1:] if plain else tags


def hardware(link: Link, state: HostState) -> Link:
    """What a stack of VLAN links stands on: a NIC or a bond; another link is its own."""
    return _hardware_and_tags(link, state)[0]


def _hardware_and_tags(link: Link, state: HostState) -> tuple[Link, Tags]:
    tags: Tags = ()
    while isinstance(link.options, Vlan) and (parent := state.parent_of(link)) is not None:
        tags = (link.options.id, *tags)
        link = parent
    return link, tags


def carried(port: Link, state: HostState, tags: Iterable[Tags]) -> Iterator[tuple[Tags, CableEnd]]:
    """Which of some tags outside a port joins to which VLAN inside its switch; a bond has a cable for each member."""
    base, outer = _hardware_and_tags(port, state)
    bond = isinstance(base.options, Bond)
    nics = [link.name for link in state.ports(base.name)] if bond else [base.name]
    for tag in tags:
        rest = tag[len(outer) :]
        if tag[: len(outer)] == outer and passes(port, rest):
            yield from ((inside(port, rest), CableEnd(nic, tag)) for nic in nics)


def patched(port: Link, state: HostState) -> Link | None:
    """The port of a switch at the other end of a veth pair, where both ends are ports."""
    peer = state.parent_of(port) if isinstance(port.options, Veth) else None
    master = state.master_of(peer) if peer is not None else None
    return peer if master is not None and master.is_bridge else None
