"""Who plays the guests of a twin: namespaces of its own, or (:mod:`bascule.twin.virtual_machines`) real ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bascule.guests.namespace import NamespaceDriver
from bascule.guests.plug import Plug
from bascule.model.kernel_parameters import FORWARDING
from bascule.model.site import Site
from bascule.model.values import IfName, IpInterface
from bascule.plan.change import Note
from bascule.probe.domain import CapturePoint, ProbeAttachment
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import Endpoint, EndpointNic
from bascule.twin import fabric, macvtap, networks
from bascule.twin.services import ServiceOffer, Services
from bascule.twin.wiring import ExistingTap, Wiring

Addresses = Mapping[tuple[str, IfName], tuple[IpInterface, ...]]  # by endpoint and link


class GuestBackend(Protocol):
    """How guests are plugged, started and found. Where a guest is a namespace, it is one of the twin's namespaces."""

    patience: float  # how many times longer than usual their answers may take

    def create(self, host: str, existing: Sequence[ExistingTap]) -> None:
        """The taps that a host has already, on no bridge and down."""

    def plug(self, host: str, plugs: Sequence[Plug]) -> Iterable[Note]:
        """Where the NICs of a host's guests belong. Raises CommandFailed where a bridge is not there."""

    def start(self) -> Iterable[Note]:
        """The servers of the hosts' virtual networks, then all guests; returns when they answer.

        A guest has its own addresses and services by then. Raises MissingTool or CommandFailed.
        """

    def addresses(self) -> tuple[Addresses, Iterable[Note]]:
        """What guests have got that take their address by themselves."""

    def links(self) -> Iterator[tuple[Namespace, str]]:
        """The links that must run before a frame can pass."""

    def attachment(self, end: Endpoint, nic: EndpointNic, leased: tuple[IpInterface, ...]) -> ProbeAttachment:
        """From where a guest asks."""

    def point(self, end: Endpoint, nic: EndpointNic) -> CapturePoint | None:
        """Where the frames of a guest's NIC are seen, if it is played."""

    def close(self) -> None:
        """Let them go."""


class NamespaceGuests:
    """Guests as namespaces: a veth pair for the tap, sockets of ours for their services."""

    patience = 1.0

    def __init__(self, site: Site, wiring: Wiring, namespaces: Mapping[str, Namespace], folder: Path) -> None:
        self._site = site
        self._wiring = wiring
        self._guests = wiring.guests
        self._namespaces = namespaces
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def create(self, host: str, existing: Sequence[ExistingTap]) -> None:
        """The existing taps, each one end of a veth pair."""
        self._driver(host).create([(tap.nic, tap.mac, tap.mtu) for tap in existing])

    def _driver(self, host: str) -> NamespaceDriver:
        return NamespaceDriver(self._namespaces[host], self._namespaces)

    def plug(self, host: str, plugs: Sequence[Plug]) -> Iterable[Note]:
        """The host's end of each guest's veth pair on its bridge."""
        return self._driver(host).attach(plugs)

    def start(self) -> Iterable[Note]:
        """Servers, links, addresses and services; leases are for the twin to ask for."""
        for server in networks.serve(self._wiring, self._namespaces, self._folder):
            self._stack.callback(server.stop)
        macvtap.share(self._wiring, {guest.name: guest.host for guest in self._site.guests.values()}, self._namespaces)
        for name, end in self._guests.items():
            fabric.settle(end, self._namespaces[name])
            if len(end.nics) > 1:
                fabric.set_forwarding(self._namespaces[name], dict.fromkeys(FORWARDING, False))
        services = Services(
            ServiceOffer(endpoint=name, namespace=self._namespaces[name], services=self._site.guests[name].serves)
            for name in self._guests
        )
        self._stack.callback(services.stop)
        return ()

    def addresses(self) -> tuple[Addresses, Iterable[Note]]:
        """None: they are namespaces of the twin, which gives them theirs."""
        return {}, ()

    def links(self) -> Iterator[tuple[Namespace, str]]:
        """Each guest's NICs, and its taps on the host."""
        for name, end in self._guests.items():
            host = self._namespaces[self._site.guests[name].host]
            for nic in end.nics:
                yield self._namespaces[name], nic.link
            for plug, _, _ in end.plugs:
                yield host, plug.tap

    def attachment(self, end: Endpoint, nic: EndpointNic, leased: tuple[IpInterface, ...]) -> ProbeAttachment:
        """Its own namespace, with what DHCP gave it."""
        return ProbeAttachment(
            endpoint=end.name,
            namespace=self._namespaces[end.name],
            link=nic.link,
            mac=nic.mac,
            addresses=nic.addresses + leased,
            network=nic.segment,
        )

    def point(self, end: Endpoint, nic: EndpointNic) -> CapturePoint:
        """In its own namespace."""
        return CapturePoint(node=end.name, namespace=self._namespaces[end.name], link=nic.link)

    def close(self) -> None:
        """Stop the servers and services."""
        self._stack.close()
