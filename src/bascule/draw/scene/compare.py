"""A declared link as it was seen: is it there, would the plan change it, how does it do."""

from __future__ import annotations

from msgspec import Struct

from bascule.draw.scene.elements import LinkState, Presence
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Plan


class SeenHost(Struct, frozen=True, kw_only=True):
    """What was seen of a host, and what the plan would change on it; ``problems`` say why no plan could be made.

    ``other`` says that nothing shows the machine to be that host, empty where something does.
    """

    state: HostState
    plan: Plan = Plan()
    problems: tuple[str, ...] = ()
    other: str = ""

    @property
    def drift(self) -> tuple[tuple[str, str], ...]:
        """What the plan would do to what, and what it leaves that the file does not say, in its words."""
        changed = ((change.subject, change.action) for change in self.plan.changes)
        return (*changed, *self.plan.beside_changes)

    def drift_of(self, name: str) -> tuple[str, ...]:
        """The same of one link."""
        return tuple(f"{name}: {words}" for subject, words in self.drift if subject == name)


class Comparison(Struct, frozen=True, kw_only=True):
    """What was seen of one declared element."""

    presence: Presence = Presence.DECLARED
    state: LinkState = LinkState.UNKNOWN
    isolated: bool = False
    drift: tuple[str, ...] = ()
    misplaced: bool = False  # a port of another master than it should be
    details: tuple[str, ...] = ()


def link_state(link: Link) -> LinkState:
    """Down, no carrier, blocked by or waiting for STP, isolated or up: the first of these that is so."""
    if not link.up:
        return LinkState.DOWN
    if not link.facts.carrier:
        return LinkState.NO_CARRIER
    stp = link.facts.stp_port_state.lower()
    if stp == "blocking":
        return LinkState.BLOCKED
    if stp in {"listening", "learning"}:
        return LinkState.WAITING
    return LinkState.ISOLATED if is_isolated(link) else LinkState.UP


def without_uplink(state: LinkState) -> LinkState:
    """The state of a bridge that has no NIC: no carrier says only that nothing on it runs, which is no fault."""
    return LinkState.UNKNOWN if state is LinkState.NO_CARRIER else state


def is_isolated(link: Link) -> bool:
    """Whether its bridge passes nothing on from it to the other isolated ports."""
    return link.port is not None and link.port.isolated


def link_details(link: Link) -> tuple[str, ...]:
    """MAC, MTU, addresses and VLANs, for the reader who points at it."""
    details = []
    if link.mac:
        details.append(f"MAC {link.mac}")
    details.append(f"MTU {link.mtu} bytes")
    details += [f"address {address.ip}" for address in link.addresses]
    for vlan in link.vlans:
        details.append(f"VLAN {vlan.span}{' pvid' * vlan.pvid}{' untagged' * vlan.untagged}")
    if link.facts.bus:
        details.append(f"bus {link.facts.bus}")
    return tuple(details)


def compare(seen: SeenHost | None, name: str) -> Comparison:
    """One link of the file as it was seen."""
    if seen is None:
        return Comparison()
    link = seen.state.links.get(IfName(name)) if name else None
    if link is None:
        return Comparison(presence=Presence.WANTED)
    drift = seen.drift_of(name)
    return Comparison(
        presence=Presence.DRIFTED if drift else Presence.PRESENT,
        state=link_state(link),
        isolated=is_isolated(link),
        drift=drift,
        misplaced=any(change.subject == name and change.about == "master" for change in seen.plan.changes),
        details=link_details(link),
    )
