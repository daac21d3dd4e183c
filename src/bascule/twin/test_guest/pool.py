"""Virtual machines of one host for a twin: each guest by bare QEMU or through a libvirt of its own.

The order of use: ``plug`` (the taps, by the same driver as on a host), ``launch`` and ``wait`` (all guests at the same
time), ``addresses`` (what they have, leases among it), ``close``. To be used inside ``system.sandbox.sandboxed``.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests import taps
from bascule.guests.agent import ask
from bascule.guests.plug import Plug
from bascule.guests.runtimes.qemu_process import QemuDriver
from bascule.guests.runtimes.runtime import bring
from bascule.host.live import LiveHost
from bascule.model.site import Guest, GuestNic
from bascule.model.state import HostState
from bascule.model.values import IfName, IpInterface, Mac
from bascule.plan.change import Note
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.providers.libvirt import LIBVIRT, domain_xml, network_xml
from bascule.providers.libvirt.observe import observe
from bascule.providers.qemu.command_line import Files
from bascule.system.net.iproute import batch_lines
from bascule.system.net.links import link_names
from bascule.system.net.netns import Namespace
from bascule.twin.switches import socket_folder
from bascule.twin.test_guest import init
from bascule.twin.test_guest.libvirtd import PrivateLibvirt

BOOT_S = 180.0  # an emulated guest on a very busy machine took 75 s, on an idle one 3 s
MORE_S = 5.0  # for each guest more, all of which boot at the same time
PANIC = "Kernel panic"
ANSWER_S = 15.0  # to a question about itself


class VmPool(ABC):
    """The guests of one host, which have become test guests. Who runs them is left to the two below."""

    def __init__(self, host: Namespace, guests: Mapping[str, Guest], *, accel: str, folder: Path) -> None:
        self.silent: frozenset[str] = frozenset()  # those that did not boot
        self._guests = guests
        self._host = host
        self._folder = folder
        self._accel = accel

    def create(self, existing: Sequence[tuple[GuestNic, Mac, int]]) -> None:
        """Taps that are there before anything is plugged, on no bridge and down, each with a MAC and an MTU."""
        lines = [f"tuntap add dev {nic.tap} mode tap" for nic, _, _ in existing]
        lines += [f"link set dev {nic.tap} address {mac} mtu {mtu}" for nic, mac, mtu in existing]
        wrong = batch_lines("ip", lines, namespace=self._host)
        if wrong is not None:
            raise BasculeError.of("TAP-FAILED", f"the taps of the twin could not be made: {wrong.reason}")

    @abstractmethod
    def plug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Where each NIC belongs."""

    @abstractmethod
    def launch(self) -> None:
        """Start all, and do not wait for them. Raises BasculeError where one does not start."""

    @abstractmethod
    def close(self) -> None:
        """Stop them all, taps away."""

    def wait(self) -> tuple[Note, ...]:
        """Until all are up; a note for each that is not (and now ``silent``), or leaves something out."""
        missing = [
            Note(kind="unsupported", subject=name, text=f"{service}: the test guest of a twin has no UDP server")
            for name, guest in self._guests.items()
            for service in init.not_served(guest)
        ]
        return (*missing, *self._wait(BOOT_S + MORE_S * len(self._guests)))

    def _wait(self, timeout_s: float) -> tuple[Note, ...]:
        """Until all are up; ``silent`` are those that are not, and a note says how each ended."""
        end = time.monotonic() + timeout_s
        waiting = dict.fromkeys(self._guests, "")
        while waiting:
            for name in list(waiting):
                waiting[name] = said = self.console(name)
                if init.READY in said:
                    del waiting[name]
            if time.monotonic() > end or all(PANIC in said for said in waiting.values()):
                break
            time.sleep(0.05)
        self.silent = frozenset(waiting)
        return tuple(
            Note(kind="warning", subject=name, text=f"{_end(said, timeout_s)}: {_last_words(said)}")
            for name, said in waiting.items()
        )

    def console(self, name: str) -> str:
        """What a guest has printed."""
        with contextlib.suppress(OSError):
            return self._files(name).console.read_text(encoding="utf-8", errors="replace")
        return ""

    def questions(self, name: str) -> Path:
        """The socket over which a guest is told what to ask."""
        return self._files(name).questions

    def addresses(
        self, name: str, wanted: Collection[Mac] = (), *, timeout_s: float = 0.0
    ) -> Mapping[Mac, tuple[IpInterface, ...]]:
        """The addresses of a guest's NICs by MAC. Waits for those of ``wanted``; a NIC without a lease has none.

        Raises CommandFailed where the guest says nothing.
        """
        end = time.monotonic() + timeout_s
        while True:
            found = init.parse_addresses(ask(self.questions(name), "address", timeout_s=ANSWER_S).said)
            if all(found.get(mac) for mac in wanted) or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def _files(self, name: str) -> Files:
        return Files(folder=self._folder / name)


