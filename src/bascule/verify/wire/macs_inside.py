"""Frames within a host's bridge that carry a MAC of ours, by another port than its own: two guests with one MAC.

The bridge has a MAC where it spoke last, and both of them lose what the other gets. One that only listens is made to
speak, as those outside are (:mod:`bascule.verify.wire.foreign_macs`); ARP and neighbour discovery are listened to.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Self

from msgspec import Struct

from bascule.frames import bpf, filters
from bascule.frames.packet import read_frame
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac, grouped
from bascule.system.net.packet import BUFFER, open_packet, open_sender
from bascule.verify.checks import Check
from bascule.verify.wire.foreign_macs import AT_MOST, Uplink, described


class PortOwners(Struct, frozen=True):
    """The MACs on a bridge with the names and the ports that they belong to, and how its guests are asked."""

    bridge: IfName
    ports: frozenset[str]  # that lead to no wire
    macs: dict[Mac, tuple[str, frozenset[str]]]
    asked: Uplink


class MacsInside:
    """Listens on all ports of the bridges on which guests are. A context manager."""

    def __init__(self, site: Site, host: Host, state: HostState) -> None:
        self._state = state
        self._nics = [nic for nic in site.guest_nics(host.name) if nic.shared_nic is None]
        self._bridges = [*_owners(host, state, self._nics)]
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        """Listen, and let everybody on the bridges speak. Raises NotPermitted."""
        if not self._bridges:
            return self
        kinds = bpf.any_of(filters.arp_frames(), filters.neighbour_discovery(), refuse_outgoing=True)
        self._socket = open_packet(None, kinds, buffer_bytes=BUFFER)
        with open_sender() as sender:
            for one in self._bridges:
                with contextlib.suppress(OSError):
                    for frame in one.asked.questions():
                        sender.sendto(frame, (one.bridge, 0))
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.close()

    def checks(self) -> Iterator[Check]:
        """A check for each MAC that spoke by a port of somebody else, or that another link of the host has."""
        heard: dict[tuple[str, Mac, str], list[str]] = {}
        places = {port: one for one in self._bridges for port in one.ports}
        for port, data in self._received():
            frame = read_frame(data) if port in places else None
            name, own = places[port].macs.get(frame.src, ("", frozenset())) if frame is not None else ("", frozenset())
            if frame is not None and name and port not in own:
                heard.setdefault((name, frame.src, port), []).append(described(frame))
        for (name, mac, port), words in heard.items():
            some = "; ".join(list(dict.fromkeys(words))[:AT_MOST])
            detail = (
                f"{len(words)} frame{'s' if len(words) > 1 else ''} with its own MAC {mac} came in by {port} ({some}): "
                f"what is behind that port of {places[port].bridge} has the same MAC, and gets its frames"
            )
            yield Check(id="foreign-mac", subject=name, ok=False, detail=detail)
        links = grouped((link.mac, link) for link in self._state.links.values())
        for nic in self._nics:
            for link in links.get(nic.mac, ()):
                if link.name != nic.tap and not link.is_bridge:
                    detail = f"the host's own link {link.name} has its MAC {nic.mac}"
                    yield Check(id="foreign-mac", subject=nic.guest, ok=False, detail=detail)

    def _received(self) -> Iterator[tuple[str, bytes]]:
        while self._socket is not None:
            try:
                data, (port, *_) = self._socket.recvfrom(bpf.SNAPLEN)
            except OSError:
                return
            yield port, data


def _owners(host: Host, state: HostState, nics: list[GuestNic]) -> Iterator[PortOwners]:
    taps: dict[str, frozenset[str]] = {}
    for nic in nics:  # a guest may bundle NICs of its own, which then have one MAC
        taps[nic.guest] = taps.get(nic.guest, frozenset()) | {nic.tap}
    by_bridge = grouped((nic.master, nic) for nic in nics)
    for name, some in by_bridge.items():
        bridge = state.links.get(IfName(name)) if name is not None else None
        if bridge is None or bridge.mac is None or not bridge.up:
            continue
        declared = host.bridges.get(bridge.name)
        wires = {port.link for port in declared.every_port} if declared is not None else set()
        macs = {nic.mac: (nic.guest, taps[nic.guest]) for nic in some}
        own = {bridge.mac: (str(bridge.name), frozenset[str]())}
        addresses = tuple(address.ip for nic in some for address in nic.addresses)
        asked = Uplink(
            name=bridge.name, mac=bridge.mac, owners=dict.fromkeys(macs, ""), has_ipv4=True, addresses=addresses
        )
        ports = frozenset(str(link.name) for link in state.ports(bridge.name) if link.name not in wires)
        yield PortOwners(bridge=bridge.name, ports=ports, macs={**own, **macs}, asked=asked)
