"""What sits on what, and what the kernel does by itself when something below or above goes away."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from bascule.model.links import Bond
from bascule.model.state import HostState, Link
from bascule.model.values import IfName


def depth(name: str, links: Mapping[IfName, Link]) -> int:
    """How many links are below: 0 for a NIC or a bond, 1 for a VLAN on it, 2 for a VLAN on that one."""
    return len(_below(name, links))


def lowest(name: str, links: Mapping[IfName, Link]) -> IfName:
    """The link on which all those below stand; itself where there are none."""
    return (IfName(name), *_below(name, links))[-1]


def _below(name: str, links: Mapping[IfName, Link]) -> list[IfName]:
    found: list[IfName] = []
    link = links.get(IfName(name))
    while link is not None and link.options.virtual and link.parent is not None and len(found) < len(links):
        found.append(link.parent)
        link = links.get(link.parent)
    return found


def carriers(links: Mapping[IfName, Link]) -> set[IfName]:
    """The links that others sit on: those can be set up only after them."""
    return {link.parent for link in links.values() if link.options.virtual and link.parent is not None}


def with_what_sits_on(names: Collection[IfName], links: Mapping[IfName, Link]) -> set[IfName]:
    """The links that the kernel deletes together with these."""
    found = set(names)
    while more := {n for n, x in links.items() if n not in found and x.options.virtual and x.parent in found}:
        found |= more
    return found


def joins_bond(old: Link, new: Link, after: HostState) -> bool:
    """Whether it becomes a member of a bond. The kernel takes a NIC only while it is down."""
    if new.master is None or new.master == old.master:
        return False
    master = after.links.get(new.master)
    return master is not None and isinstance(master.options, Bond) and master.options.by_kernel


def leaves_bond(old: Link, new: Link, before: HostState, deleted: Collection[str]) -> bool:
    """Whether a bond lets go of it; the kernel then sets it down and gives it its own MAC and MTU again."""
    if old.master is None or (old.master == new.master and old.master not in deleted):
        return False
    master = before.links.get(old.master)
    return master is not None and isinstance(master.options, Bond) and master.options.by_kernel


def let_go(old: Link, new: Link, before: HostState, deleted: Collection[str]) -> Link:
    """The link as the kernel leaves it when its master lets go of it; ``deleted`` are gone before all else."""
    if leaves_bond(old, new, before, deleted):
        old = replace(old, up=False, mac=old.hardware_mac)
    return replace(old, master=None, port=None, vlans=()) if old.master in deleted else old
