"""How one link becomes another: made, set, raised."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise

from msgspec.structs import replace

from bascule.model.kernel_parameters import FORWARDING, takes_token
from bascule.model.links import Bond, Bridge, Veth
from bascule.model.links.options import ON_OFF
from bascule.model.state import HostState, Link, default_vlans
from bascule.model.values import NO_MAC, IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.providers.kernel.diff.addresses import address_steps
from bascule.providers.kernel.diff.ports import master_steps, port_steps
from bascule.providers.kernel.diff.vlans import vlan_steps
from bascule.providers.kernel.link_stack import depth, joins_bond, lowest


def must_be_remade(old: Link, new: Link) -> bool:
    """Whether the kernel cannot turn the one into the other in place."""
    if type(old.options) is not type(new.options):
        return True
    return new.options.must_be_remade(old.options) or (new.options.kind == "vlan" and old.parent != new.parent)


def differing(old: Link, new: Link) -> str:
    """What forces the new one, in words."""
    if type(old.options) is not type(new.options):
        return "its kind"
    return " ".join(new.options.arguments(old.options)) or "its parent"


def creation_order(links: Mapping[IfName, Link]) -> list[Link]:
    """What others sit on comes first: bonds, then VLANs, then bridges and VLANs of them, then the rest; by name."""
    rank = {"bond": 0, "vlan": 1, "bridge": 2}

    def order(link: Link) -> tuple[int, int, str]:
        own, above = rank.get(link.options.kind, 4), depth(link.name, links)
        base = links.get(lowest(link.name, links))
        return (3 if own == 1 and base is not None and base.is_bridge else own), above if own == 1 else 0, link.name

    return sorted(links.values(), key=order)


def create(link: Link, links: Mapping[IfName, Link]) -> Step:
    """Make the link with its MAC, and mark it; of a pair both ends."""
    peer = links.get(link.parent) if link.parent and isinstance(link.options, Veth) else None
    words = ["link", "add", *(("link", link.parent) if link.parent and peer is None else ()), "name", link.name]
    own = link.mac if link.mac != NO_MAC else None  # which the kernel refuses
    if own is not None:
        words += ["address", own]  # in the same message: udev would otherwise choose one
    words += ["type", link.options.kind, *link.options.arguments()]
    if peer is not None:
        words += ["peer", "name", peer.name, *(("address", peer.mac) if peer.mac else ())]
    made = (link, peer) if peer is not None else (link,)
    commands = [ip(*words), *(ip("link", "set", "dev", one.name, "alias", one.alias) for one in made if one.alias)]
    mac = f" with MAC {own}" if own else ""
    other = f" pair with {peer.name}" if peer is not None else ""
    return step(Phase.CREATE, link.name, f"create {link.options.kind}{other}{mac}", *commands)


def as_created(link: Link) -> Link:
    """What the kernel has right after the creation."""
    vlans = default_vlans(link.options.vlan_default_pvid) if isinstance(link.options, Bridge) else ()
    return Link(
        name=link.name,
        options=link.options,
        mac=link.mac,
        parent=link.parent,
        alias=link.alias,
        vlans=vlans,
        mtu=0 if link.mtu != 1500 else 1500,
    )


def link_steps(
    old: Link,
    new: Link,
    before: HostState,
    after: HostState,
    had: Collection[str] = (),
    *,
    carries: bool = False,
    released: bool = False,
) -> Iterator[Step]:
    """Everything that differs between two links of one name; ``had`` are the host's addresses before.

    ``carries``: others sit on it. ``released``: a bond lets go of it, and its MAC, MTU and addresses must wait for it.
    """
    if not new.options.is_link:
        return
    if not new.options.by_kernel:
        old = replace(old, **{facet: getattr(new, facet) for facet in ("options", "mac", "mtu", "alias", "vlans")})
    master = after.master_of(new)
    if master is not None and isinstance(master.options, Bond):
        new = replace(new, mac=old.mac)  # a bond's members wear its MAC, or not, as its mode has it
    yield from _settings(old, new, released=released)
    if new.facts.token != old.facts.token and _takes_token(new, before, after):
        words = ("token", "set", new.facts.token or "::", "dev", new.name)
        action = f"IPv6 addresses that end in {new.facts.token}" if new.facts.token else "no token of IPv6 addresses"
        yield step(Phase.RAISE, new.name, action, ip(*words), about="addrgenmode")
    yield from master_steps(old, new, before, after)
    if master is None or master.options.by_kernel:  # who makes another switch keeps its ports
        yield from port_steps(old, new)
    yield from vlan_steps(old, new, before, after)
    if new.up and not old.up:
        # the routes of an address come with it only on a link that is up; who keeps a switch does for each port that
        # comes up what he does for one that comes
        switched = master is not None and not master.options.by_kernel
        early = isinstance(new.options, Bridge | Bond) or carries or switched or bool(new.addresses)
        phase = Phase.RAISE if early and not released else Phase.LINK_UP
        yield step(phase, new.name, "bring up", ip("link", "set", "dev", new.name, "up"), about="up")
    elif old.up and not new.up:
        yield step(
            Phase.LOWER,
            new.name,
            "bring down",
            ip("link", "set", "dev", new.name, "down"),
            risk=Risk.DETACHES,
            about="up",
        )
    if old.addresses or new.addresses or old.facts.temporaries:
        yield from address_steps(
            old,
            new,
            had,
            fresh=Phase.LATE_ADDRESS if released else Phase.ADDRESS,
            stale=Phase.FREE_ADDRESS if old.up and joins_bond(old, new, after) else Phase.OLD_ADDRESS,
        )


def _takes_token(link: Link, before: HostState, after: HostState) -> bool:
    """Whether the kernel takes one at this time, and goes on to: a host ceases to route at the end of a change."""
    first = {key: before.sysctls[key] for key in (FORWARDING[6],) if key in before.sysctls}
    return takes_token(link.name, after.sysctls) and takes_token(link.name, {**after.sysctls, **first})


def _settings(old: Link, new: Link, *, released: bool) -> Iterator[Step]:
    name = new.name
    own = Phase.PORT if released else Phase.SETTINGS  # the bond's MAC and MTU are taken off before
    if new.addrgenmode != old.addrgenmode:
        words = "no automatic IPv6 address" if new.addrgenmode == "none" else f"IPv6 addresses by {new.addrgenmode}"
        yield step(
            Phase.SETTINGS,
            name,
            words,
            ip("link", "set", "dev", name, "addrgenmode", new.addrgenmode),
            about="addrgenmode",
        )
    if type(new.options) is type(old.options) and (changed := new.options.arguments(old.options)):
        yield step(
            Phase.SETTINGS,
            name,
            f"set {' '.join(changed)}",
            *_option_commands(new, changed),
            risk=_option_risk(old, new),
            about="options",
        )
    if _loses_primary(old, new):
        command = Command("sysfs", (f"class/net/{name}/bonding/primary", ""))
        yield step(Phase.SETTINGS, name, "no primary", command, about="options")
    if new.mac not in {None, NO_MAC, old.mac}:
        yield step(
            own,
            name,
            f"change MAC from {old.mac} to {new.mac}",
            ip("link", "set", "dev", name, "address", str(new.mac)),
            risk=Risk.CHANGES,
            about="mac",
        )
    if new.mtu and new.mtu != old.mtu:
        action = f"change MTU from {old.mtu} to {new.mtu} bytes" if old.mtu else f"set MTU to {new.mtu} bytes"
        # a bridge takes the MTU only while its ports allow it, so it comes after them
        phase = Phase.LINK_UP if isinstance(new.options, Bridge) and old.mtu == 0 else own
        risk = Risk.CHANGES if old.mtu else Risk.ADDITION
        yield step(phase, name, action, ip("link", "set", "dev", name, "mtu", str(new.mtu)), risk=risk, about="mtu")
    if new.alias != old.alias:
        yield step(Phase.SETTINGS, name, "mark", ip("link", "set", "dev", name, "alias", new.alias), about="mark")
    if new.multicast != old.multicast:
        word = ON_OFF[new.multicast]
        yield step(own, name, f"multicast {word}", ip("link", "set", "dev", name, "multicast", word), about="multicast")
    if new.arp != old.arp:
        word = ON_OFF[new.arp]
        yield step(own, name, f"ARP {word}", ip("link", "set", "dev", name, "arp", word), about="arp")
    if new.group != old.group:
        command = ip("link", "set", "dev", name, "group", new.group)
        yield step(Phase.SETTINGS, name, f"group {new.group}", command, about="group")
    for altname in old.altnames:
        if altname not in new.altnames:
            yield step(
                Phase.SETTINGS, name, f"drop the name {altname}", _altname("del", name, altname), about="altnames"
            )
    for altname in new.altnames:
        if altname not in old.altnames:
            yield step(
                Phase.SETTINGS, name, f"add the name {altname}", _altname("add", name, altname), about="altnames"
            )


def _loses_primary(old: Link, new: Link) -> bool:
    """Whether a bond of the kernel has a primary that it shall not have, for which ip(8) has no word."""
    had, has = (link.options.primary if isinstance(link.options, Bond) else None for link in (old, new))
    return had is not None and has is None and type(old.options) is type(new.options) and new.options.by_kernel


def _altname(verb: str, name: str, altname: str) -> Command:
    return ip("link", "property", verb, "dev", name, "altname", altname)


def _option_commands(new: Link, changed: tuple[str, ...]) -> Iterator[Command]:
    """The kernel reads a forward delay before it stops STP, under which it refuses one below 2 s."""
    if isinstance(new.options, Bridge) and ("stp_state", "0") in pairwise(changed):
        yield ip("link", "set", "dev", new.name, "type", "bridge", "stp_state", "0")
        place = changed.index("stp_state")
        changed = (*changed[:place], *changed[place + 2 :])
    if changed:
        yield ip("link", "set", "dev", new.name, "type", new.options.kind, *changed)


def _option_risk(old: Link, new: Link) -> Risk:
    if isinstance(new.options, Bridge) and isinstance(old.options, Bridge):
        stops = (
            new.options.stp_state > old.options.stp_state or new.options.vlan_filtering != old.options.vlan_filtering
        )
        return Risk.DETACHES if stops else Risk.ADDITION
    return Risk.ADDITION
