"""The checks of a bridged host that its state alone answers, and what the other checks are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface

from msgspec import Struct

from bascule.model.links import Bridge as BridgeOptions
from bascule.model.site import Bridge, GuestNic, Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, IpInterface, Mac
from bascule.plan.change import Plan
from bascule.system.net.netns import Namespace
from bascule.system.run import run


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must be so. ``ok`` is None where it could not be asked; ``detail`` says why, or what was seen."""

    id: str
    subject: str
    ok: bool | None
    detail: str

    def as_json(self) -> dict[str, object]:
        """The check for ``--json``."""
        return {"id": self.id, "subject": self.subject, "ok": self.ok, "detail": self.detail}


def check_links(site: Site, host: Host, state: HostState) -> Iterator[Check]:
    """What the state alone says. Pure."""
    for bridge in host.bridges.values():
        yield from _check_bridge(site, host, bridge, state)
    for nic in host.nics.values():
        if not host.is_enslaved(nic.name) and nic.has_address:
            yield is_up("nic-up", nic.name, state.links.get(nic.name))
            for address in nic.addresses:
                yield has_address(nic.name, address, state.links.get(nic.name))
            if nic.dhcp:
                yield _has_lease(nic.name, state.links.get(nic.name))


def _check_bridge(site: Site, host: Host, bridge: Bridge, state: HostState) -> Iterator[Check]:
    link = state.links.get(bridge.name)
    yield is_up("bridge-up", bridge.name, link)
    if link is None:
        return
    if not bridge.has_address:
        yield _has_no_address(link)
    for address in bridge.addresses:
        yield has_address(bridge.name, address, link)
    if bridge.dhcp or bridge.from_uplink:
        yield _has_lease(bridge.name, link)
    for below in host.uplink_nics(bridge):
        if below.name != bridge.port:  # a member of a bond, or what a VLAN link sits on
            yield is_up("nic-up", below.name, state.links.get(below.name))
    port = state.links.get(bridge.port) if bridge.port else None
    if bridge.port:
        yield is_up("nic-up", bridge.port, port)
        yield is_member("uplink", bridge.port, bridge.name, port)
    if port is not None:
        yield _has_no_address(port)
        ok = link.mac == port.mac
        detail = f"{link.mac}, as {port.name}" if ok else f"{link.mac}, but {port.name} has {port.mac}"
        yield Check(id="bridge-mac", subject=bridge.name, ok=ok, detail=detail)
    yield _has_stp(bridge, link)
    taps = [nic for nic in site.guest_nics(host.name) if nic.bridge == bridge.name]
    for nic in taps:
        yield is_member("tap", nic.tap, bridge.name, state.links.get(nic.tap))
    strangers = sorted({x.name for x in state.ports(bridge.name)} - {nic.tap for nic in taps} - {bridge.port})
    if strangers:
        yield Check(
            id="other-ports",
            subject=bridge.name,
            ok=None,
            detail=f"not in the file, left alone: {', '.join(strangers)}",
        )


def is_up(what: str, name: str, link: Link | None) -> Check:
    """Whether a link is there and up; a NIC must have a carrier, too."""
    if link is None:
        return Check(id=what, subject=name, ok=False, detail="is not there")
    if not link.up:
        return Check(id=what, subject=name, ok=False, detail="is down")
    if not link.facts.carrier and what == "nic-up":
        return Check(
            id=what, subject=name, ok=False, detail="is up, but has no carrier: no cable, or the far end is down"
        )
    return Check(id=what, subject=name, ok=True, detail="up")


def _has_no_address(link: Link) -> Check:
    found = [address.ip for address in link.addresses]
    foreign = [address.ip for address in link.addresses if not address.is_link_local]
    detail = "none" if not found else ("only " if not foreign else "") + ", ".join(foreign or found)
    return Check(id="no-address", subject=link.name, ok=not foreign, detail=detail)


def has_address(name: str, address: IpInterface, link: Link | None) -> Check:
    """Whether a link has an address of the host."""
    found = [a.ip for a in link.addresses if not a.is_link_local] if link else []
    ok = any(ip_interface(ip) == address for ip in found)
    detail = str(address) if ok else f"{address} is missing" + (f", has {', '.join(found)}" if found else "")
    return Check(id="address", subject=name, ok=ok, detail=detail)


