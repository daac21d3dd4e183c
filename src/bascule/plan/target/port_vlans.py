"""Which VLANs the ports of a VLAN-aware bridge carry."""

from __future__ import annotations

from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.host_links import DeclaredPort
from bascule.model.state import PortVlans, tagged_vlans, vlan_numbers
from bascule.model.values import NO_VLAN
from bascule.plan.target.builder import TargetBuilder
from bascule.topology.layer2 import UNTAGGED

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
    port, vids = declared.link, vlan_numbers(declared.vlans)
    joined = build.host.joined(bridge) if declared.for_guests else ()
    for nic in (nic for each in joined for nic in build.site.nics_on(build.host.name, each.name)):
        vids |= {nic.vlan} if nic.vlan is not None else set()
        vids |= vlan_numbers(nic.vlans)
    native = bridge.native if declared.pvid is None else declared.pvid
    tagged, takes_all = bridge.native_tagged and declared.for_guests, declared.pvid != NO_VLAN
    own = (PortVlans(first=native, last=native, pvid=True, untagged=not tagged),) if takes_all else ()
    wanted = (*own, *tagged_vlans(vids - {native}))
    before = build.observed.links.get(port)
    if build.host.as_found and before is not None and before.master == bridge.name and before.vlans:
        kept = [one for one in before.vlans if takes_all or not one.pvid]
        held = vlan_numbers((one.first, one.last) for one in kept)
        said = own if declared.pvid is not None and native not in held else ()
        wanted = (*kept, *said, *tagged_vlans(vids - held - {native}))
    build.set(port, vlans=tuple(sorted(wanted, key=lambda one: one.first)))
