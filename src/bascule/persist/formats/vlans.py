"""VLANs as ip(8) and bridge(8) write them, and as names of links tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bascule.model.state import PortVlans
from bascule.persist.config import LinkConfig


def span(vlan: PortVlans) -> str:
    """``10`` or ``10-20``."""
    return str(vlan.first) if vlan.first == vlan.last else f"{vlan.first}-{vlan.last}"


def with_flags(vlan: PortVlans) -> str:
    """``10-20 pvid untagged``, as bridge(8) and NetworkManager have it."""
    return span(vlan) + " pvid" * vlan.pvid + " untagged" * vlan.untagged


def bridge_commands(link: LinkConfig, name: str) -> list[str]:
    """What gives a port, or the bridge itself, its VLANs; ``name`` as the shell takes it."""
    of_bridge = " self" if link.is_bridge else ""
    return [f"bridge vlan add dev {name} vid {with_flags(vlan)}{of_bridge}" for vlan in link.vlans]


def from_name(name: str) -> tuple[str, str]:
    """The link below a VLAN and its number, as ``eth4.30`` says them; ``vlan30`` says the number alone."""
    found = re.fullmatch(r"(.+)\.([0-9]{1,4})|vlan([0-9]{1,4})", name)
    return (found[1] or "", found[2] or found[3]) if found else ("", "")


def without(vlan: PortVlans, vid: int) -> list[PortVlans]:
    """What is left of a range of VLANs without one of them."""
    if not vlan.first <= vid <= vlan.last:
        return [vlan]
    spans = ((vlan.first, vid - 1), (vid + 1, vlan.last))
    return [PortVlans(first=first, last=last) for first, last in spans if first <= last]


def vids(vlans: Iterable[PortVlans]) -> set[tuple[int, bool]]:
    """Each VLAN of a port, and whether it is untagged there."""
    return {(vid, vlan.untagged) for vlan in vlans for vid in range(vlan.first, vlan.last + 1)}
