"""From the domains that are there to the guests of the site file: what must change, as data, and the doing of it.

The kernel's part of a plan makes bridges and moves the taps that it knows; this is the hypervisor's part, which makes
the moves known to libvirt, pulses the cables so that guests renew, and writes definitions. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from bascule.model.domain import Domain
from bascule.model.site import Guest, GuestNic, Site
from bascule.plan.change import Change, Risk
from bascule.plan.step import Phase
from bascule.providers.guest_nics import find_nic, is_at, restart_reason

REPLUG_S = 0.1  # measured: 8 to 18 ms between link down and up; the guest's own renewal comes on top


class Act(StrEnum):
    """What happens to a guest or one of its NICs."""

    DEFINE = "define"
    ATTACH = "attach"
    REPLUG = "replug"
    REDEFINE = "redefine"


class GuestChange(Struct, frozen=True, kw_only=True):
    """One act on a guest: ``nic`` is None for ``define``. ``live`` says that it concerns the running guest."""

    act: Act
    guest: Guest
    nic: GuestNic | None = None
    before: str = ""
    live: bool = False
    restart: str = ""  # why it takes effect at the next start only
    tap: str = ""  # the tap of now, of a NIC that is moved live

    @property
    def cuts(self) -> bool:
        """Whether a running guest loses frames by it."""
        return self.act is Act.REPLUG and self.live and not self.restart

    def as_change(self) -> Change:
        """The change as the plan prints it."""
        if self.nic is None:
            reason = f"the site file declares guest {self.guest.name} and no domain has this name"
            return Change(
                subject=self.guest.name,
                action="defined, not started",
                reason=reason,
                guests=(self.guest.name,),
                stage=Phase.HYPERVISOR,
            )
        where = f"{self.nic.plug.value} {self.nic.into}"
        action = {
            Act.ATTACH: f"gets a NIC on {where}",
            Act.REPLUG: f"re-plugged from {self.before} to {where}: link down, over, link up"
            if self.before != where
            else f"its cable is put into {where} again",
            Act.REDEFINE: f"its definition says {where} in place of {self.before}"
            if self.before != where
            else f"its cable into {where} is in from its next start on",
        }.get(self.act, self.act.value)
        if self.restart:
            action = f"its definition says {where} in place of {self.before}; from its next start on ({self.restart})"
        place = self.nic.place
        declared = f" ({place.file}:{place.line})" if place.file else ""
        return Change(
            subject=f"{self.guest.name}, NIC {self.nic.index}",
            action=action,
            reason=f"{self.guest.name} is declared on {where}{declared}",
            risk=Risk.DETACHES if self.cuts else Risk.ADDITION,
            guests=(self.guest.name,),
            cuts=(self.guest.name,) if self.cuts else (),
            outage_s=REPLUG_S if self.cuts else 0.0,
            stage=Phase.HYPERVISOR,
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
        now, later = find_nic(domain.nics, nic), find_nic(domain.next_nics, nic)
        if now is None and later is None:
            yield GuestChange(act=Act.ATTACH, guest=guest, nic=nic, live=domain.running)
        elif domain.running and now is not None and not is_at(now, nic):
            restart = restart_reason(now, nic)
            if restart and later is not None and is_at(later, nic):
                continue  # all that can be done is done; ``waiting`` says so
            yield GuestChange(
                act=Act.REPLUG, guest=guest, nic=nic, before=now.where, live=True, restart=restart, tap=now.tap
            )
        elif later is not None and not is_at(later, nic):
            yield GuestChange(act=Act.REDEFINE, guest=guest, nic=nic, before=later.where)


def new_nics(changes: Iterable[GuestChange]) -> tuple[GuestNic, ...]:
    """The NICs that come into being, whose MACs must be free."""
    found: list[GuestNic] = []
    for change in changes:
        if change.act is Act.DEFINE:
            found += change.guest.nics
        elif change.act is Act.ATTACH and change.nic is not None:
            found.append(change.nic)
    return tuple(found)
