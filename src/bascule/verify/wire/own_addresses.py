"""Whether somebody else on a wire answers for an address of this host: two machines have it, and each loses frames.

An apply asks for new addresses before it adds them (RFC 5227). Who takes one later, or answered too late then, shows to
none but who asks again. The host asks from its own links while other checks run: by ARP probes, and by neighbour
solicitations from an address that nobody has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Interface, ip_interface

from bascule.frames import bpf, filters
from bascule.frames.codecs import ethernet
from bascule.frames.packet import Frame, read_frame
from bascule.frames.vendors import hypervisor, maker
from bascule.model.site import Host
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, IpAddress, IpInterface, Mac
from bascule.probe.control_addresses import controls
from bascule.verify.checks import Check
from bascule.verify.wire.link_sockets import LinkQuestions, LinkSockets, address_probes, can_ask


class OwnAddresses(LinkSockets):
    """The questions, and whoever answers them. A context manager, in the namespace that we are in."""

    def __init__(self, host: Host, state: HostState) -> None:
        self._own = {link.mac for link in state.links.values() if link.mac is not None}
        self._asked = {link.name: _addresses(link) for link in _speaking(host, state)}
        program = bpf.any_of(*filters.neighbour_answers(), refuse_outgoing=True)
        super().__init__({
            name: LinkQuestions(program, tuple(_questions(ethernet.mac_bytes(state.links[name].mac or ""), some)))
            for name, some in self._asked.items()
        })  # fmt: skip

    def checks(self) -> Iterator[Check]:
        """A check for each address that somebody else answered for, after LISTEN_S at least."""
        for name, frames in self.received():
            answers = [one for one in _answers(frames) if one[1] not in self._own]
            for address in self._asked[name]:
                further = set(controls(address))
                for mac in dict.fromkeys(mac for ip, mac in answers if ip == address.ip):
                    others = {ip for ip, who in answers if who == mac}
                    yield _check(name, address, mac, everybodys=bool(further) and further <= others)


def _speaking(host: Host, state: HostState) -> Iterator[Link]:
    for said in host.speakers():
        link = state.links.get(said.name)
        if can_ask(link):
            yield link


def _addresses(link: Link) -> tuple[IpInterface, ...]:
    return tuple(ip_interface(one.ip) for one in link.addresses if not one.is_link_local and not one.peer)


def _questions(mac: bytes, addresses: Iterable[IpInterface]) -> Iterator[bytes]:
    yield from address_probes(mac, dict.fromkeys(ip for one in addresses for ip in (one.ip, *controls(one))))


def _answers(frames: Iterable[bytes]) -> Iterator[tuple[IpAddress, Mac]]:
    for data in frames:
        if (frame := read_frame(data)) is not None and (found := _answer(frame)) is not None:
            yield found


def _answer(frame: Frame) -> tuple[IpAddress, Mac] | None:
    if frame.arp is not None:
        return frame.arp.sender, frame.arp.sender_mac
    said = frame.packet.neighbour if frame.packet is not None else None
    return (said.target, said.link or frame.src) if said is not None and not said.is_solicitation else None


def _check(link: IfName, address: IpInterface, mac: Mac, *, everybodys: bool) -> Check:
    made = hypervisor(mac) or maker(mac)
    who = f"{mac}{f' ({made})' if made else ''}"
    how = "neighbour discovery" if isinstance(address, IPv6Interface) else "ARP"
    if everybodys:
        words = f"unknown whether somebody else has {address.ip}: {who} answers {how} on {link} for every address"
        return Check(id="own-address", subject=str(link), ok=None, detail=words, unproven=True)
    words = (
        f"{who} answers {how} on {link} for {address.ip} as well, which this host has: each loses what the other gets"
    )
    return Check(id="own-address", subject=str(link), ok=False, detail=words)
