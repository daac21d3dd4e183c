"""From the domains that are there to the guests of the site file: what must change, as data, and the doing of it.

The kernel's part of a plan makes bridges and moves the taps that it knows; this is the hypervisor's part, which makes
the moves known to libvirt, pulses the cables so that guests renew, and writes definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.protocol import Plug
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Guest, GuestNic, PlugKind, Site
from bascule.model.values import IfName
from bascule.plan.change import Change, Note, Risk
from bascule.plan.virtual_network import bridge_name

REPLUG_S = 0.1  # measured: 8 to 18 ms between link down and up; the guest's own renewal comes on top


class Act(StrEnum):
    """What happens to a guest or one of its NICs."""

    DEFINE = "define"
    ATTACH = "attach"
    REPLUG = "replug"
    REDEFINE = "redefine"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestChange:
    """One act on a guest: ``nic`` is None for ``define``. ``live`` says that it concerns the running guest."""

    act: Act
    guest: Guest
    nic: GuestNic | None = None
    before: str = ""
    live: bool = False
    restart: str = ""  # why it takes effect at the next start only

    def as_change(self) -> Change:
        """The change as the plan prints it."""
        if self.nic is None:
            reason = f"the site file declares guest '{self.guest.name}', and no domain has this name"
            return Change(subject=self.guest.name, action="defined, not started", reason=reason)
        where = f"{self.nic.plug.value} {self.nic.into}"
        action = {
            Act.ATTACH: f"gets a NIC on {where}",
            Act.REPLUG: f"re-plugged from {self.before} to {where}: link down, over, link up",
            Act.REDEFINE: f"its definition says {where} in place of {self.before}",
        }.get(self.act, self.act.value)
        if self.restart:
            action = f"its definition says {where} in place of {self.before}; from its next start on ({self.restart})"
        cuts = self.act is Act.REPLUG and self.live and not self.restart
        return Change(
            subject=f"{self.guest.name}, NIC {self.nic.index}",
            action=action,
            reason=f"{self.guest.name} is declared on {where}",
            risk=Risk.DETACHES if cuts else Risk.ADDITION,
            guests=(self.guest.name,) if cuts else (),
            outage_s=REPLUG_S if cuts else 0.0,
        )


def plan_guests(domains: Iterable[Domain], site: Site, host: str) -> tuple[GuestChange, ...]:
    """What must change for the guests of a host. Domains and NICs that the site file does not know are left alone.

    A NIC is recognised by its MAC; in a guest whose file gives none, by its number.
    """
    there = {domain.name: domain for domain in domains}
    return tuple(change for guest in site.guests_on(host) for change in _guest(guest, there.get(guest.name)))


def _guest(guest: Guest, domain: Domain | None) -> Iterator[GuestChange]:
    if domain is None:
        yield GuestChange(act=Act.DEFINE, guest=guest)
        return
    for nic in guest.nics:
        now, later = _find(domain.nics, nic), _find(domain.next_nics, nic)
        if now is None and later is None:
            yield GuestChange(act=Act.ATTACH, guest=guest, nic=nic, live=domain.running)
        elif domain.running and now is not None and not _is_at(now, nic):
            restart = _restart(now, nic)
            yield GuestChange(act=Act.REPLUG, guest=guest, nic=nic, before=now.where, live=True, restart=restart)
        elif later is not None and not _is_at(later, nic):
            yield GuestChange(act=Act.REDEFINE, guest=guest, nic=nic, before=later.where)


def _find(nics: Sequence[DomainNic], wanted: GuestNic) -> DomainNic | None:
    for nic in nics:
        if nic.mac == wanted.mac:
            return nic
    if wanted.mac_given:
        return None
    return next((nic for nic in nics if nic.index == wanted.index), None)


def _is_at(nic: DomainNic, wanted: GuestNic) -> bool:
    return (nic.kind, nic.into) == (wanted.plug.value, wanted.into) and nic.link_up


def _restart(now: DomainNic, wanted: GuestNic) -> str:
    if now.kind == "direct" and (now.kind, now.into) != (wanted.plug.value, wanted.into):
        return "a macvtap cannot be moved while the guest runs"
    if wanted.plug is PlugKind.DIRECT and now.kind != "direct":
        return "a NIC cannot become a macvtap while the guest runs"
    return "" if now.kind in {"bridge", "network", "direct"} else f"a NIC of type '{now.kind}' cannot be moved"


def apply_guests(
    driver: LibvirtDriver, changes: Sequence[GuestChange], *, accel: str, domains: Iterable[Domain], mtu: int = 1500
) -> tuple[Note, ...]:
    """Make the changes; all guests go back to what they were if one of them fails, and it raises then.

    ``domains`` are those of the plan: a NIC without a MAC in the file keeps the one that it has.
    """
    there = {domain.name: domain for domain in domains}
    known = [change.guest.name for change in changes if change.act is not Act.DEFINE]
    made = [change.guest.name for change in changes if change.act is Act.DEFINE]
    notes: list[Note] = []
    with driver.all_or_nothing(known, made):
        for change in changes:
            if change.nic is None:
                notes += driver.define(change.guest, accel=accel)
                continue
            nic = _as_there(change.nic, there.get(change.guest.name))
            plug = Plug(nic=nic, bridge=_bridge(nic), mtu=mtu)
            notes += driver.attach([plug]) if change.act is Act.ATTACH else driver.replug([plug])
    return tuple(notes)


def _as_there(nic: GuestNic, domain: Domain | None) -> GuestNic:
    found = _find((*domain.nics, *domain.next_nics), nic) if domain else None
    return replace(nic, mac=found.mac) if found is not None and found.mac else nic


def _bridge(nic: GuestNic) -> IfName:
    return bridge_name(nic.into) if nic.plug is PlugKind.NETWORK else IfName(nic.into)
