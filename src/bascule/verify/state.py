"""What the host's state says: every difference that the plan would change is a check that does not hold, in its words.

The plan is the only comparison. What is said here beside it is what was seen, and what a plan cannot change: a cable
that is not plugged in, a lease that has not come.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.host_links import Bridge
from bascule.model.links import Bridge as BridgeOptions
from bascule.model.links.wake_on_lan import Modes, wake_words
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import About, Change, Plan
from bascule.plan.file_change import FILES
from bascule.plan.make import no_carrier
from bascule.plan.target.extras import STAYS
from bascule.plan.warnings.mtu import narrows
from bascule.verify.checks import Check
from bascule.verify.power import NONE_OFF, GuestsOff

LINK: tuple[About, ...] = ("existence", "up")


class StateChecks:
    """The facts of a host, each held against the plan; ``rest`` are the changes that no fact has told of yet.

    ``off`` are the guests that do not run: of their taps nothing is asked.
    """

    def __init__(self, plan: Plan, off: GuestsOff = NONE_OFF) -> None:
        self._plan = plan
        self.off = off
        self._told: set[int] = set()

    def check(self, what: str, subject: str, seen: str, *about: About, of: str = "", words: str = "") -> Check:
        """Whether the plan leaves a facet of ``of`` (the subject itself, if not said) as it is.

        ``words`` narrows it to the changes that name them; ``seen`` says what is there.
        """
        found = [
            change
            for change in self._plan.changes
            if change.subject == (of or subject) and change.about in about and words in change.action
        ]
        return self._check(what, subject, seen, found)

    def cannot(self, subject: str) -> str | None:
        """Why the plan leaves what the file says of something as it is: it cannot do otherwise."""
        return next((n.text for n in self._plan.notes if (n.kind, n.subject) == ("unsupported", subject)), None)

    def rest(self) -> Iterator[Check]:
        """A failed check for every difference that no other check has told of; files that are not known are open."""
        for change in self._plan.changes:
            if id(change) not in self._told:
                yield self._check("as-declared", change.subject, "", [change])
        for subject, words in self._plan.beside_changes:
            yield Check(id="as-declared", subject=subject, ok=False, detail=words.partition(STAYS)[0])
        for note in self._plan.notes:
            if note.subject == FILES and note.text not in self._plan.refused:
                yield Check(id="as-declared", subject=FILES, ok=None, detail=note.text, unproven=True)

    def _check(self, what: str, subject: str, seen: str, found: list[Change]) -> Check:
        self._told |= set(map(id, found))
        to_do = "to do: " + "; ".join(change.action for change in found)
        detail = seen if not found else f"{seen}; {to_do}" if seen else to_do
        return Check(id=what, subject=subject, ok=not found, detail=detail)


def check_links(site: Site, host: Host, state: HostState, facts: StateChecks) -> Iterator[Check]:
    """The host's bridges, and the other links on which it speaks. Pure."""
    for bridge in host.bridges.values():
        yield from _bridge(site, host, bridge, state, facts)
    for said in host.speakers():
        if not isinstance(said, Bridge):
            link = state.links.get(said.name)
            yield nic_up(said.name, link, facts)
            for address in said.addresses:
                yield has_address(said.name, str(address), link, facts)
            if said.dhcp:
                yield _some_address(said.name, link, "no lease yet")
    for nic in host.nics.values():
        if nic.wol is not None:
            yield _woken(nic.name, nic.wol, state, facts)


def _woken(name: IfName, modes: Modes, state: HostState, facts: StateChecks) -> Check:
    """What wakes the machine by a NIC; unproven where its driver cannot be asked."""
    if state.parts.get("wake_on_lan") is None:
        return Check(id="wake-on-lan", subject=name, ok=None, detail="what wakes the machine by it was not asked")
    if (text := facts.cannot(name)) is not None:
        return Check(id="wake-on-lan", subject=name, ok=None, detail=text)
    return facts.check("wake-on-lan", name, f"the file says {wake_words(modes)}", "wake-on-lan")


