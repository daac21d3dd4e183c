"""Bonds and VLAN links in the wanted state: those that the file names, and the VLANs that bridges sit on."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bascule.errors import BasculeError, Place, SiteFault
from bascule.model.host_links import Bond as DeclaredBond
from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.host_links import VlanLink
from bascule.model.links import BOND_KEYS, Bond, Vlan
from bascule.model.state import Link
from bascule.model.values import IfName
from bascule.plan.target.addresses import lay_own_addresses, words_of
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.target.switches import lay_switch_bond

MIIMON_MS = 100  # how often a bond looks at its members' carrier


def lay_bond(build: TargetBuilder, bond: DeclaredBond) -> None:
    """A bond with its members.

    Raises BasculeError when a link of another kind has its name, SiteFault where the file does not know its members.
    """
    if bond.nics_unknown is not None:
        words = f"no members are given for bond '{bond.name}'"
        raise SiteFault.of("UPLINK-UNKNOWN", words, place=bond.nics_unknown, hint="name its members under 'nics'")
    before = build.links.get(bond.name)
    first = build.links[bond.nics[0]] if bond.nics else Link(name=bond.name, options=Bond())
    if not bond.by_kernel:
        lay_switch_bond(build, bond, first)
        return
    if before is not None and not isinstance(before.options, Bond):
        raise occupied("NOT-A-BOND", f"'{bond.name}' exists on this host and is not a bond", "bond", bond.place)
    options = Bond(miimon=MIIMON_MS)
    if before is not None and isinstance(before.options, Bond):
        seen = before.options
        options = replace(  # the kernel changes these only while the bond is down, or has no members
            options, **{name: getattr(seen, name) for name in Bond.fixed - {"mode"}}
        )
        options = options if build.made(before) else seen
    made = before or Link(name=bond.name, options=options, mac=first.mac, alias=build.mark)
    build.links[bond.name] = replace(
        made,
        options=replace(options, mode=bond.mode, **_declared_options(bond)),
        up=True,
        mac=bond.mac or made.mac,
        mtu=bond.mtu or (before or first).mtu,
    )
    told = f"{bond.name} bonds {', '.join(bond.nics)} ({bond.mode})"
    build.because(bond.name, told + words_of(bond), bond.place)
    lay_own_addresses(build, bond)
    for nic in bond.nics:
        build.enslave(nic, bond.name, None)


def _declared_options(bond: DeclaredBond) -> dict[str, Any]:
    """The options that the file says, by the kernel's names; members are watched by their carrier or by ARP."""
    said = {name: getattr(bond, key) for key, name in BOND_KEYS.items()}
    by_arp = {"miimon": 0} if bond.arp_interval else {"arp_interval": 0} if bond.miimon else {}
    told = {name: value for name, value in said.items() if value is not None}
    return by_arp | {name: int(value) if value is True or value is False else value for name, value in told.items()}


def lay_vlan_link(build: TargetBuilder, vlan: VlanLink) -> None:
    """A VLAN link of its own. Raises BasculeError when another link has its name."""
    options = Vlan(id=vlan.id, protocol=vlan.protocol)
    _lay(build, vlan.name, options, vlan.link, vlan.place)
    link = build.links[vlan.name]
    build.set(vlan.name, up=True, mac=vlan.mac or link.mac, mtu=vlan.mtu or link.mtu)
    build.because(vlan.name, f"{vlan.name} is VLAN {vlan.id} of {vlan.link}{words_of(vlan)}", vlan.place)
    lay_own_addresses(build, vlan)


def lay_vlan_below(build: TargetBuilder, bridge: DeclaredBridge, name: IfName, uplink: IfName) -> None:
    """The VLAN of a bridge's uplink. Raises BasculeError when another link has its name."""
    _lay(build, name, Vlan(id=bridge.vlan or 0), uplink, bridge.place)
    build.because(name, f"{bridge.name} is on VLAN {bridge.vlan} of {uplink}", bridge.place)


def _lay(build: TargetBuilder, name: IfName, options: Vlan, below: IfName, place: Place) -> None:
    before = build.links.get(name)
    if before is None:
        parent = build.links[below]
        build.links[name] = Link(
            name=name, options=options, parent=below, mac=parent.mac, mtu=parent.mtu, alias=build.mark
        )
    elif not isinstance(before.options, Vlan) or (before.options.tag, before.parent) != (options.tag, below):
        what = f"'{name}' exists on this host and is not VLAN {options.id} of {below}"
        raise occupied("NOT-THE-VLAN", what, None, place)
    else:
        build.set(name, mtu=min(before.mtu, build.links[below].mtu))  # the kernel lowers it with the link below


def occupied(code: str, message: str, what: str | None, place: Place) -> BasculeError:
    """A link with a name that the file gives to something else: it is not ours to delete."""
    other = f"name the {what} differently, or " if what else ""
    return BasculeError.of(code, message, place=place, hint=f"{other}remove the other link first")
