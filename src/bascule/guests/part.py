"""The hypervisor's part of a change: virtual networks and guests, made behind the kernel's part and taken back whole.

What it takes to go back is data (``Kept``) that is written into the checkpoint before the first change; the way back
from it is in :mod:`bascule.guests.part_back`, which needs neither the site file nor a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from bascule.errors import BasculeError, Problem
from bascule.guests import choice
from bascule.guests.changes import Act, GuestChange
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.libvirt_networks import NetworkChange, apply_networks
from bascule.guests.plug import Plug
from bascule.guests.qemu import QemuDriver
from bascule.model.domain import Domain, LibvirtNetwork
from bascule.model.site import GuestNic
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.plan.change import Change, Note
from bascule.providers.guest_nics import find_nic


class Seen(Struct, frozen=True, kw_only=True):
    """A driver and what it knows at one moment."""

    driver: choice.Driver
    domains: tuple[Domain, ...] = ()
    networks: tuple[LibvirtNetwork, ...] = ()

    @property
    def is_libvirt(self) -> bool:
        """Whether libvirt runs the guests, and makes the virtual networks therefore."""
        return self.driver.name == "libvirt"


class GuestPart(Struct, frozen=True, kw_only=True):
    """What whoever runs the guests has to do, and to whom."""

    seen: Seen
    networks: tuple[NetworkChange, ...] = ()
    guests: tuple[GuestChange, ...] = ()

    kind: ClassVar[str] = "guests"

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes as the plan prints them: networks before the guests that are plugged into them."""
        return (*(change.as_change() for change in self.networks), *(change.as_change() for change in self.guests))

    @property
    def moved_taps(self) -> frozenset[str]:
        """Taps that the driver itself moves to another bridge, so that the kernel's part must not."""
        return frozenset(change.tap for change in self.guests if change.cuts and change.tap)

    @property
    def own_links(self) -> frozenset[str]:
        """The bridges of libvirt's networks."""
        return frozenset(change.resolved_network.bridge for change in self.networks)

    def keep(self) -> dict[str, Any]:
        """What it takes to go back, of this moment. Raises BasculeError."""
        driver = self.seen.driver
        if isinstance(driver, QemuDriver):
            facts = _facts(driver, self._names())
            return {"driver": "qemu", "guests": facts, "made": self._made(), "taps": sorted(self.moved_taps)}
        there = {text.name: text for text in driver.hypervisor.networks()}
        return {
            "driver": "libvirt",
            "uri": driver.hypervisor.uri,
            "guests": [asdict(text) for text in driver.snapshot(self._names())],
            "made": self._made(),
            "taps": sorted(self.moved_taps),
            "networks": {
                change.resolved_network.name: asdict(there[change.resolved_network.name])
                if change.resolved_network.name in there
                else None
                for change in self.networks
            },
        }

    def made(self) -> dict[str, Any]:
        """The same things right after the change, so that the way back can tell what others changed since."""
        driver = self.seen.driver
        names = (*self._names(), *self._made())
        if isinstance(driver, QemuDriver):
            return {"guests": _facts(driver, names)}
        there = {text.name: text for text in driver.hypervisor.networks()}
        return {
            "guests": [asdict(text) for text in driver.snapshot(names)],
            "networks": {
                c.resolved_network.name: asdict(there[c.resolved_network.name])
                for c in self.networks
                if c.resolved_network.name in there
            },
        }

    def _names(self) -> tuple[str, ...]:
        """Guests that are there and that something happens to."""
        touched = [change.guest.name for change in self.guests if change.act is not Act.DEFINE]
        on_networks = [name for change in self.networks for name in change.guests]
        return tuple(dict.fromkeys((*touched, *on_networks)))

    def _made(self) -> list[str]:
        return [change.guest.name for change in self.guests if change.act is Act.DEFINE]

    def make(self, wanted: HostState) -> tuple[Note, ...]:
        """Make the changes, one by one; ``wanted`` is the kernel's state. Raises BasculeError at the first that fails.

        Whoever calls it takes the whole back then, by what ``keep`` said.
        """
        mtus = {str(name): link.mtu for name, link in wanted.links.items() if link.is_bridge}
        driver = self.seen.driver
        if isinstance(driver, LibvirtDriver):
            apply_networks(driver.hypervisor, self.networks)
        there = {domain.name: domain for domain in self.seen.domains}
        notes: list[Note] = []
        for change in self.guests:
            notes += _make(driver, change, there.get(change.guest.name), mtus)
        return tuple(notes)


def _facts(driver: QemuDriver, names: Iterable[str]) -> dict[str, Any]:
    """Bare QEMU guests: what each was defined as, and where its NICs are now."""
    live = {domain.name: domain for domain in driver.domains()}
    return {
        name: {
            "definition": driver.definition(name),
            "running": live[name].running,
            "bridges": {nic.tap: nic.bridge for nic in live[name].nics if nic.bridge},
        }
        for name in names
        if name in live
    }


def _make(
    driver: choice.Driver, change: GuestChange, domain: Domain | None, mtus: Mapping[str, int]
) -> tuple[Note, ...]:
    if change.nic is None:
        return choice.define(driver, change.guest)
    nic = _as_there(change.nic, domain)
    bridge = nic.master or IfName(nic.into)
    plug = Plug(nic=nic, bridge=bridge, mtu=mtus.get(bridge, 1500))
    if isinstance(driver, LibvirtDriver):
        return driver.attach([plug]) if change.act is Act.ATTACH else driver.replug([plug])
    _refuse_macvtap(change)
    notes: tuple[Note, ...] = ()
    if change.act is Act.ATTACH:
        choice.remember(driver, nic.guest, lambda nics: (*nics, nic))  # before, so that the way back knows of it
        notes = driver.attach([plug])
    else:
        if change.act is Act.REPLUG:
            notes = driver.replug([plug])
        choice.remember(driver, nic.guest, lambda nics: tuple(nic if n.index == nic.index else n for n in nics))
    return notes


def _refuse_macvtap(change: GuestChange) -> None:
    nic = change.nic
    if nic is not None and nic.shared_nic:
        raise BasculeError(
            Problem(
                code="PLUG-UNSUPPORTED",
                message=f"'{nic.guest}', NIC {nic.index}: bare QEMU cannot be plugged into macvtap on {nic.into}",
                place=nic.place if nic.place.line else None,
                hint="let libvirt run it (--driver libvirt), or use a bridge",
            )
        )


def _as_there(nic: GuestNic, domain: Domain | None) -> GuestNic:
    """The file's NIC with the MAC that it has: where the file gives none, the guest keeps its own."""
    found = find_nic((*domain.nics, *domain.next_nics), nic) if domain else None
    return replace(nic, mac=found.mac) if found is not None and found.mac else nic
