"""Which VLANs the ports of a VLAN-aware bridge carry."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.site import GuestNic
from bascule.model.state import PortVlans
from bascule.model.values import IfName
from bascule.plan.target.builder import TargetBuilder

UNTAGGED = (PortVlans(first=1, last=1, pvid=True, untagged=True),)  # what the kernel gives to every port


def learn_vlans(build: TargetBuilder, bridge: IfName) -> None:
    """A bridge that begins to look at tags has had every port on the untagged VLAN all the time, itself included."""
    for name, link in build.observed.links.items():
        if link.master == bridge and name in build.links:
            build.set(name, vlans=UNTAGGED)
    build.set(bridge, vlans=UNTAGGED)


def lay_trunk(build: TargetBuilder, bridge: DeclaredBridge, port: IfName) -> None:
    """The uplink of a VLAN-aware bridge carries every VLAN of its guests, tagged, and the untagged one."""
    vids: set[int] = set()
    for nic in build.site.guest_nics(build.host.name):
        if nic.bridge == bridge.name:
            vids |= {nic.vlan} if nic.vlan is not None else set()
            vids |= {vid for first, last in nic.vlans for vid in range(first, last + 1)}
    build.set(port, vlans=UNTAGGED + _ranges(vids - {1}))


def port_vlans(nic: GuestNic) -> tuple[PortVlans, ...]:
    """The VLANs of a guest's tap on a VLAN-aware bridge: one access VLAN, or a trunk, or the untagged default."""
    if nic.vlans:
        return _ranges({vid for first, last in nic.vlans for vid in range(first, last + 1)})
    vid = nic.vlan or 1
    return (PortVlans(first=vid, last=vid, pvid=True, untagged=True),)


def _ranges(vids: set[int]) -> tuple[PortVlans, ...]:
    """Tagged VLANs as few ranges."""
    found: list[PortVlans] = []
    for vid in sorted(vids):
        if found and found[-1].last == vid - 1:
            found[-1] = replace(found[-1], last=vid)
        else:
            found.append(PortVlans(first=vid, last=vid))
    return tuple(found)