def _has_lease(name: str, link: Link | None) -> Check:
    found = [a.ip for a in link.addresses if not a.is_link_local] if link else []
    return Check(id="address", subject=name, ok=bool(found), detail=", ".join(found) or "has none: no lease yet")


def is_member(what: str, name: str, bridge: str, link: Link | None) -> Check:
    """Whether a link is a port of its bridge."""
    if link is None:
        return Check(
            id=f"{what}-on-bridge", subject=name, ok=False, detail=f"is not there; should be a port of {bridge}"
        )
    ok = link.master == bridge
    detail = f"port of {bridge}" if ok else f"port of {link.master or 'nothing'}, should be on {bridge}"
    return Check(id=f"{what}-on-bridge", subject=name, ok=ok, detail=detail)


def _has_stp(bridge: Bridge, link: Link) -> Check:
    options = link.options
    if not isinstance(options, BridgeOptions):
        return Check(id="stp", subject=bridge.name, ok=False, detail=f"is no bridge but {options.kind or 'a NIC'}")
    has_stp, delay_s = bool(options.stp_state), options.forward_delay / 100
    ok = has_stp == bridge.stp
    detail = f"STP {'on' if has_stp else 'off'}, forward delay {delay_s:g} s"
    if not has_stp and delay_s:
        detail += ", which does nothing without STP"
    if not ok:
        detail += f"; wanted STP {'on' if bridge.stp else 'off'}"
    return Check(id="stp", subject=bridge.name, ok=ok, detail=detail)


def read_fdb(namespace: Namespace) -> dict[Mac, set[tuple[str, str]]]:
    """The links, each with its bridge, on which each MAC was learned in a host's namespace."""
    learned: dict[Mac, set[tuple[str, str]]] = {}
    for entry in json.loads(run(["bridge", "-j", "fdb", "show"], namespace=namespace).stdout or "[]"):
        if entry.get("master") and entry.get("state") != "permanent":
            learned.setdefault(Mac(entry["mac"]), set()).add((entry["ifname"], entry["master"]))
    return learned


def read_neighbours(namespace: Namespace) -> dict[Mac, tuple[IpInterface, ...]]:
    """The addresses that a host knows of each MAC: how a live guest with a lease is found."""
    known: dict[Mac, tuple[IpInterface, ...]] = {}
    for entry in json.loads(run(["ip", "-j", "neigh", "show"], namespace=namespace).stdout or "[]"):
        if entry.get("lladdr") and "FAILED" not in entry.get("state", ()):
            mac = Mac(entry["lladdr"])
            known[mac] = (*known.get(mac, ()), ip_interface(entry["dst"]))
    return known


def own_tap(nic: GuestNic, into: IfName, learned: dict[Mac, set[tuple[str, str]]]) -> Check:
    """The guest's MAC in the table of its bridge, on its own tap and nowhere else on that bridge."""
    places = {link for link, bridge in learned.get(nic.mac, ()) if bridge == into}
    ok = places == {str(nic.tap)}
    if ok:
        detail = f"{nic.mac} learned on {nic.tap} of {into}"
    elif not places:
        detail = f"{nic.mac} is not learned on {into}: the guest has not spoken there"
    else:
        detail = f"{nic.mac} learned on {', '.join(sorted(places))} of {into}, not on {nic.tap}: somebody has its MAC"
    return Check(id="mac-on-own-port", subject=nic.guest, ok=ok, detail=detail)


def second_plan(host: str, plan: Plan) -> Check:
    """What was planned is there: planning again finds nothing to do."""
    rest = "; ".join(f"{change.subject}: {change.action}" for change in plan.changes)
    return Check(id="nothing-left-to-do", subject=host, ok=not plan, detail=rest or "a second plan is empty")


def way_back(host: str, left: Sequence[str]) -> Check:
    """The undo was rehearsed too: the host is as it was before."""
    return Check(
        id="way-back", subject=host, ok=not left, detail="; ".join(left) or "undone, the host is as it was before"
    )
