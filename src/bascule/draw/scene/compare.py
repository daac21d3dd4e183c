"""A declared link against the observed one: is it there, is it as wanted, how does it do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from bascule.draw.scene.elements import LinkState, Presence
from bascule.model.state import HostState, Link


class Comparison(Struct, frozen=True, kw_only=True):
    """What was seen of one declared element."""

    presence: Presence = Presence.DECLARED
    state: LinkState = LinkState.UNKNOWN
    isolated: bool = False
    drift: tuple[str, ...] = ()
    details: tuple[str, ...] = ()


Fault = Callable[[Link], str | None]
"""What is wrong with a link, as a sentence, or None."""


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
        span = f"VLAN {vlan.first}" + (f"-{vlan.last}" if vlan.last != vlan.first else "")
        details.append(" ".join([span, *(w for w, on in (("pvid", vlan.pvid), ("untagged", vlan.untagged)) if on)]))
    if link.facts.bus:
        details.append(f"bus {link.facts.bus}")
    return tuple(details)


def compare(observed: HostState | None, name: str, faults: Iterable[Fault] = ()) -> Comparison:
    """Compare one link with what was observed; ``faults`` are asked only if the link is there."""
    if observed is None:
        return Comparison()
    link = next((link for key, link in observed.links.items() if key == name), None)
    if link is None:
        return Comparison(presence=Presence.WANTED)
    drift = tuple(words for words in (fault(link) for fault in faults) if words)
    presence = Presence.DRIFTED if drift else Presence.PRESENT
    return Comparison(
        presence=presence,
        state=link_state(link),
        isolated=is_isolated(link),
        drift=drift,
        details=link_details(link),
    )


def has_master(master: str | None) -> Fault:
    """The link must be a port of ``master``, or of nothing."""

    def fault(link: Link) -> str | None:
        if link.master == master:
            return None
        if master is None:
            return f"{link.name} is a port of {link.master}, and should be of nothing"
        return (
            f"{link.name} is {f'a port of {link.master}' if link.master else 'no port'}, and should be one of {master}"
        )

    return fault


def has_parent(parent: str) -> Fault:
    """The link must sit on ``parent``."""

    def fault(link: Link) -> str | None:
        if link.parent == parent:
            return None
        return f"{link.name} sits on {link.parent or 'nothing'}, and should on {parent}"

    return fault


def is_kind(kind: str) -> Fault:
    """The link must be of this kind."""

    def fault(link: Link) -> str | None:
        seen = link.options.kind or "hardware"
        return None if seen == kind else f"{link.name} is a {seen} link, and should be a {kind}"

    return fault


def option_is(option: str, want: int, words: str) -> Fault:
    """An option of the link's kind must have this value; ``words`` name it to the reader."""

    def fault(link: Link) -> str | None:
        have = getattr(link.options, option, want)
        return None if have == want else f"{link.name}: {words} is {_on(have)}, and should be {_on(want)}"

    return fault


def has_addresses(wanted: Iterable[object]) -> Fault:
    """The link must carry these addresses; more are no fault (a lease, a link-local one)."""

    def fault(link: Link) -> str | None:
        own = [address.ip for address in link.addresses if not address.is_link_local]
        missing = [str(ip) for ip in wanted if str(ip) not in {address.ip for address in link.addresses}]
        others = [ip for ip in own if ip not in {str(ip) for ip in wanted}]
        has = f"; it has {', '.join(others)}" if others else ""
        return f"{link.name} lacks the address {', '.join(missing)}{has}" if missing else None

    return fault


def has_no_address() -> Fault:
    """The link must carry guests only."""

    def fault(link: Link) -> str | None:
        own = [address.ip for address in link.addresses if not address.is_link_local]
        return f"{link.name} has the address {', '.join(own)}, and should have none" if own else None

    return fault


def has_mtu(mtu: int | None) -> Fault:
    """The link must have this MTU, if one is wanted."""

    def fault(link: Link) -> str | None:
        if mtu in {None, link.mtu}:
            return None
        return f"{link.name} has MTU {link.mtu}, and should have {mtu}"

    return fault


def has_mac(mac: str | None) -> Fault:
    """The link must have this MAC, if one is wanted; hardware may show it as its permanent one."""

    def fault(link: Link) -> str | None:
        if mac is None or mac in {link.mac, link.facts.permanent_mac}:
            return None
        return f"{link.name} has the MAC {link.mac}, and should have {mac}"

    return fault


def _on(value: int) -> str:
    return {0: "off", 1: "on"}.get(value, str(value))
