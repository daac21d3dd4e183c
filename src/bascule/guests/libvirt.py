"""The libvirt driver: guests that libvirt runs are defined, plugged, re-plugged and put back as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.guests.libvirt_undo import WayBack, find_domain, plug_live, wait_released
from bascule.guests.plug import Plug
from bascule.model.domain import DomainText
from bascule.model.site import Attachment, Guest, GuestNic, PlugKind
from bascule.model.values import IfName, Mac
from bascule.plan.change import Note
from bascule.providers.libvirt import domain_xml
from bascule.providers.libvirt.domain_xml import Element
from bascule.system.libvirt import Hypervisor


class _Nic(Struct, frozen=True):
    """A NIC as libvirt has it: in the running domain and in its definition; None where it is not."""

    live: Element | None
    config: Element | None


class LibvirtDriver:
    """Guests of one libvirt. A call changes all NICs that it is given, or puts all domains back and raises."""

    name: ClassVar[str] = "libvirt"

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor

    # -- whole guests -------------------------------------------------------------------------------------------

    def define(self, guest: Guest, *, accel: str, nic_model: str = "virtio") -> tuple[Note, ...]:
        """Write a guest's definition, or bring an existing one to the declaration with all else as it was."""
        before = self.find(guest.name)
        if before is None:
            self.hypervisor.define_domain(domain_xml.build(guest, accel=accel, nic_model=nic_model))
            return ()
        xml, unknown = domain_xml.edited(before.next, guest, nic_model=nic_model)
        self.hypervisor.define_domain(xml)
        notes = [
            Note(kind="foreign", subject=guest.name, text=f"its NIC {nic} is not in the site file") for nic in unknown
        ]
        if before.running:
            text = (
                "it runs: the new definition takes effect at its next start; `bascule guest replug` moves its NICs now"
            )
            notes.append(Note(kind="waiting", subject=guest.name, text=text))
        return tuple(notes)

    def undefine(self, name: str) -> None:
        """Take a definition away; disks stay."""
        self.hypervisor.undefine_domain(name)

    def start(self, name: str) -> None:
        """Start a guest; one that runs is left alone."""
        if not self.hypervisor.domain(name).running:
            self.hypervisor.start_domain(name)

    def stop(self, name: str) -> None:
        """Pull a guest's plug."""
        self.hypervisor.stop_domain(name)

    def find(self, name: str) -> DomainText | None:
        """A domain by its name, None where there is none."""
        return find_domain(self.hypervisor, name)

    # -- NICs, as the protocol has them -------------------------------------------------------------------------

    def attach(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Give guests these NICs, now and at every start."""
        with self.all_or_nothing(plug.nic.guest for plug in plugs):
            for plug in plugs:
                self._attach(plug.nic, self._source(plug))
        return ()

    def detach(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Take NICs away, now and for every start."""
        with self.all_or_nothing(nic.guest for nic in nics):
            for nic in nics:
                self.remove(nic.guest, nic.mac)
        return ()

    def unplug(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Pull the cable."""
        with self.all_or_nothing(nic.guest for nic in nics):
            for nic in nics:
                self.set_link(nic.guest, nic.mac, up=False)
        return ()

    def replug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Move NICs; those that libvirt cannot move live move at the next start, and a note says so."""
        notes: list[Note] = []
        with self.all_or_nothing(plug.nic.guest for plug in plugs):
            for plug in plugs:
                notes += self._move(plug.nic.guest, plug.nic.mac, self._source(plug), tap=plug.nic.tap)
        return tuple(notes)

    def _source(self, plug: Plug) -> Attachment:
        if plug.nic.plug is not PlugKind.BRIDGE:
            return plug.nic.attachment
        return Attachment(PlugKind.BRIDGE, plug.bridge)

    # -- NICs of any domain, in the site file or not ------------------------------------------------------------

    def move(self, name: str, mac: Mac, to: Attachment) -> tuple[Note, ...]:
        """Re-plug one NIC: link down, move, link up, in what runs and in the definition."""
        with self.all_or_nothing([name]):
            return tuple(self._move(name, mac, to))

    def add(self, name: str, mac: Mac, to: Attachment, *, tap: IfName | None, model: str = "virtio") -> None:
        """Give a domain one more NIC."""
        with self.all_or_nothing([name]):
            self._add(name, domain_xml.new_interface(to, mac=mac, tap=tap, model=model))

    def remove(self, name: str, mac: Mac) -> None:
        """Take a NIC away. Raises if the guest does not release it within RELEASE_S seconds."""
        nic = self._nic(name, mac)
        if nic.live is not None:
            self.hypervisor.detach_device(name, domain_xml.text(nic.live), live=True)
            wait_released(self.hypervisor, name, mac)
        if nic.config is not None:
            self.hypervisor.detach_device(name, domain_xml.text(nic.config), live=False)

    def set_link(self, name: str, mac: Mac, *, up: bool) -> None:
        """Put a NIC's cable in or pull it out, now and for every start."""
        nic = self._nic(name, mac)
        for element, live in ((nic.live, True), (nic.config, False)):
            if element is not None and domain_xml.is_up(element) != up:
                self.hypervisor.update_device(name, domain_xml.text(domain_xml.linked(element, up=up)), live=live)

    def _attach(self, nic: GuestNic, to: Attachment) -> None:
        self._add(nic.guest, domain_xml.new_interface(to, mac=nic.mac, tap=nic.tap))

    def _add(self, name: str, element: Element) -> None:
        domain = self.hypervisor.domain(name)
        mac = Mac(domain_xml.mac_of(element))
        kind, into = domain_xml.plug_of(element)
        self._refuse_unknown_network(Attachment(PlugKind(kind), into))
        self._refuse_taken(name, mac)
        xml = domain_xml.text(element)
        if domain.running:
            self.hypervisor.attach_device(name, xml, live=True)
        if domain.persistent:
            self.hypervisor.attach_device(name, xml, live=False)

    def _refuse_unknown_network(self, to: Attachment) -> None:
        """A definition takes any name; the guest would not start later."""
        if to.kind is not PlugKind.NETWORK:
            return
        names = [network.name for network in self.hypervisor.networks()]
        if to.into not in names:
            raise BasculeError.of(
                "LIBVIRT-NO-NETWORK",
                f"libvirt has no network '{to.into}'",
                hint=f"it has: {', '.join(names)}" if names else "it has none; `virsh net-list --all` shows them",
            )

    def _refuse_taken(self, name: str, mac: Mac) -> None:
        """Libvirt itself takes the same MAC twice; a switch does not."""
        for other in self.hypervisor.domains():
            for document in {other.now, other.next}:
                if domain_xml.find(domain_xml.parse(document), mac) is not None:
                    state = "" if other.running else " (shut off)"
                    raise BasculeError.of(
                        "MAC-TAKEN",
                        f"domain '{other.name}'{state} already has a NIC with the MAC {mac}; '{name}' cannot have it",
                        hint="leave the MAC out and one is derived, or give another",
                    )

    def _nic(self, name: str, mac: Mac) -> _Nic:
        domain = self.hypervisor.domain(name)
        live = domain_xml.find(domain_xml.parse(domain.now), mac) if domain.running else None
        config = domain_xml.find(domain_xml.parse(domain.next), mac) if domain.persistent else None
        if live is None and config is None:
            have = [domain_xml.mac_of(element) for element in domain_xml.interfaces(domain_xml.parse(domain.now))]
            raise BasculeError.of(
                "NIC-MISSING",
                f"domain '{name}' has no NIC with the MAC {mac}",
                hint=f"it has {', '.join(have)}" if have else "it has no NIC; `bascule guest attach` gives it one",
            )
        return _Nic(live, config)

    def _move(self, name: str, mac: Mac, to: Attachment, *, tap: IfName | None = None) -> Iterator[Note]:
        nic = self._nic(name, mac)
        self._refuse_unknown_network(to)
        waiting: str | None = None
        if nic.live is not None:
            waiting = domain_xml.why_not_live(nic.live, to) or self._move_live(name, nic.live, to)
        if nic.config is not None:
            config = domain_xml.linked(domain_xml.replugged(nic.config, to), up=True)
            if tap is not None:
                config = domain_xml.named(config, tap)
            self.hypervisor.update_device(name, domain_xml.text(config), live=False)
        if waiting:
            text = (
                f"{waiting}; its definition says {to} now, which takes effect when the guest is shut down and started "
                "again (a reboot from inside is not enough)"
            )
            if nic.config is None:
                raise BasculeError.of(
                    "NIC-NOT-MOVED", f"'{name}', NIC {mac}: {waiting}, and the domain has no definition"
                )
            yield Note(kind="waiting", subject=f"{name} {mac}", text=text)

    def _move_live(self, name: str, live: Element, to: Attachment) -> str | None:
        """Link down, then the move and link up in one call, so that the guest misses as little as possible.

        The reason, if libvirt says that this cannot be done while the guest runs; the cable is in again then.
        """
        moved = domain_xml.linked(domain_xml.replugged(live, to), up=True)
        if domain_xml.plug_of(live) == domain_xml.plug_of(moved) and domain_xml.is_up(live):
            return None  # already there
        try:
            plug_live(self.hypervisor, name, live, moved)
        except BasculeError as error:
            if error.problems[0].code != "LIBVIRT-NOT-LIVE":
                raise
            self.hypervisor.update_device(name, domain_xml.text(domain_xml.linked(live, up=True)), live=True)
            return error.problems[0].message
        return None

    # -- undo ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def all_or_nothing(self, names: Iterable[str], made: Iterable[str] = ()) -> Iterator[None]:
        """If the block fails, put these domains back as they were, and undefine those that it made. Can be nested."""
        before = self.snapshot(names)
        try:
            yield
        except (BasculeError, KeyboardInterrupt) as error:
            try:
                for name in made:
                    if (there := self.find(name)) is not None and not there.running:
                        self.hypervisor.undefine_domain(name)
                self.restore(before)
            except BasculeError as worse:
                first = error.problems if isinstance(error, BasculeError) else ()
                raise BasculeError(*first, *worse.problems) from error
            raise

    def snapshot(self, names: Iterable[str]) -> tuple[DomainText, ...]:
        """These domains as they are: what `restore` takes, and what a checkpoint can keep."""
        return tuple(self.hypervisor.domain(name) for name in dict.fromkeys(names))

    def restore(self, before: Sequence[DomainText], applied: Sequence[DomainText] = ()) -> tuple[str, ...]:
        """Put the NICs of domains back as they were, live and in their definitions; see :mod:`libvirt_undo`."""
        way = WayBack(self.hypervisor)
        try:
            return way.go(before, applied)
        finally:
            self.hypervisor = way.hypervisor
