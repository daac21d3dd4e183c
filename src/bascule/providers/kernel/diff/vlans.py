"""How the VLANs of a bridge and its ports change: per VLAN, so that no other one misses a frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.links import Bridge
from bascule.model.state import HostState, Link, PortVlans, default_vlans, tagged_vlans, vlan_ranges
from bascule.model.values import IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, step

VIDS = range(1, 4095)
Flags = tuple[bool, bool]  # of one VLAN: whether it is the PVID, whether it leaves untagged


def vlan_steps(old: Link, new: Link, before: HostState, after: HostState) -> Iterator[Step]:
    """What is new first, then what is no more: a port that changes its VLAN is never without one."""
    bridge = new if new.is_bridge else after.master_of(new)
    if bridge is None or not isinstance(bridge.options, Bridge) or not bridge.options.by_kernel:
        return  # the kernel forgets the VLANs of a port that leaves
    joins = new is not bridge and (old.master != new.master or bridge.name not in before.links)
    if joins and not bridge.options.vlan_filtering:
        return  # it gets what every port gets, and that is all it shall have
    start = _spread(default_vlans(bridge.options.vlan_default_pvid)) if joins else _held(old, before.links)
    goal = _held(new, after.links)
    if start == goal:
        return
    removed = [vid for vid in start if vid not in goal]
    changed = [vid for vid in start if vid in goal and goal[vid] != start[vid]]
    added = {vid: flags for vid, flags in goal.items() if start.get(vid) != flags}
    own = ("self",) if new is bridge else ()
    without = tagged_vlans(removed)
    commands = (
        *(_command("add", new.name, vlan, *_flags(vlan), *own) for vlan in vlan_ranges(added)),
        *(_command("del", new.name, vlan, *own) for vlan in without),
    )
    words = ", ".join(vlan_words(vlan) for vlan in vlan_ranges(goal)) or "none"
    cuts = (removed or changed) and not joins  # who takes a VLAN from a working port cuts it off
    yield step(
        Phase.PORT, new.name, f"VLANs {words}", *commands, risk=Risk.DETACHES if cuts else Risk.ADDITION, about="vlans"
    )


def port_words(name: str, vlans: tuple[PortVlans, ...]) -> list[str]:
    """Lines for ``bridge -batch`` that give a port exactly these VLANs, whatever it had."""
    wanted = _spread(vlans)
    words = [str(_command("add", name, vlan, *_flags(vlan))) for vlan in vlan_ranges(wanted)]
    gaps = tagged_vlans(vid for vid in VIDS if vid not in wanted)
    words += [str(_command("del", name, vlan)) for vlan in gaps]
    return [line.removeprefix("bridge ") for line in words]


def _command(verb: str, name: str, vlan: PortVlans, *words: str) -> Command:
    return Command("bridge", ("vlan", verb, "dev", name, "vid", vlan.span, *words))


def _flags(vlan: PortVlans) -> tuple[str, ...]:
    return (*(("pvid",) if vlan.pvid else ()), *(("untagged",) if vlan.untagged else ()))


def _held(link: Link, links: Mapping[IfName, Link]) -> dict[int, Flags]:
    """A bridge that does not filter keeps VLANs all the same, and they count from when it does."""
    bridge = link if link.is_bridge else links.get(link.master) if link.master is not None else None
    if bridge is None or not isinstance(bridge.options, Bridge):
        return {}
    return _spread(link.vlans if bridge.options.vlan_filtering else default_vlans(bridge.options.vlan_default_pvid))


def _spread(vlans: tuple[PortVlans, ...]) -> dict[int, Flags]:
    return {vid: (vlan.pvid, vlan.untagged) for vlan in vlans for vid in range(vlan.first, vlan.last + 1)}


def vlan_words(vlan: PortVlans) -> str:
    """A range of VLANs, for people."""
    return vlan.span + (" untagged" if vlan.untagged else " tagged")
