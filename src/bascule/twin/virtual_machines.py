"""Guests of a twin as virtual machines: booted from a kernel, plugged by a host's drivers, asking by themselves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.plug import Plug
from bascule.model.site import Guest, Site
from bascule.model.values import IfName, IpInterface, Mac, Service
from bascule.observe.memory import observe_memory
from bascule.plan.change import Note
from bascule.probe.domain import CapturePoint, GuestAgent, ProbeAttachment
from bascule.probe.question import AGENT_ASKS_AT_MOST, ports_of
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import Endpoint, EndpointNic
from bascule.twin import leases, networks
from bascule.twin.backend import Addresses
from bascule.twin.test_guest import init
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.test_guest.pool import LibvirtPool, QemuPool, VmPool
from bascule.twin.wiring import ExistingTap, Wiring

EMULATED_PATIENCE = 5.0  # an emulated processor is some twenty times slower, and shared by all guests
OVERHEAD = 64 << 20  # bytes that QEMU takes beside a guest's own memory, measured
PORTS = 256  # that one guest serves: a process each
LEASE_S, UNSERVED_S = 20.0, 2.0  # how long one waits for a lease: where the file names a server, and where it does not
LEASE_BOOTS = 4.0  # boots of all guests that a lease may take, on a machine where they take long


class VirtualMachines:
    """One :class:`VmPool` for each host that has guests."""

    def __init__(
        self,
        kind: Literal["qemu", "libvirt"],
        site: Site,
        wiring: Wiring,
        namespaces: Mapping[str, Namespace],
        *,
        accel: str,
        image: GuestImage,
        folder: Path,
    ) -> None:
        self.patience = 1.0 if accel == "kvm" else EMULATED_PATIENCE
        _require_memory(len(wiring.guests))
        self._kind = kind
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self._site = site
        self._wiring = wiring
        self._guests = wiring.guests
        self._namespaces = namespaces
        self._notes: list[Note] = []
        self._found: dict[tuple[str, Mac], tuple[IpInterface, ...]] = {}
        self._silent: set[str] = set()
        self._pools: dict[str, VmPool] = {}
        self._booting_s = 0.0  # measured: what else this machine does, and how slow its processor is played
        for number, (host, own) in enumerate(wiring.resolved_networks.items()):
            guests = {
                name: self._as_test_guest(site.guests[name], end, image)
                for name, end in wiring.guests.items()
                if site.guests[name].host == host
            }
            if not guests and not own:
                continue
            # a short path: a socket's name has at most 107 bytes, a guest's 63
            below = folder / f"vm{number}"
            if kind == "libvirt":
                self._pools[host] = LibvirtPool(namespaces[host], guests, own, accel=accel, folder=below)
            else:
                self._pools[host] = QemuPool(namespaces[host], guests, accel=accel, folder=below)

    def _as_test_guest(self, guest: Guest, end: Endpoint, image: GuestImage) -> Guest:
        settings = {
            plug.index: init.NicSettings(
                gateways=tuple(gateway for link, gateway in end.routes if link == nic.link),
                routes=nic.routes,
                mtu=nic.mtu if nic.mtu != 1500 else None,
            )
            for plug, _, nic in end.plugs
        }
        for nic in end.nics:
            if nic.bridge is None:
                text = f"{nic.link} of {guest.name} shares a NIC (macvtap), which namespaces alone can play here"
                self._notes.append(Note(kind="unsupported", subject=guest.name, text=f"{text}; it is not asked"))
        played = tuple(nic for nic in guest.nics if nic.index in settings)
        less = replace(guest, nics=played, serves=self._served(guest))
        return init.as_test_guest(less, str(image.kernel), str(image.initrd), settings)

    def _served(self, guest: Guest) -> tuple[Service, ...]:
        """What the guest serves; of very many ports only those that will be asked."""
        count = sum(len(service.ports) for service in guest.serves if service.protocol == "tcp")
        if count <= PORTS:
            return guest.serves
        services = [expected.service for expected in self._site.expectations if expected.target == guest.name]
        services += [
            x.service
            for one in self._wiring.resolved_networks[guest.host]
            for x in one.forwards
            if x.guest == guest.name
        ]
        asked = {port for x in services if x.protocol == "tcp" for port in ports_of(x, AGENT_ASKS_AT_MOST)}
        served: dict[Service, None] = {}
        for service in guest.serves:
            if service.protocol == "tcp":
                few = {service.first, service.last} | {port for port in asked if port in service.ports}
                served |= {Service("tcp", port, port): None for port in sorted(few)}
            else:
                served[service] = None
        left = sum(service.protocol == "tcp" for service in served)
        text = f"serves {left} of its {count:,} ports: those that are asked"
        self._notes.append(Note(kind="unsupported", subject=guest.name, text=text))
        return tuple(served)

    def create(self, host: str, existing: Sequence[ExistingTap]) -> None:
        """Persistent taps, which the virtual machines open later."""
        if existing:
            self._pools[host].create([(tap.nic, tap.mac, tap.mtu) for tap in existing])

    def plug(self, host: str, plugs: Sequence[Plug]) -> Iterable[Note]:
        """Each virtual machine's NICs by its driver."""
        return self._pools[host].plug(plugs) if plugs else ()

    def start(self) -> Iterable[Note]:
        """Boot them all; whoever does not boot cannot be asked, and a note says so."""
        notes = [*self._notes]
        if self._kind == "qemu":
            for server in networks.serve(self._wiring, self._namespaces, self._folder):
                self._stack.callback(server.stop)
        begun = time.monotonic()
        for guests in self._pools.values():
            guests.launch()
        for guests in self._pools.values():
            notes += guests.wait()
            self._silent |= guests.silent
        self._booting_s = time.monotonic() - begun
        self.patience = max(self.patience, self._booting_s)  # 3 s for one that is emulated on an idle machine
        return notes

    def addresses(self) -> tuple[Addresses, Iterable[Note]]:
        """The addresses that the guests say they have."""
        served = leases.served_segments(self._site, self._wiring)
        notes: list[Note] = []
        found: dict[tuple[str, IfName], tuple[IpInterface, ...]] = {}
        start = time.monotonic()
        lease_s = max(LEASE_S, LEASE_BOOTS * self._booting_s)
        for name, end in self._guests.items():
            if name in self._silent:
                continue
            leasing = [nic for _, _, nic in end.plugs if nic.dhcp]
            awaited = [nic for nic in leasing if nic.segment in served]
            wait_s = start + (lease_s if awaited else UNSERVED_S) - time.monotonic()
            try:
                said = self._pool_of(name).addresses(name, {nic.mac for nic in awaited or leasing}, timeout_s=wait_s)
            except BasculeError as silence:
                self._silent.add(name)
                text = f"it says nothing about itself: {silence.problems[0].message}"
                notes.append(Note(kind="warning", subject=name, text=text))
                continue
            for nic in end.nics:
                has = said.get(nic.mac, ())
                self._found[name, nic.mac] = has
                if nic.dhcp and nic.bridge and not has:
                    asker = leases.DhcpRequester(
                        endpoint=name,
                        namespace=self._namespace_of(name),
                        link=nic.link,
                        mac=nic.mac,
                        segment=nic.segment,
                    )
                    notes.append(leases.no_lease(asker))
                if nic.dhcp:
                    found[name, nic.link] = tuple(address for address in has if address not in nic.addresses)
        return found, notes

    def _pool_of(self, guest: str) -> VmPool:
        return self._pools[self._site.guests[guest].host]

    def links(self) -> Iterator[tuple[Namespace, str]]:
        """The taps: each runs when its virtual machine holds the other end."""
        for name, end in self._guests.items():
            for plug, _, _ in end.plugs:
                yield self._namespace_of(name), plug.tap

    def _namespace_of(self, guest: str) -> Namespace:
        return self._namespaces[self._site.guests[guest].host]

    def attachment(self, end: Endpoint, nic: EndpointNic, leased: tuple[IpInterface, ...]) -> ProbeAttachment:
        """Its agent asks, and its addresses are those that it says it has."""
        return ProbeAttachment(
            endpoint=end.name,
            namespace=self._namespace_of(end.name),
            link=nic.link,
            mac=nic.mac,
            addresses=self._found.get((end.name, nic.mac)) or nic.addresses + leased,
            network=nic.segment,
            agent=GuestAgent(
                path=self._pool_of(end.name).questions(end.name),
                asks=frozenset() if end.name in self._silent or nic.bridge is None else init.PROTOCOLS,
                answers=frozenset() if nic.bridge is None else init.PROTOCOLS,
            ),
        )

    def point(self, end: Endpoint, nic: EndpointNic) -> CapturePoint | None:
        """At the tap, the host's end of its wire."""
        if nic.plug is None or nic.bridge is None:
            return None
        return CapturePoint(
            node=end.name, namespace=self._namespace_of(end.name), link=nic.link, tap=nic.plug.tap, mac=nic.mac
        )

    def close(self) -> None:
        """Stop the virtual machines, and what serves them."""
        for guests in self._pools.values():
            guests.close()
        self._stack.close()


def _require_memory(guests: int) -> None:
    """Refuse what would have the kernel kill somebody's process. Raises BasculeError."""
    wanted = guests * (init.MEMORY + OVERHEAD)
    free = observe_memory().available
    if free is not None and wanted > free:
        raise BasculeError.of(
            "GUESTS-MEMORY",
            f"{guests} virtual machines want {wanted / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are available",
            hint="rehearse one host at a time with --host, or with --guests namespace",
        )
