"""Guests that bare QEMU runs, for the verbs about guests."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec.structs import replace

from bascule.errors import BasculeError, NotPermitted
from bascule.guests.checks import unguarded
from bascule.guests.paths import qemu_folder, unread_guests
from bascule.guests.plug import Plug
from bascule.guests.runtimes.qemu_process import QemuDriver
from bascule.guests.runtimes.runtime import bring, bring_or_take_back, next_nic, plugged_nic, run
from bascule.host.live import HERE
from bascule.model.domain import Domain, DomainNic
from bascule.model.site import Attachment, Guest, GuestNic, SwitchedNic
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac
from bascule.plan.change import Change, Command, Note
from bascule.plan.step import ip
from bascule.providers.observe import observe as observe_host
from bascule.providers.qemu import QEMU
from bascule.providers.qemu.command_line import Files
from bascule.providers.qemu.diff import monitor
from bascule.providers.qemu.effects import observe, process_of
from bascule.providers.qemu.state import QemuGuest, QemuState, definition, guest_of, nic_of
from bascule.providers.qemu.want import attach, detach, refuse_macvtap, replug, without_autostart
from bascule.providers.registry import switches_of, switches_with
from bascule.system.run import find_tool


def answering(_: str | None, guests: Mapping[str, Guest]) -> QemuRuntime:
    """The guests of QEMU alone. Raises MissingTool where it is not here."""
    find_tool("qemu-system-x86_64")
    return QemuRuntime(guests)


class QemuRuntime:
    """The guests of this host; those of the site file and those that were defined before."""

    name: ClassVar[str] = "qemu"
    uri: ClassVar[str] = ""

    def __init__(self, guests: Mapping[str, Guest] | None = None) -> None:
        self._guests = dict(guests or {})

    def _look(self, _: BasculeError | None = None) -> HostState:
        """The links too, for a tap takes its MTU from its bridge."""
        return QEMU.with_part(observe_host(), self._state())

    def _state(self) -> QemuState:
        """Raises NotPermitted where this user may not see which guests there are."""
        for message in unread_guests():
            raise NotPermitted.of("NOT-PERMITTED", message, hint="run it as root")
        return observe(qemu_folder(), HERE)

    def domains(self) -> tuple[Domain, ...]:
        """All guests that were defined."""
        return self._state().seen_domains

    def define(self, guest: Guest, *, nic_model: str = "virtio") -> tuple[Note, ...]:  # virtio it is
        """Keep what the guest is, so that it can be started and listed later."""
        before = self._look()
        part: QemuState = QEMU.part(before)
        there = part.guests.get(guest.name)
        made = QemuGuest(definition=definition(guest))
        if there is not None:
            made = replace(there, definition=definition(guest))
        bring(QEMU, before, _with(part, made), HERE)
        return tuple(without_autostart([guest]))

    def start(self, name: str) -> None:
        """The taps, then the guest. Raises BasculeError for one whose guard is not loaded."""
        there = self._state().guests
        known = {one: guest_of(guest.definition) for one, guest in there.items()}
        driver = QemuDriver(qemu_folder(), known | self._guests)
        host = observe_host()
        links = host.links
        if not there[name].running and (missing := unguarded(known[name].nics, host)):
            raise BasculeError(*missing)
        plugs = []
        for nic in known[name].nics:
            bridge = nic.master or IfName(nic.into)
            by_kernel = bridge not in links or links[bridge].options.by_kernel
            mtu = links[bridge].mtu if bridge in links else 1500
            plugs.append(Plug(nic=nic, bridge=bridge, mtu=mtu, by_kernel=by_kernel))
        driver.attach(plugs)
        switched = [plug.nic for plug in plugs if not plug.by_kernel]
        _on_switch(switched)
        try:
            driver.start([name])
        except BasculeError:
            _off_switch([nic.tap for nic in switched])
            raise

    def stop(self, name: str) -> None:
        """Pull the plug, taps away."""
        known = {one: guest_of(guest.definition) for one, guest in self._state().guests.items()}
        QemuDriver(qemu_folder(), known).stop(name)
        _off_switch([nic.tap for nic in known[name].nics])

    def shutdown(self, name: str, mode: str) -> None:
        """Press the power button. Raises BasculeError for an agent, which such a guest has no channel for."""
        if mode == "agent":
            hint = "leave --mode away, or run the guest by libvirt with a guest agent channel"
            raise BasculeError.of("GUEST-NO-AGENT", f"'{name}' has no channel for a guest agent", hint=hint)
        press = monitor(f"{qemu_folder()}/{name}/qmp", "system_powerdown")
        run((Change(subject=name, action="its power button is pressed", reason="", commands=(press,)),), HERE)

    def autostart(self, name: str, *, on: bool) -> None:
        """Nobody starts it: it is a process."""
        hint = "libvirt can (--driver libvirt); or start it by a systemd unit: bascule guest start " + name
        raise BasculeError.of(
            "GUEST-NO-AUTOSTART", f"'{name}' is run by bare QEMU, which starts nothing with the host", hint=hint
        )

    def undefine(self, name: str) -> None:
        """Take its folder away: definition, console and log."""
        shutil.rmtree(qemu_folder() / name)

    def console(self, name: str) -> tuple[str, ...]:
        """What it printed so far and prints from now on; it has no keyboard, for its serial port goes to a file."""
        folder = qemu_folder() / name
        ended = f"--pid={process_of(folder)}"
        return (find_tool("tail"), "--lines=+1", "--follow", ended, str(Files(folder=folder).console))

    def replug(self, domain: Domain, nic: DomainNic, to: Attachment) -> tuple[Note, ...]:
        """Move a NIC, or put its cable in again."""
        before = self._look()
        other = plugged_nic(domain.name, nic, to, before)
        refuse_macvtap(other)
        part: QemuState = QEMU.part(before)
        guest = part.guests[domain.name]
        kept = next(nic_of(domain.name, one) for one in guest.rows if one["index"] == nic.index)
        stays = kept.attachment == to  # its cable is put in again, with the VLANs that it has
        other = replace(other, guarding=kept.guarding, switched=kept.switched if stays else other.switched)
        if domain.running and (missing := unguarded((other,), before)):
            raise BasculeError(*missing)
        moved = _with(part, replug(guest, nic.index, other))
        was, to_bridge = guest.bridges.get(nic.tap), other.master
        if was == to_bridge:
            moved = replace(moved, again=(nic.tap,))
        if was is None or was == to_bridge or not any(switches_with(before, str(one)) for one in (was, to_bridge)):
            return self._change(before, moved)
        _carry(before, other, str(to_bridge), was)
        try:
            return self._change(before, moved)
        except BasculeError:
            old = next(row for row in guest.rows if row["index"] == nic.index)
            _carry(before, nic_of(domain.name, old), was, str(to_bridge))
            raise

    def unplug(self, domain: Domain, nic: DomainNic) -> None:
        """Pull the cable; nobody would remember that of a guest that does not run."""
        if not domain.running:
            hint = "its cable can be pulled only while it runs; `bascule guest detach` removes the NIC"
            raise BasculeError.of("GUEST-OFF", f"'{domain.name}' does not run", hint=hint)
        out = monitor(f"{qemu_folder()}/{domain.name}/qmp", "set_link", name=f"nic{nic.index}", up=False)
        subject = f"{domain.name}, NIC {nic.index}"
        run((Change(subject=subject, action="its cable is pulled", reason="", commands=(out,)),), HERE)

    def attach(self, domain: Domain, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str) -> DomainNic:
        """Give a guest one more NIC, now and at every start."""
        made = next_nic(domain, to, mac=mac, tap=tap, model=model)
        nic = plugged_nic(domain.name, made, to, self._look())
        refuse_macvtap(nic)
        self._edit(domain.name, lambda guest: attach(guest, nic))
        return made

    def detach(self, domain: Domain, nic: DomainNic) -> None:
        """Take a NIC away."""
        self._edit(domain.name, lambda guest: detach(guest, nic.index))

    def _edit(self, name: str, change: Any) -> tuple[Note, ...]:
        before = self._look()
        part: QemuState = QEMU.part(before)
        return self._change(before, _with(part, change(part.guests[name])))

    def _change(self, before: HostState, part: QemuState) -> tuple[Note, ...]:
        return bring_or_take_back(QEMU, before, part, HERE, self._look)


def _with(state: QemuState, guest: QemuGuest) -> QemuState:
    return replace(state, guests={**state.guests, guest.definition["name"]: guest})


def _carry(state: HostState, nic: GuestNic, into: str, was: str) -> None:
    """A running guest's tap from one bridge to another, where one of them is not the kernel's."""
    left = switches_with(state, was)
    away = left.leave(nic.tap) if left else ip("link", "set", "dev", nic.tap, "nomaster")
    _tell(f"leave {was} for {into}", away, _joined(state, nic, into))


def _joined(state: HostState, nic: GuestNic, into: str) -> Command:
    part = switches_with(state, into)
    if part is None:
        return ip("link", "set", "dev", nic.tap, "master", into)
    return part.join(into, nic.tap, nic.switched or SwitchedNic(), isolated=bool(nic.guarding.port_flag))


def _on_switch(nics: Sequence[GuestNic]) -> None:
    """Put taps into bridges that are not the kernel's; back out if one is refused."""
    state = observe_host()
    if not switches_of(state):
        return
    joined = (_joined(state, nic, nic.into) for nic in nics)
    try:
        _tell(f"become ports of {', '.join(sorted({nic.into for nic in nics}))}", *joined)
    except BasculeError:
        _off_switch([nic.tap for nic in nics])
        raise


def _off_switch(taps: Sequence[str]) -> None:
    """Take taps out of bridges that are not the kernel's, whether they are there or not."""
    held = ((part, tap) for part in switches_of(observe_host()) for tap in taps if tap in part.ports)
    _tell("are no ports any more", *(part.leave(tap) for part, tap in held))


def _tell(action: str, *commands: Command) -> None:
    if commands:
        run((Change(subject="taps", action=action, reason="", commands=commands),), HERE)
