"""What stands between a NIC and a bridge in the wanted state: bonds, and VLANs on an uplink."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.errors import BasculeError, Place, Problem
from bascule.model.links import Bond, Vlan
from bascule.model.site import Bond as DeclaredBond
from bascule.model.site import Bridge as DeclaredBridge
from bascule.model.state import Link
from bascule.model.values import IfName
from bascule.plan.target.builder import TargetBuilder

MIIMON_MS = 100  # how often a bond looks at its members' carrier


def lay_bond(build: TargetBuilder, bond: DeclaredBond) -> None:
    """A bond with its members. Raises BasculeError when a link of another kind has its name."""
    before, first = build.links.get(bond.name), build.links[bond.nics[0]]
    if before is not None and not isinstance(before.options, Bond):
        raise occupied("NOT-A-BOND", f"'{bond.name}' exists on this host and is no bond", "bond", bond.place)
    options = Bond(miimon=MIIMON_MS)
    if before is not None and isinstance(before.options, Bond):
        rate = before.options.ad_lacp_rate  # the kernel changes it only while the bond is down
        options = replace(options, ad_lacp_rate=rate) if build.made(before) else before.options
    build.links[bond.name] = replace(
        before or Link(name=bond.name, options=options, mac=first.mac, alias=build.mark),
        options=replace(options, mode=bond.mode),
        up=True,
        mtu=bond.mtu or (before or first).mtu,
    )
    build.because(bond.name, f"{bond.name} bonds {', '.join(bond.nics)} ({bond.mode})", bond.place)
    for nic in bond.nics:
        build.enslave(nic, bond.name, None)


def lay_vlan(build: TargetBuilder, bridge: DeclaredBridge, name: IfName, uplink: IfName) -> None:
    """The VLAN of a bridge's uplink. Raises BasculeError when another link has its name."""
    options = Vlan(id=bridge.vlan or 0)
    before = build.links.get(name)
    if before is None:
        parent = build.links[uplink]
        build.links[name] = Link(
            name=name, options=options, parent=uplink, mac=parent.mac, mtu=parent.mtu, alias=build.mark
        )
    elif (before.options, before.parent) != (options, uplink):
        what = f"'{name}' exists on this host and is not VLAN {bridge.vlan} of {uplink}"
        raise occupied("NOT-THE-VLAN", what, None, bridge.place)
    build.because(name, f"{bridge.name} sits on VLAN {bridge.vlan} of {uplink}", bridge.place)


def occupied(code: str, message: str, what: str | None, place: Place) -> BasculeError:
    """A link with a name that the file gives to something else: it is not ours to delete."""
    other = f"name the {what} differently, or " if what else ""
    return BasculeError(Problem(code=code, message=message, place=place, hint=f"{other}take the other link away first"))
