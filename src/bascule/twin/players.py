"""Who plays the guests of a twin: namespaces of its own, or (:mod:`bascule.twin.virtual_machines`) real ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bascule.guests.namespace import NamespaceDriver
from bascule.guests.protocol import Plug
from bascule.model.site import Site
from bascule.model.values import IfName, IpInterface
from bascule.plan.change import Note
from bascule.probe.domain import CapturePoint, ProbeAttachment
from bascule.system.net.netns import Namespace
from bascule.twin import building, macvtap, networks
from bascule.twin.ends import End, EndNic, Standing, Wiring
from bascule.twin.services import Offer, Services

Addresses = Mapping[tuple[str, IfName], tuple[IpInterface, ...]]  # by endpoint and link


class Players(Protocol):
    """How guests are plugged, started and found. Where a guest is a namespace, it is one of the twin's rooms."""

    patience: float  # how many times longer than usual their answers may take

    def create(self, host: str, standing: Sequence[Standing]) -> None:
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

    def attachment(self, end: End, nic: EndNic, leased: tuple[IpInterface, ...]) -> ProbeAttachment:
        """From where a guest asks."""

    def point(self, end: End, nic: EndNic) -> CapturePoint | None:
        """Where the frames of a guest's NIC are seen, if it is played."""

    def close(self) -> None:
        """Let them go."""


class NamespacePlayers:
    """Guests as namespaces: a veth pair for the tap, sockets of ours for their services."""

    patience = 1.0

    def __init__(self, site: Site, wiring: Wiring, rooms: Mapping[str, Namespace], folder: Path) -> None:
        self._site = site
        self._wiring = wiring
        self._guests = wiring.guests
        self._rooms = rooms
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def create(self, host: str, standing: Sequence[Standing]) -> None:
        """As Players says."""
        self._driver(host).create([(tap.nic, tap.mac, tap.mtu) for tap in standing])

    def _driver(self, host: str) -> NamespaceDriver:
        return NamespaceDriver(self._rooms[host], self._rooms)

    def plug(self, host: str, plugs: Sequence[Plug]) -> Iterable[Note]:
        """As Players says."""
        return self._driver(host).attach(plugs)

    def start(self) -> Iterable[Note]:
        """As Players says; but for leases, which the twin asks for."""
        for server in networks.serve(self._wiring, self._rooms, self._folder):
            self._stack.callback(server.stop)
        macvtap.share(self._wiring, {guest.name: guest.host for guest in self._site.guests.values()}, self._rooms)
        for name, end in self._guests.items():
            building.settle(end, self._rooms[name])
            if len(end.nics) > 1:
                building.set_forwarding(self._rooms[name], on=False)
        services = Services(
            Offer(endpoint=name, namespace=self._rooms[name], services=self._site.guests[name].serves)
            for name in self._guests
        )
        self._stack.callback(services.stop)
        return ()

    def addresses(self) -> tuple[Addresses, Iterable[Note]]:
        """None: they are rooms of the twin, which gives them theirs."""
        return {}, ()

    def links(self) -> Iterator[tuple[Namespace, str]]:
        """As Players says."""
        for name, end in self._guests.items():
            host = self._rooms[self._site.guests[name].host]
            for nic in end.nics:
                yield self._rooms[name], nic.link
            for plug, _, _ in end.plugs:
                yield host, plug.tap

    def attachment(self, end: End, nic: EndNic, leased: tuple[IpInterface, ...]) -> ProbeAttachment:
        """As Players says."""
        return ProbeAttachment(
            endpoint=end.name,
            namespace=self._rooms[end.name],
            link=nic.link,
            mac=nic.mac,
            addresses=nic.addresses + leased,
            network=nic.segment,
        )

    def point(self, end: End, nic: EndNic) -> CapturePoint:
        """As Players says."""
        return CapturePoint(node=end.name, namespace=self._rooms[end.name], link=nic.link)

    def close(self) -> None:
        """As Players says."""
        self._stack.close()
