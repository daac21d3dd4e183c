"""The QEMU driver: each guest is a bare QEMU process with its monitor, for hosts without libvirt and for the twin."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.guests import taps
from bascule.guests.gratuitous_arp import announce, forget_elsewhere
from bascule.guests.plug import Plug
from bascule.host.live import LiveHost
from bascule.model.domain import Domain
from bascule.model.site import Guest, GuestNic
from bascule.model.values import tap_mac
from bascule.plan.change import Note
from bascule.providers.qemu import command_line
from bascule.providers.qemu.command_line import Boot, Files
from bascule.providers.qemu.effects import observe, process_of
from bascule.providers.qemu.state import DEFAULT_MEMORY, definition, domain
from bascule.system.net.iproute import batch
from bascule.system.net.netns import Namespace
from bascule.system.qmp import Qmp
from bascule.system.run import run


class QemuDriver:
    """Guests of one host. ``folder`` keeps one folder per guest: its monitor, its console, what it was made from.

    Guests outlive us unless a sandbox ends them. ``namespace`` is the host's; None is the one that we are in. One that
    does not reboot ends instead, as when its kernel panics.
    """

    name: ClassVar[str] = "qemu"

    def __init__(
        self,
        folder: Path,
        guests: Mapping[str, Guest],
        *,
        accel: str,
        namespace: Namespace | None = None,
        reboots: bool = True,
    ) -> None:
        self._folder = folder
        self._guests = guests
        self._accel = accel
        self._namespace = namespace
        self._reboots = reboots

    # -- NICs, as the protocol has them -------------------------------------------------------------------------

    def attach(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """The taps, each on its bridge; a guest that runs gets the NIC at once, the others at their start."""
        self._refuse_other_plugs([plug.nic for plug in plugs])
        there = self._links()
        lines = []
        for plug in plugs:
            tap = plug.nic.tap
            if tap not in there:
                lines.append(f"tuntap add dev {tap} mode tap")
            # the MTU before the bridge, which takes the smallest of its ports; a MAC that no bridge takes for its own
            lines.append(f"link set dev {tap} address {tap_mac(plug.nic.mac)} mtu {plug.mtu} addrgenmode none")
            lines.append(f"link set dev {tap} master {plug.bridge}")
            lines.append(f"link set dev {tap} up")
        self._ip(lines, undo=[f"link del dev {plug.nic.tap}" for plug in plugs if plug.nic.tap not in there])
        taps.tag(plugs, self._namespace)
        for plug in plugs:
            if self.is_running(plug.nic.guest):
                self._hot_add(plug.nic)
        return ()

    def detach(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """The NICs out of the guests that run, and the taps away."""
        for nic in nics:
            if self.is_running(nic.guest):
                with self._monitor(nic.guest) as monitor:
                    if not _has(monitor, nic):
                        continue
                    monitor.ask("device_del", id=command_line.device_id(nic.index))
                    while monitor.wait_event("DEVICE_DELETED").get("device") != command_line.device_id(nic.index):
                        pass
                    monitor.ask("netdev_del", id=command_line.netdev_id(nic.index))
        there = self._links()
        self._ip([f"link del dev {nic.tap}" for nic in nics if nic.tap in there])
        return ()

    def unplug(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """The cable out: the guest sees its link go down."""
        for nic in nics:
            self._set_link(nic, up=False)
        return ()

    def replug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Link down, over to the bridge, link up; back to where they were if one of them fails."""
        self._refuse_other_plugs([plug.nic for plug in plugs])
        links = self._links()
        missing = [plug.nic.tap for plug in plugs if plug.nic.tap not in links]
        if missing:
            raise CommandFailed(
                *(
                    Problem(code="TAP-MISSING", message=f"there is no tap '{tap}': its guest does not run")
                    for tap in missing
                )
            )
        moved: list[Plug] = []
        try:
            for plug in plugs:
                moved.append(plug)
                forget_elsewhere(plug.nic.mac, plug.nic.tap, namespace=self._namespace)
                self._set_link(plug.nic, up=False)
                self._ip([f"link set dev {plug.nic.tap} mtu {plug.mtu} master {plug.bridge}"])
                self._set_link(plug.nic, up=True)
                announce(plug.nic.tap, plug.nic.mac, namespace=self._namespace)
        except BasculeError:
            for plug in moved:
                master = links[plug.nic.tap]
                with contextlib.suppress(BasculeError):  # the first error is the one to tell
                    self._ip([f"link set dev {plug.nic.tap} " + (f"master {master}" if master else "nomaster")])
                with contextlib.suppress(BasculeError):
                    self._set_link(plug.nic, up=True)
            raise
        return ()

    def _refuse_other_plugs(self, nics: Sequence[GuestNic]) -> None:
        problems = [
            Problem(
                code="PLUG-UNSUPPORTED",
                message=f"'{nic.guest}', NIC {nic.index}: the qemu driver cannot plug into macvtap on {nic.into}",
                place=nic.place if nic.place.line else None,
                hint="use the libvirt driver, or a bridge",
            )
            for nic in nics
            if nic.shared_nic
        ]
        if problems:
            raise BasculeError(*problems)

    def _hot_add(self, nic: GuestNic) -> None:
        with self._monitor(nic.guest) as monitor:
            if _has(monitor, nic):
                return
            monitor.ask("netdev_add", **command_line.netdev(nic.tap, nic.index))
            monitor.ask("device_add", **command_line.device(nic.mac, nic.index))

    def _set_link(self, nic: GuestNic, *, up: bool) -> None:
        if not self.is_running(nic.guest):
            return  # the tap alone has no cable to pull
        with self._monitor(nic.guest) as monitor:
            monitor.ask("set_link", name=command_line.device_id(nic.index), up=up)

    def _links(self) -> dict[str, str]:
        """The master of each link, "" where it has none."""
        rows = json.loads(run(("ip", "-j", "link", "show"), namespace=self._namespace).stdout)
        return {row["ifname"]: row.get("master", "") for row in rows}

    def _ip(self, lines: Sequence[str], *, undo: Sequence[str] = ()) -> None:
        if not lines:
            return
        wrong = batch("ip", "\n".join(lines) + "\n", namespace=self._namespace)
        if wrong is not None:
            batch("ip -force", "\n".join(undo) + "\n", namespace=self._namespace)
            what = (
                f"'ip {lines[wrong.line]}'"
                if wrong.line is not None and wrong.line < len(lines)
                else "a change of taps"
            )
            raise CommandFailed(Problem(code="TAP-FAILED", message=f"{what} failed: {wrong.reason}"))

    # -- whole guests -------------------------------------------------------------------------------------------

    def define(self, guest: Guest) -> None:
        """Keep what the guest is, so that it can be started and listed later."""
        folder = self._files(guest.name).folder
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / "guest.json.new"
        half.write_text(json.dumps(definition(guest), indent=1) + "\n")
        half.rename(folder / "guest.json")

    def definition(self, name: str) -> dict[str, Any]:
        """What a guest was defined as, in the shape that ``guest_of`` reads."""
        facts: dict[str, Any] = json.loads((self._files(name).folder / "guest.json").read_text())
        return facts

    def undefine(self, name: str) -> None:
        """Forget a guest that does not run; its disks stay where they are."""
        if self.is_running(name):
            raise BasculeError.of("GUEST-RUNS", f"'{name}' runs", hint=f"stop it first: bascule guest stop {name}")
        shutil.rmtree(self._files(name).folder, ignore_errors=True)

    def start(self, names: Sequence[str]) -> None:
        """Start guests whose taps are there, all at the same time. Raises one problem per guest that does not start."""
        problems = []
        for name in names:
            if self.is_running(name):
                continue
            files = self._files(name)
            files.folder.mkdir(parents=True, exist_ok=True)
            for path in (files.console, files.monitor, files.questions):
                path.unlink(missing_ok=True)
            done = run(self._arguments(name, files), namespace=self._namespace, check=False)
            if done.status != 0:
                words = done.stderr.strip().removeprefix("qemu-system-x86_64: ") or f"exit status {done.status}"
                problems.append(
                    Problem(code="GUEST-NOT-STARTED", message=f"'{name}' did not start: QEMU says: {words}")
                )
        if problems:
            raise CommandFailed(*problems)

    def _arguments(self, name: str, files: Files) -> tuple[str, ...]:
        guest = self._guests[name]
        there = self._links()
        boot = None
        if guest.kernel:
            boot = Boot(kernel=guest.kernel, initrd=guest.initrd, cmdline=guest.cmdline)
        return command_line.arguments(
            guest,
            accel=self._accel,
            memory=guest.memory or DEFAULT_MEMORY,
            nics=[(nic, nic.tap) for nic in guest.nics if nic.tap in there],
            files=files,
            boot=boot,
            daemonize=True,
            reboots=self._reboots,
            vhost=self._accel == "kvm" and Path("/dev/vhost-net").exists(),
        )

    def stop(self, name: str) -> None:
        """Pull the plug, and take the guest's taps away."""
        pid = self._pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 5
            while self.is_running(name):
                if time.monotonic() > end:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)
        guest = self._guests.get(name)
        there = self._links()
        self._ip([f"link del dev {nic.tap}" for nic in (guest.nics if guest else ()) if nic.tap in there])

    def is_running(self, name: str) -> bool:
        """Whether its process lives: the one of its pid file, with its monitor on the command line."""
        return self._pid(name) is not None

    def _pid(self, name: str) -> int | None:
        return process_of(self._folder / name)

    def domains(self) -> tuple[Domain, ...]:
        """What is defined here, running or not, in the shape in which libvirt's domains are seen."""
        seen = observe(self._folder, LiveHost(self._namespace))
        return tuple(domain(guest, self._accel) for guest in seen.guests.values())

    def _monitor(self, name: str) -> Qmp:
        return Qmp(self._files(name).monitor)

    def _files(self, name: str) -> Files:
        return Files(folder=self._folder / name)


def _has(monitor: Qmp, nic: GuestNic) -> bool:
    return any(command_line.device_id(nic.index) == row.get("name") for row in monitor.ask("query-rx-filter"))
