"""Listen for a while who says which address is his: ARP, neighbour discovery, and what DHCP servers hand out."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Iterable, Iterator

from bascule.model.sightings import Sighting
from bascule.model.values import IpAddress, Mac
from bascule.probe import bpf, frames
from bascule.probe.parse import Frame, parse_dhcp, parse_frame
from bascule.system.net.packet import Instruction, Listener

_DHCP_PORTS = {67, 68}


def overhear(links: Iterable[str], seconds: float) -> tuple[Sighting, ...]:
    """What was said on these links (bridges: all that crosses them), the last word of each about itself.

    Sends nothing. Raises NotPermitted, UsageFault for a link that is not there.
    """
    found: dict[tuple[Mac, IpAddress], tuple[str, str, float]] = {}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for link in links:
            ear = Listener(link, [Instruction(*one) for one in _program()])
            stack.callback(ear.close)
            selector.register(ear, selectors.EVENT_READ, ear)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                ear = key.data
                try:
                    heard = [data for data, _ in ear.frames()]
                except OSError:  # it went down or away
                    selector.unregister(ear)
                    continue
                for data in heard:
                    for mac, address, source in claims(parse_frame(data)):
                        found[mac, address] = (source, ear.link, time.monotonic())
            if not selector.get_map():
                break
    now = time.monotonic()
    return tuple(
        Sighting(mac=mac, address=address, source=source, age_s=now - at, where=link)
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
    if packet.protocol == frames.ICMPV6 and packet.neighbour is not None:
        if packet.neighbour.is_solicitation and not packet.src.is_unspecified:
            yield frame.src, packet.src, "heard"
        elif not packet.neighbour.is_solicitation:
            yield packet.neighbour.link or frame.src, packet.neighbour.target, "heard"
    if packet.protocol == frames.UDP and packet.source_port in _DHCP_PORTS and packet.port in _DHCP_PORTS:
        said = parse_dhcp(packet.payload)
        if said is not None and said.is_reply and said.type == frames.DHCP_ACK and int(said.yours) != 0:
            yield said.mac, said.yours, "snooped"


def _program() -> list[bpf.Instruction]:
    """ARP, DHCP for IPv4 without IP options, and ICMPv6."""
    udp = [
        (bpf.LD_H, 0, 0, 12),
        (bpf.JEQ, bpf.STEP, bpf.NEXT, frames.ETH_IPV4),
        (bpf.LD_B, 0, 0, 23),
        (bpf.JEQ, bpf.STEP, bpf.NEXT, frames.UDP),
        (bpf.LDX_IP, 0, 0, 14),
        (bpf.LDH_X, 0, 0, 14),
        (bpf.JEQ, bpf.ACCEPT, bpf.NEXT, 67),
    ]
    icmp6 = [
        (bpf.LD_H, 0, 0, 12),
        (bpf.JEQ, bpf.STEP, bpf.NEXT, frames.ETH_IPV6),
        (bpf.LD_B, 0, 0, 20),
        (bpf.JEQ, bpf.ACCEPT, bpf.NEXT, frames.ICMPV6),
    ]
    return bpf.program(bpf.arp_frames(), udp, icmp6)
