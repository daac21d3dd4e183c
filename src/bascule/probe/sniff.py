"""Listen for a while who says which address is his: ARP, neighbour discovery, and what DHCP servers hand out."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Iterable, Iterator

from bascule.frames import bpf, filters
from bascule.frames.codecs import dhcp, ip
from bascule.frames.packet import Frame, read_frame
from bascule.model.sightings import Sighting
from bascule.model.values import IpAddress, Mac
from bascule.system.net.packet import Listener

_DHCP_PORTS = {dhcp.SERVER_PORT, dhcp.CLIENT_PORT}
_FILTER = bpf.any_of(filters.arp_frames(), filters.dhcp_from_server(), filters.icmpv6())


def sniff(links: Iterable[str], seconds: float) -> tuple[Sighting, ...]:
    """What was said on these links (bridges: all that crosses them), the last word of each about itself.

    Sends nothing. Raises NotPermitted, UsageFault for a link that is not there.
    """
    found: dict[tuple[Mac, IpAddress], tuple[str, str, float]] = {}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for link in links:
            listener = Listener(link, _FILTER)
            stack.callback(listener.close)
            selector.register(listener, selectors.EVENT_READ, listener)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                listener = key.data
                try:
                    heard = [data for data, _ in listener.frames()]
                except OSError:  # it went down or away
                    selector.unregister(listener)
                    continue
                for data in heard:
                    for mac, address, source in claims(read_frame(data)):
                        found[mac, address] = (source, listener.link, time.monotonic())
            if not selector.get_map():
                break
    now = time.monotonic()
    return tuple(
        Sighting(mac=mac, address=address, source=source, age_s=now - at)
        for (mac, address), (source, link, at) in found.items()
    )


def claims(frame: Frame | None) -> Iterator[tuple[Mac, IpAddress, str]]:
    """Who has which address, by this frame, and whether a DHCP server says so or he himself."""
    if frame is None:
        return
    if frame.arp is not None and int(frame.arp.sender) != 0:
        yield frame.arp.sender_mac, frame.arp.sender, "heard"
    packet = frame.packet
    if packet is None:
        return
    if packet.protocol == ip.ICMPV6 and packet.neighbour is not None:
        if packet.neighbour.is_solicitation and not packet.src.is_unspecified:
            yield frame.src, packet.src, "heard"
        elif not packet.neighbour.is_solicitation:
            yield packet.neighbour.link or frame.src, packet.neighbour.target, "heard"
    if packet.protocol == ip.UDP and packet.source_port in _DHCP_PORTS and packet.port in _DHCP_PORTS:
        said = dhcp.read(packet.payload)
        if said is not None and said.is_reply and said.type == dhcp.ACK and int(said.yours) != 0:
            yield said.mac, said.yours, "snooped"