class QemuPool(VmPool):
    """Bare QEMU processes on taps that are made and plugged as on a host without libvirt."""

    def __init__(self, host: Namespace, guests: Mapping[str, Guest], *, accel: str, folder: Path) -> None:
        super().__init__(host, guests, accel=accel, folder=folder)
        model = "virtio-net-pci,csum=off,gso=off" if socket_folder(host) is not None else "virtio-net-pci"
        self._driver = QemuDriver(folder, guests, accel=accel, namespace=host, reboots=False, nic_model=model)

    def plug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """The taps on their bridges."""
        return self._driver.attach(plugs)

    def launch(self) -> None:
        """Start the virtual machines; what they print is awaited elsewhere."""
        self._driver.start(list(self._guests))

    def close(self) -> None:
        """End the virtual machines and what was made for them."""
        for name in self._guests:
            self._driver.stop(name)


class LibvirtPool(VmPool):
    """Domains and virtual networks of a libvirt of our own; it makes the taps when it starts them."""

    def __init__(
        self,
        host: Namespace,
        guests: Mapping[str, Guest],
        resolved_networks: Sequence[ResolvedNetwork],
        *,
        accel: str,
        folder: Path,
    ) -> None:
        """Start libvirtd in the host's namespace. Raises MissingTool, NotPermitted or CommandFailed."""
        super().__init__(host, guests, accel=accel, folder=folder)
        self._networks = resolved_networks
        self._plugs: list[Plug] = []
        self._existing: list[IfName] = []
        self._switches = socket_folder(host)
        self._libvirt = PrivateLibvirt(host, folder.with_name(f"{folder.name}-libvirt"), self._switches)
        self._hypervisor = self._libvirt.connect()

    def create(self, existing: Sequence[tuple[GuestNic, Mac, int]]) -> None:
        """Make the taps of guests that stand on bridges; libvirt replaces them when their guest starts."""
        super().create(existing)
        self._existing += [nic.tap for nic, _, _ in existing]

    def plug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Written into the domains."""
        self._plugs += plugs
        return ()

    def launch(self) -> None:
        """The virtual networks, then the domains. Raises BasculeError with libvirt's own words."""
        if self._existing:  # libvirt starts no guest whose tap is there
            batch_lines("ip", (f"link del dev {tap}" for tap in self._existing), namespace=self._host)
        for name in self._guests:
            self._files(name).folder.mkdir(parents=True, exist_ok=True)
        now = observe(self._hypervisor)
        networks = {one.name: network_xml.text_of(one) for one in self._networks}
        domains = {name: domain_xml.text_of(name, self._domain(name), running=True) for name in self._guests}
        part = replace(now, networks=networks, domains=domains)
        bring(LIBVIRT, HostState(parts={LIBVIRT.name: now}), part, LiveHost(self._host))
        taps.tag(self._plugs, self._host)
        there = link_names(self._host)  # a guest that has ended already took its taps along: `wait` tells
        plugs = [plug for plug in self._plugs if plug.nic.tap in there]
        taps.addrgenmode_none(plugs, self._host)
        taps.ignore_routers(plugs, self._host)

    def _domain(self, name: str) -> str:
        files = self._files(name)
        plugged = {(plug.nic.guest, plug.nic.index) for plug in self._plugs}
        guest = self._guests[name]
        built = domain_xml.build(
            replace(guest, nics=tuple(nic for nic in guest.nics if (name, nic.index) in plugged)),
            accel=self._accel,
            machine="pc",
            console=str(files.console),
            questions=str(files.questions),
            reboots=False,
        )
        return built if self._switches is None else domain_xml.with_checksums(built)

    def close(self) -> None:
        """End the virtual machines and what was made for them."""
        self._hypervisor.close()
        self._libvirt.close()


def _end(said: str, timeout_s: float) -> str:
    return "its kernel panicked" if PANIC in said else f"it did not boot within {timeout_s:g} s"


def _last_words(said: str) -> str:
    line = next((line for line in said.splitlines() if PANIC in line), None)
    return line.strip() if line else " ".join(said.split()[-20:]) or "it printed nothing"
