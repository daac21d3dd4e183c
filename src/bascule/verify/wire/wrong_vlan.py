"""Why a VLAN-aware bridge does not pass a guest's frame on, or passes it with a tag that nobody expects. Pure.

A port puts what arrives untagged into its PVID, takes a tag of which it is a member, and sends a VLAN tagged unless it
is told otherwise (IEEE Std 802.1Q, 8.6). What frames should bear outside a port is said by the site file.
"""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.links import Bridge, Vlan
from bascule.model.site import GuestNic, Host
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.topology.layer2 import Tags, inside, outside, passes, tag_words


def lost_inside(host: Host, state: HostState, nic: GuestNic, bridge: str, came: str, out: str) -> Iterator[str]:
    """Why a guest's frame that comes in by one port does not leave by another. A link above the bridge is a port."""
    if (ports := _ports(state, bridge, came, out)) is None or (tags := _expected(host, state, nic, came)) is None:
        return
    first, last = ports
    if first.vlans and not passes(first, tags):
        yield (
            f"{came} is not a member of {tag_words(tags)}"
            if tags
            else f"{came} has no PVID, and takes no untagged frame"
        )
    elif (vlan := inside(first, tags)) and last.vlans and not passes(last, vlan):
        yield f"{came} puts it into {tag_words(vlan)}, of which {out} is no member"
    elif not first.vlans or not last.vlans:
        yield f"{came if not first.vlans else out} is a member of no VLAN"


def wrong_tag(host: Host, state: HostState, nic: GuestNic, bridge: str, came: str, out: str) -> Iterator[str]:
    """With which tag a frame left by a port where another one, or none, is expected."""
    if (ports := _ports(state, bridge, came, out)) is None:
        return
    tags, expected = _expected(host, state, nic, came), _expected(host, state, nic, out)
    if tags is None or expected is None:
        return
    left = outside(ports[1], inside(ports[0], tags))
    if left != expected:
        whom = f" to {nic.guest}" if out == nic.tap else ""
        yield f"{out} sends it{whom} {_as(left)}, where the file means {_as(expected)}"


def _as(tags: Tags) -> str:
    return f"tagged as {tag_words(tags)}" if tags else "untagged"


def _ports(state: HostState, bridge: str, came: str, out: str) -> tuple[Link, Link] | None:
    """The two as ports of the bridge, which is a port of its own for what sits on it; None where it knows no VLAN."""
    own = state.links.get(IfName(bridge))
    if own is None or not isinstance(own.options, Bridge) or not own.options.vlan_filtering:
        return None
    found = [state.links.get(IfName(name)) for name in (came, out)]
    first, last = (own if x is not None and is_above(x, own) else x for x in found)
    return (first, last) if first is not None and last is not None else None


def is_above(link: Link, bridge: Link) -> bool:
    """Whether a link is the bridge itself or a VLAN link on it: what the host itself speaks by."""
    return link.name == bridge.name or (isinstance(link.options, Vlan) and link.parent == bridge.name)


def _expected(host: Host, state: HostState, nic: GuestNic, port: str) -> Tags | None:
    """What a guest's frames bear outside a port, as the file means it; None where they may be of several VLANs."""
    if nic.vlans:
        return None
    if port == nic.tap:
        return ()
    link, bridge = state.links.get(IfName(port)), host.bridges.get(IfName(nic.into))
    if link is not None and bridge is not None and link.parent == bridge.name and isinstance(link.options, Vlan):
        return (link.options.id,)
    if bridge is None or nic.vlan is None or port == bridge.name:
        return ()
    said = next((each.pvid for each in bridge.every_port if each.link == port), None)
    pvid = bridge.native if said is None else said
    return () if nic.vlan == pvid else (nic.vlan,)
