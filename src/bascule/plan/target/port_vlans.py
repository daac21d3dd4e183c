"""Which VLANs the ports of a VLAN-aware bridge carry."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.host_links import DeclaredPort
from bascule.model.site import GuestNic
from bascule.model.state import PortVlans, vlan_ranges
from bascule.model.values import NO_VLAN
from bascule.plan.target.builder import TargetBuilder

UNTAGGED = (PortVlans(first=1, last=1, pvid=True, untagged=True),)  # what the kernel gives to every port
EVERY_VLAN = (PortVlans(first=0, last=0, pvid=True, untagged=True), PortVlans(first=1, last=4094))


def learn_vlans(build: TargetBuilder, bridge: DeclaredBridge) -> None:
    """A bridge that begins to look at tags has had every port on the untagged VLAN all the time, itself included.

    The host's own port of one that the kernel does not make hears all of them.
    """
    if not bridge.by_kernel:
        build.set(bridge.name, vlans=EVERY_VLAN)
        return
    for name, link in build.observed.links.items():
        if link.master == bridge.name and name in build.links:
            build.set(name, vlans=UNTAGGED)
    build.set(bridge.name, vlans=UNTAGGED)


def lay_trunk(build: TargetBuilder, bridge: DeclaredBridge, declared: DeclaredPort) -> None:
    """A link of the host under a VLAN-aware bridge carries the VLANs of its guests and of the file, tagged.

    What bears no tag there is in the untagged one, or not taken.
    On a host that is taken as found it keeps what it carries there already: others may have guests on it.
    """
    port, vids = declared.link, _numbers(declared.vlans)
    joined = build.host.joined(bridge) if declared.for_guests else ()
    for nic in (nic for each in joined for nic in build.site.nics_on(build.host.name, each.name)):
        vids |= {nic.vlan} if nic.vlan is not None else set()
        vids |= _numbers(nic.vlans)
    native = bridge.native if declared.pvid is None else declared.pvid
    tagged, takes_all = bridge.native_tagged and declared.for_guests, declared.pvid != NO_VLAN
    own = (PortVlans(first=native, last=native, pvid=True, untagged=not tagged),) if takes_all else ()
    wanted = (*own, *_tagged(vids - {native}))
    before = build.observed.links.get(port)
    if build.host.as_found and before is not None and before.master == bridge.name and before.vlans:
        kept = [one for one in before.vlans if takes_all or not one.pvid]
        held = _numbers((one.first, one.last) for one in kept)
        said = own if declared.pvid is not None and native not in held else ()
        wanted = (*kept, *said, *_tagged(vids - held - {native}))
    build.set(port, vlans=tuple(sorted(wanted, key=lambda one: one.first)))


def _numbers(ranges: Iterable[tuple[int, int]]) -> set[int]:
    return {vid for first, last in ranges for vid in range(first, last + 1)}


def port_vlans(nic: GuestNic, native: int = 1) -> tuple[PortVlans, ...]:
    """The VLANs of a guest's tap on a VLAN-aware bridge: one access VLAN, or a trunk, or the untagged default."""
    if nic.vlans:
        untagged = not nic.native_tagged
        own = () if nic.vlan is None else (PortVlans(first=nic.vlan, last=nic.vlan, pvid=True, untagged=untagged),)
        tagged = _tagged(_numbers(nic.vlans) - ({nic.vlan} if nic.vlan is not None else set()))
        return tuple(sorted((*own, *tagged), key=lambda one: one.first))
    vid = nic.vlan or native
    return (PortVlans(first=vid, last=vid, pvid=True, untagged=True),)


def _tagged(vids: set[int]) -> list[PortVlans]:
    """Tagged VLANs as few ranges."""
    return vlan_ranges(dict.fromkeys(vids, (False, False)))