def _bridge(site: Site, host: Host, bridge: Bridge, state: HostState, facts: StateChecks) -> Iterator[Check]:
    link = state.links.get(bridge.name)
    yield bridge_up(bridge.name, link, facts)
    if link is None:
        return
    if not bridge.has_address:
        yield _no_address(link, facts)
    for address in bridge.addresses:
        yield has_address(bridge.name, str(address), link, facts)
    if bridge.dhcp or bridge.from_uplink:
        why = "no lease yet" if bridge.dhcp else f"{bridge.uplink} had none to hand over"
        yield _some_address(bridge.name, link, why)
    names = [port.link for port in bridge.every_port]
    for below in host.uplink_nics(bridge):
        if below.name not in names:  # a member of a bond, or what a VLAN link sits on
            yield nic_up(below.name, state.links.get(below.name), facts)
    for name in names:
        each = state.links.get(name)
        yield nic_up(name, each, facts)
        if each is not None:
            yield _member("uplink-on-bridge" if name == bridge.port else "port-on-bridge", each, facts)
            yield _no_address(each, facts)
    port = state.links.get(bridge.port) if bridge.port else None
    if port is not None:
        same = f"{link.mac}, as {port.name}" if link.mac == port.mac else f"{link.mac}, but {port.name} has {port.mac}"
        yield facts.check("bridge-mac", bridge.name, same, "mac")
    yield _spanning_tree(link, facts)
    yield from _mtu(site, host, bridge, state, facts)
    nics = site.nics_on(host.name, bridge.name)
    for nic in nics:
        yield tap_on_bridge(nic, bridge.name, state.links.get(nic.tap), facts)
    taps, cables = [nic.tap for nic in nics], [patch.name for patch in bridge.patches]
    for name in cables:
        yield nic_up(name, state.links.get(name), facts)
    strangers = sorted({x.name for x in state.ports(bridge.name)} - {*taps, *names, *cables})
    if strangers:
        detail = f"not in the file, left alone: {', '.join(strangers)}"
        yield Check(id="other-ports", subject=bridge.name, ok=None, detail=detail)


def bridge_up(name: str, link: Link | None, facts: StateChecks) -> Check:
    """Whether a bridge is there and up."""
    return facts.check("bridge-up", name, _up_words(link), *LINK)


def nic_up(name: IfName, link: Link | None, facts: StateChecks) -> Check:
    """Whether a NIC, bond or VLAN link is there, up, and has a carrier."""
    check = facts.check("nic-up", name, _up_words(link), *LINK)
    if link is None or (link.up and not link.facts.carrier):
        detail = f"is up, but has no carrier: {no_carrier(link)}" if link else "is not there"
        return Check(id="nic-up", subject=name, ok=False, detail=detail)
    return check


def _up_words(link: Link | None) -> str:
    return "is not there" if link is None else "up" if link.up else "is down"


def _no_address(link: Link, facts: StateChecks) -> Check:
    found = [address.ip for address in link.addresses]
    foreign = [address.ip for address in link.addresses if not address.is_link_local]
    seen = "none" if not found else ("only " if not foreign else "") + ", ".join(foreign or found)
    return facts.check("no-address", link.name, seen, "addresses")


def has_address(name: str, address: str, link: Link | None, facts: StateChecks) -> Check:
    """Whether a link has an address of the host."""
    found = [a.ip for a in link.addresses if not a.is_link_local] if link else []
    seen = address if address in found else f"{address} is missing" + (f", has {', '.join(found)}" if found else "")
    return facts.check("address", name, seen, "addresses", words=address)


def _some_address(name: str, link: Link | None, why_not: str) -> Check:
    """Whether a link has an address of the host that the file does not write down."""
    found = [a.ip for a in link.addresses if not a.is_link_local] if link else []
    return Check(id="address", subject=name, ok=bool(found), detail=", ".join(found) or f"has none: {why_not}")


def _member(what: str, link: Link, facts: StateChecks) -> Check:
    return facts.check(what, link.name, f"port of {link.master or 'nothing'}", "master")


def tap_on_bridge(nic: GuestNic, bridge: str, link: Link | None, facts: StateChecks) -> Check:
    """Whether a guest's tap is a port of its bridge; of a guest that is off, it need not be."""
    if link is None:
        detail = f"is not there; should be a port of {bridge}"
        off = facts.off.get(nic.guest)
        if off:
            detail = f"is not there, since its guest is {off}"
        return Check(id="tap-on-bridge", subject=nic.tap, ok=None if off else False, detail=detail)
    return _member("tap-on-bridge", link, facts)


def _mtu(site: Site, host: Host, bridge: Bridge, state: HostState, facts: StateChecks) -> Iterator[Check]:
    """What the bridge sends and what is below it cannot take; nothing where all of it fits."""
    if (found := narrows(site, host, bridge, state)) is not None:
        yield replace(facts.check("mtu", bridge.name, found.words, "mtu"), ok=False)


def _spanning_tree(link: Link, facts: StateChecks) -> Check:
    options = link.options
    if not isinstance(options, BridgeOptions):
        return facts.check("stp", link.name, f"is not a bridge but {options.kind or 'a NIC'}", "existence")
    delay = options.forward_delay
    words = "the times of another bridge, the root" if delay is None else f"forward delay {delay / 100:g} s"
    seen = f"STP {'on' if options.stp_state else 'off'}, {words}"
    if not options.stp_state and options.forward_delay:
        seen += ", which does nothing without STP"
    return facts.check("stp", link.name, seen, "options", words="stp_state")
