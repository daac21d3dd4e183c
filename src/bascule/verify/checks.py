"""What checks are made of, and those of a whole host."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_interface

from msgspec import Struct

from bascule.model.site import GuestNic
from bascule.model.values import IfName, IpInterface, Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.observe.neighbours import sightings
from bascule.plan.change import Plan
from bascule.system.net.netns import Namespace


class Check(Struct, frozen=True, kw_only=True):
    """One thing that must be so. ``ok`` is None where it could not be asked; ``detail`` says why, or what was seen.

    ``unproven``: it was looked at, and the result is not conclusive.
    """

    id: str
    subject: str
    ok: bool | None
    detail: str
    unproven: bool = False

    def as_json(self) -> dict[str, object]:
        """The check for ``--json``."""
        plain: dict[str, object] = {"id": self.id, "subject": self.subject, "ok": self.ok, "detail": self.detail}
        return {**plain, "unproven": True} if self.ok is None and self.unproven else plain


def ports_of_macs(namespace: Namespace) -> dict[Mac, set[tuple[str, str]]]:
    """The links, each with its bridge, on which each MAC was learned in a host's namespace."""
    learned: dict[Mac, set[tuple[str, str]]] = {}
    for entry in read_fdb(namespace):
        learned.setdefault(entry.mac, set()).add((entry.port, entry.bridge))
    return learned


def read_neighbours(namespace: Namespace) -> dict[Mac, tuple[IpInterface, ...]]:
    """The addresses that a host knows of each MAC: how a live guest with a lease is found."""
    known: dict[Mac, tuple[IpInterface, ...]] = {}
    for one in sightings(namespace=namespace):
        known[one.mac] = (*known.get(one.mac, ()), ip_interface(one.address))
    return known


def own_tap(nic: GuestNic, into: IfName, learned: dict[Mac, set[tuple[str, str]]], *, has_spoken: bool) -> Check:
    """The guest's MAC in the table of its bridge, on its own tap and nowhere else on that bridge.

    A table forgets who is silent: of a guest that was not asked and did not speak nothing is told.
    """
    places = {link for link, bridge in learned.get(nic.mac, ()) if bridge == into}
    ok = places == {str(nic.tap)}
    if not places and not has_spoken:
        detail = f"not told, because {into} has not heard {nic.mac} of late, and no address of {nic.guest} is known"
        return Check(id="mac-on-own-port", subject=nic.guest, ok=None, detail=detail, unproven=True)
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
