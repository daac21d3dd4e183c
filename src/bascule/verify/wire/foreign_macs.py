"""Frames from outside that carry a MAC of ours: another machine on the wire has the same one, and takes our frames.

The switch outside learns a MAC where it spoke last; our own probes teach it the right port again, so that every probe
passes while most frames of the guest are lost. Only the other machine's frames show it, so it is made to speak: an
echo request to all IPv6 nodes (RFC 4291, 2.7.1), which it answers, or whose sender it looks for.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Self

from bascule.frames import bpf, filters
from bascule.frames.codecs import ethernet, icmp
from bascule.frames.packet import Frame, read_frame
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac
from bascule.system.net.packet import open_packet, send_frame
from bascule.verify.checks import Check

LISTEN_S = 1.0  # after everybody was asked to speak
AT_MOST = 3  # frames that are described


class ForeignMacs:
    """Ears on the uplinks of a host's bridges, in the namespace that we are in. A context manager."""

    def __init__(self, site: Site, host: Host, state: HostState) -> None:
        self._macs: dict[IfName, dict[Mac, str]] = {}  # by uplink: whose each MAC is
        self._own: dict[IfName, Mac] = {}
        for bridge, name in ((one, port.link) for one in host.bridges.values() for port in one.every_port):
            link, port = state.links.get(bridge.name), state.links.get(name)
            if link is None or port is None or port.mac is None or not port.up:
                continue
            nics = [nic for nic in site.guest_nics(host.name) if nic.bridge == bridge.name]
            own = {link.mac: str(bridge.name)} if link.mac is not None else {}
            self._macs[port.name] = {**own, **{nic.mac: nic.guest for nic in nics}}
            self._own[port.name] = port.mac
        self._ears: dict[IfName, socket.socket] = {}
        self._began = 0.0

    def __enter__(self) -> Self:
        """Listen, and let everybody out there speak. Raises NotPermitted."""
        for link, macs in self._macs.items():
            with contextlib.suppress(OSError):  # it is gone meanwhile
                self._ears[link] = open_packet(link, bpf.any_of(*filters.from_macs(macs), refuse_outgoing=True))
                send_frame(link, icmp.echo_to_all_nodes(ethernet.mac_bytes(self._own[link]), os.urandom(8)))
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        for ear in self._ears.values():
            ear.close()

    def checks(self) -> Iterator[Check]:
        """What was heard, after LISTEN_S at least: a check for each uplink, or for each MAC that was heard."""
        if self._ears:
            time.sleep(max(0.0, self._began + LISTEN_S - time.monotonic()))
        for link, ear in self._ears.items():
            heard: dict[Mac, list[str]] = {}
            for frame in _frames(ear):
                heard.setdefault(frame.src, []).append(_described(frame))
            for mac, words in heard.items():
                some = "; ".join(list(dict.fromkeys(words))[:AT_MOST])
                detail = (
                    f"{len(words)} frame{'s' if len(words) > 1 else ''} from outside came in by {link} with its own "
                    f"MAC {mac} ({some}): another machine on the wire has the same MAC, and gets its frames"
                )
                yield Check(id="foreign-mac", subject=self._macs[link][mac], ok=False, detail=detail)
            if not heard:
                count = len(self._macs[link])
                detail = f"none of the {count} MACs behind it was heard from outside in {LISTEN_S:g} s"
                yield Check(id="foreign-mac", subject=str(link), ok=True, detail=detail)


def _frames(ear: socket.socket) -> Iterator[Frame]:
    while True:
        try:
            data = ear.recv(bpf.SNAPLEN)
        except OSError:
            return
        if (frame := read_frame(data)) is not None:
            yield frame


def _described(frame: Frame) -> str:
    if frame.arp is not None:
        return f"ARP of {frame.arp.sender}"
    if frame.packet is not None:
        return f"a packet from {frame.packet.src} to {frame.packet.dst}"
    return f"to {frame.dst}"
