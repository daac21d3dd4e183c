"""Bare QEMU guests, each a process with its taps and its monitor: how they are started and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.guests import taps
from bascule.guests.accelerator import accel
from bascule.guests.plug import Plug
from bascule.model.site import Guest, GuestNic
from bascule.model.values import tap_mac
from bascule.plan.change import Note
from bascule.providers.guest_nics import DEFAULT_MEMORY
from bascule.providers.qemu import command_line
from bascule.providers.qemu.command_line import Boot, Files
from bascule.providers.qemu.effects import process_of
from bascule.system.net.iproute import batch_lines, masters_of_links
from bascule.system.net.netns import Namespace
from bascule.system.run import run


class QemuDriver:
    """Guests of one host. ``folder`` keeps one folder per guest: its monitor, its console, what it was made from.

    Guests outlive us unless a sandbox ends them. ``namespace`` is the host's; None is the one that we are in. One that
    does not reboot ends instead, as when its kernel panics. Without ``accel`` it is found out when one is started.
    """

    name: ClassVar[str] = "qemu"

    def __init__(
        self,
        folder: Path,
        guests: Mapping[str, Guest],
        *,
        accel: str = "",
        namespace: Namespace | None = None,
        reboots: bool = True,
        nic_model: str = "virtio-net-pci",
    ) -> None:
        self._folder = folder
        self._guests = guests
        self._accel = accel
        self._nic_model = nic_model
        self._namespace = namespace
        self._reboots = reboots

    def attach(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """The taps, each on its bridge, for guests that are started next."""
        self._refuse_other_plugs([plug.nic for plug in plugs])
        there = masters_of_links(self._namespace)
        lines = []
        for plug in plugs:
            tap = plug.nic.tap
            if tap not in there:
                lines.append(f"tuntap add dev {tap} mode tap")
            # the MTU before the bridge, which takes the smallest of its ports; a MAC that no bridge takes for its own
            lines.append(f"link set dev {tap} address {tap_mac(plug.nic.mac)} mtu {plug.mtu} addrgenmode none")
            if plug.by_kernel:
                lines.append(f"link set dev {tap} master {plug.bridge}")
            lines.append(f"link set dev {tap} up")
        self._ip(lines, undo=[f"link del dev {plug.nic.tap}" for plug in plugs if plug.nic.tap not in there])
        taps.tag(plugs, self._namespace)
        taps.ignore_routers(plugs, self._namespace)
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

    def _ip(self, lines: Sequence[str], *, undo: Sequence[str] = ()) -> None:
        wrong = batch_lines("ip", lines, namespace=self._namespace)
        if wrong is not None:
            batch_lines("ip -force", undo, namespace=self._namespace)
            what = (
                f"'ip {lines[wrong.line]}'"
                if wrong.line is not None and wrong.line < len(lines)
                else "a change of taps"
            )
            raise CommandFailed.of("TAP-FAILED", f"{what} failed: {wrong.reason}")

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
        there = masters_of_links(self._namespace)
        accelerator = self._accel or accel().name
        boot = None
        if guest.kernel:
            boot = Boot(kernel=guest.kernel, initrd=guest.initrd, cmdline=guest.cmdline)
        return command_line.arguments(
            guest,
            accel=accelerator,
            memory=guest.memory or DEFAULT_MEMORY,
            nics=[(nic, nic.tap) for nic in guest.nics if nic.tap in there],
            files=files,
            boot=boot,
            reboots=self._reboots,
            nic_model=self._nic_model,
            vhost=accelerator == "kvm" and Path("/dev/vhost-net").exists(),
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
        there = masters_of_links(self._namespace)
        self._ip([f"link del dev {nic.tap}" for nic in (guest.nics if guest else ()) if nic.tap in there])

    def is_running(self, name: str) -> bool:
        """Whether its process lives: the one of its pid file, with its monitor on the command line."""
        return self._pid(name) is not None

    def _pid(self, name: str) -> int | None:
        return process_of(self._folder / name)

    def _files(self, name: str) -> Files:
        return Files(folder=self._folder / name)
