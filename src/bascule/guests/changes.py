"""From the domains that are there to the guests of the site file: what must change, as data, and the doing of it.

The kernel's part of a plan makes bridges and moves the taps that it knows; this is the hypervisor's part, which makes
the moves known to libvirt, pulses the cables so that guests renew, and writes definitions. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Guest, GuestNic, Host, Site
from bascule.model.values import IfName
from bascule.plan.change import Change, Note, Risk
from bascule.plan.step import Phase

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
        elif domain.running and now is not None and not _is_at(now, nic):
            restart = _restart(now, nic)
            if restart and later is not None and _is_at(later, nic):
                continue  # all that can be done is done; ``waiting`` says so
            yield GuestChange(
                act=Act.REPLUG, guest=guest, nic=nic, before=now.where, live=True, restart=restart, tap=now.tap
            )
        elif later is not None and not _is_at(later, nic):
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


def waiting(domains: Iterable[Domain], site: Site, host: str) -> Iterator[Note]:
    """What is written already and waits for a guest's next start."""
    there = {domain.name: domain for domain in domains if domain.running}
    for guest in site.guests_on(host):
        for nic in guest.nics if guest.name in there else ():
            domain = there[guest.name]
            now, later = find_nic(domain.nics, nic), find_nic(domain.next_nics, nic)
            if now is None or later is None or _is_at(now, nic) or not _is_at(later, nic):
                continue
            if why := _restart(now, nic):
                text = f"NIC {nic.index} is on {now.where} until it is shut down and started again ({why})"
                yield Note(kind="waiting", subject=guest.name, text=text)


def find_nic(nics: Sequence[DomainNic], wanted: GuestNic) -> DomainNic | None:
    """The NIC that the file means: by its MAC, or by its number where the file gives no MAC."""
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
    if wanted.shared_nic and now.kind != "direct":
        return "a NIC cannot become a macvtap while the guest runs"
    return "" if now.kind in {"bridge", "network", "direct"} else f"a NIC of type '{now.kind}' cannot be moved"


def with_live_taps(site: Site, host: Host, domains: Sequence[Domain]) -> Site:
    """The site with the taps that its running guests have now.

    A guest that somebody else defined has a tap of libvirt's choice (vnet7) until its next start; the plan is about
    that one then.
    """
    running = {domain.name: domain for domain in domains if domain.running}
    guests = {
        name: _as_it_runs(guest, running[name]) if guest.host == host.name and name in running else guest
        for name, guest in site.guests.items()
    }
    return replace(site, guests=guests)


def _as_it_runs(guest: Guest, domain: Domain) -> Guest:
    def live(nic: GuestNic) -> GuestNic:
        now = find_nic(domain.nics, nic)
        kinds = {"direct"} if nic.shared_nic else {"bridge", "network"}
        if now is None or not now.tap or now.kind not in kinds:
            return nic
        return replace(nic, tap=IfName(now.tap))

    return replace(guest, nics=tuple(map(live, guest.nics)))
