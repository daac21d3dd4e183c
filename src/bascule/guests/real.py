"""Real guests for a twin: each guest of the site file as a virtual machine of its own, by bare QEMU or by libvirt.

The order of use: ``start`` (taps plugged by the same driver as on a host, all guests boot at the same time),
``addresses`` (what they have, leases among it), ``ask`` (the questions that only the guest itself can put), ``close``.
To be used inside ``system.sandbox.sandboxed``; the image and the accelerator are found outside of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

from bascule.errors import BasculeError
from bascule.guests import domain_xml, tiny
from bascule.guests.kernel import GuestImage
from bascule.guests.libvirt import LibvirtDriver
from bascule.guests.libvirtd import PrivateLibvirt
from bascule.guests.protocol import Plug
from bascule.guests.qemu import START_S, QemuDriver
from bascule.guests.qemu_command import Files
from bascule.guests.questions import Answer, ask
from bascule.model.site import Guest, Service
from bascule.model.values import IpAddress, IpInterface, Mac
from bascule.plan.change import Note
from bascule.system.netns import Namespace

Gateways = Mapping[str, Mapping[int, Sequence[IpAddress]]]  # guest → NIC index → its default gateways
LEASE_S = 20.0  # from a guest's readiness to its lease; an emulated guest on a busy machine


class RealGuests:
    """The guests of one host. ``driver`` is the one that attaches, moves and unplugs them."""

    def __init__(
        self,
        kind: Literal["qemu", "libvirt"],
        namespace: Namespace,
        guests: Mapping[str, Guest],
        *,
        image: GuestImage,
        accel: str,
        folder: Path,
        gateways: Gateways | None = None,
    ) -> None:
        """Nothing runs yet but, for libvirt, a libvirtd in the host's namespace. Raises as that does."""
        given = gateways or {}
        self._guests = {
            name: tiny.as_tiny(guest, str(image.kernel), str(image.initrd), given.get(name))
            for name, guest in guests.items()
        }
        self._folder = folder
        self._accel = accel
        self._libvirt: PrivateLibvirt | None = None
        self.driver: QemuDriver | LibvirtDriver
        if kind == "qemu":
            self.driver = QemuDriver(folder, guests, accel=accel, namespace=namespace, image=image, gateways=given)
        else:
            self._libvirt = PrivateLibvirt(namespace, folder / "libvirt")
            self.driver = LibvirtDriver(self._libvirt.connect())

    def start(self, plugs: Sequence[Plug], *, timeout_s: float = START_S) -> tuple[Note, ...]:
        """Plug and boot all guests; returns when all are up, with a note for each that is late or leaves something out.

        Raises BasculeError where a bridge is not there or a guest does not start.
        """
        names = list(self._guests)
        if isinstance(self.driver, QemuDriver):
            self.driver.attach(plugs)
            self.driver.start(names)
        else:
            self._start_through_libvirt(self.driver, plugs)
        missing = [
            Note(kind="unsupported", subject=name, text=f"{service}: the tiny guest of a twin has no UDP server")
            for name, guest in self._guests.items()
            for service in tiny.not_served(guest)
        ]
        return (*missing, *self._wait(names, timeout_s))

    def _start_through_libvirt(self, driver: LibvirtDriver, plugs: Sequence[Plug]) -> None:
        bridged = {(plug.nic.guest, plug.nic.index) for plug in plugs}
        for name, guest in self._guests.items():
            files = self._files(name)
            files.folder.mkdir(parents=True, exist_ok=True)
            nics = tuple(nic for nic in guest.nics if (name, nic.index) in bridged)
            xml = domain_xml.build(
                Guest(
                    name=name,
                    host=guest.host,
                    memory=guest.memory,
                    kernel=guest.kernel,
                    initrd=guest.initrd,
                    cmdline=guest.cmdline,
                    nics=nics,
                ),
                accel=self._accel,
                machine="pc",
                console=str(files.console),
                questions=str(files.questions),
            )
            driver.hypervisor.define_domain(xml)
            driver.start(name)

    def _wait(self, names: Sequence[str], timeout_s: float) -> tuple[Note, ...]:
        end = time.monotonic() + timeout_s
        waiting = list(names)
        while waiting and time.monotonic() < end:
            waiting = [name for name in waiting if tiny.READY not in self.console(name)]
            time.sleep(0.05)
        return tuple(
            Note(kind="warning", subject=name, text=f"did not boot within {timeout_s:g} s: {self._last_words(name)}")
            for name in waiting
        )

    def _last_words(self, name: str) -> str:
        return " ".join(self.console(name).split()[-20:]) or "it printed nothing"

    def console(self, name: str) -> str:
        """What a guest has printed."""
        with contextlib.suppress(OSError):
            return self._files(name).console.read_text(encoding="utf-8", errors="replace")
        return ""

    def addresses(self, name: str, *, timeout_s: float = LEASE_S) -> Mapping[Mac, tuple[IpInterface, ...]]:
        """The addresses of a guest's NICs by MAC. Waits for leases; a NIC that gets none has no address."""
        wanted = {nic.mac for nic in self._guests[name].nics if nic.dhcp}
        end = time.monotonic() + timeout_s
        while True:
            found = tiny.parse_addresses(self._ask(name, "address").said)
            if all(found.get(mac) for mac in wanted) or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def ask(self, name: str, service: Service, address: IpAddress) -> Answer:
        """Have a guest try to reach an address: ping, or a TCP connection to the service's first port.

        Raises BasculeError for what the tiny guest cannot ask (UDP, ARP), and where it does not answer us.
        """
        if service.protocol == "icmp":
            return self._ask(name, f"ping {address}")
        if service.protocol == "tcp":
            return self._ask(name, f"tcp {address} {service.first}")
        raise BasculeError.of("GUEST-CANNOT-ASK", f"the tiny guest '{name}' cannot ask {service}")

    def _ask(self, name: str, question: str) -> Answer:
        return ask(self._files(name).questions, question, timeout_s=15.0)

    def _files(self, name: str) -> Files:
        return Files(folder=self._folder / name)

    def close(self) -> None:
        """Stop them all, taps away."""
        if self._libvirt is not None:
            self._libvirt.close()
        elif isinstance(self.driver, QemuDriver):
            for name in self._guests:
                self.driver.stop(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
