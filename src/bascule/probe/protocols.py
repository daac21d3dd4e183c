"""How each protocol asks: one small class each, driven by the loop in :mod:`bascule.probe.ask`."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar

from bascule.frames.codecs import arp, dhcp, ethernet, icmp, ip
from bascule.frames.packet import Frame, read_packet
from bascule.model.values import IpAddress, link_local, unmapped
from bascule.probe.question import Answer, Protocol, Question, Response, too_large

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3  # linux/in.h, linux/in6.h: never fragment
IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
BANNER_PATIENCE_S = 0.25  # a server of the twin speaks first; one on a live host may never speak

UNREACHABLE = {  # RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1
    0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
    4: "packet too big", 9: "network prohibited", 10: "host prohibited", 13: "administratively prohibited",
}  # fmt: skip
UNREACHABLE6 = {0: "no route", 1: "administratively prohibited", 3: "address unreachable", 4: "port unreachable"}

_GREETING = re.compile(rb"bascule ([0-9a-fA-F.:%a-z]+) (\d+)[ \n]")


def greeting(data: bytes) -> IpAddress | None:
    """The address that a server of the twin saw: it says ``bascule ADDRESS PORT``."""
    found = _GREETING.match(data)
    if not found:
        return None
    try:
        return unmapped(ip_address(found[1].decode("ascii").split("%")[0]))
    except ValueError:
        return None


ANSWERED_BY_ALL = frozenset({53, 123})  # UDP ports for which we have a question that every server answers


def udp_payload(question: Question) -> bytes:
    """Something that a real server answers, with the question's token in it."""
    token = question.token.mark
    if question.port == 53:  # RFC 1035: the A record of a name that does not exist
        name = token.hex().encode()
        labels = bytes((len(name),)) + name + b"\x07bascule\x07invalid\0"
        return token[:2] + b"\x01\x00\x00\x01\0\0\0\0\0\0" + labels + b"\0\x01\0\x01"
    if question.port == 123:  # RFC 5905: a client's packet; the token is its transmit time
        return b"\x23" + bytes(39) + token
    return token.ljust(max(8, question.size - 28), b"\0") if question.size else token


class PendingQuestion:
    """A question on its way. The loop calls ``send`` at the start and again each ``retry_s``; ``hear`` takes data."""

    retry_s: ClassVar[float] = 0.2

    def __init__(self, question: Question, index: int, sock: socket.socket, sequence: int) -> None:
        self.question = question
        self.index = index
        self.sock = sock
        self.sequence = sequence
        self.begun = self.sent = time.perf_counter()
        self.answer: Answer | None = None
        self.source_port = 0

    @property
    def patience_s(self) -> float:
        """After how long the loop gives up."""
        return self.question.patience_s

    def send(self) -> None:
        """Put the question on the wire. OSError means that the kernel refuses."""
        raise NotImplementedError

    def finish(self, response: Response, detail: str = "", **rest: Any) -> None:
        """The answer, unless there is one already."""
        if self.answer is None:
            self.answer = Answer(
                question=self.question,
                response=response,
                detail=detail,
                waited_ms=(time.perf_counter() - self.begun) * 1000,
                source_port=self.source_port,
                **rest,
            )

    def replied(self, **rest: Any) -> None:
        """A good answer, with the time since the last try."""
        self.finish(Response.REPLY, rtt_ms=(time.perf_counter() - self.sent) * 1000, **rest)

    def refused_by_kernel(self, error: OSError) -> None:
        """What an errno says."""
        number, words = error.errno or 0, os.strerror(error.errno or 0).lower()
        if number == errno.ECONNREFUSED:
            self.finish(Response.REFUSED, "connection refused")
        elif number in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}:
            self.finish(Response.NO_ROUTE, f"{self.question.source.endpoint} has none to {self.question.address}")
        elif number in {errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}:
            self.finish(Response.UNREACHABLE, words)
        elif number == errno.EMSGSIZE:
            self.finish(Response.UNREACHABLE, too_large(self.question.size))
        elif number in {errno.EPERM, errno.EACCES}:
            self.finish(Response.UNREACHABLE, f"{self.question.source.endpoint}'s own filter refuses it ({words})")
        else:
            self.finish(Response.NOT_ASKED, words)

    def give_up(self) -> None:
        """The patience is over."""
        self.finish(Response.SILENCE)


def destination(question: Question) -> tuple[Any, ...]:
    """The address as the socket calls take it. The caller is in the question's namespace."""
    address = question.address
    if isinstance(address, IPv6Address):
        scope = socket.if_nametoindex(question.via or question.source.link) if address.is_link_local else 0
        return str(address), question.port, 0, scope
    return str(address), question.port


def icmp_error(protocol: int, kind: int, code: int) -> str:
    """An ICMP error in words."""
    if kind == 3 and protocol == ip.ICMP:
        return UNREACHABLE.get(code, f"unreachable, code {code}")
    if kind == 1 and protocol == ip.ICMPV6:
        return UNREACHABLE6.get(code, f"unreachable, code {code}")
    if kind == 2 and protocol == ip.ICMPV6:
        return "packet too big"
    return "time exceeded" if (protocol, kind) in {(ip.ICMP, 11), (ip.ICMPV6, 3)} else f"ICMP error {kind}"


class Icmp(PendingQuestion):
    """Echo over a raw ICMP socket that all questions of a namespace share."""

    def __init__(self, question: Question, index: int, sock: socket.socket, sequence: int) -> None:
        super().__init__(question, index, sock, sequence)
        self.is_ipv6 = isinstance(question.address, IPv6Address)
        self.identifier = int.from_bytes(question.token.mark[:2], "big")
        self.to = destination(question)
        size = question.size - (48 if self.is_ipv6 else 28)
        self.filling = bytes(max(0, size - 9))
        self.tries: list[float] = []  # when each was sent: a reply says which one it is for

    def send(self) -> None:
        """One echo request."""
        build = icmp.echo6 if self.is_ipv6 else icmp.echo
        payload = self.question.token.mark + bytes((len(self.tries) & 0xFF,)) + self.filling
        self.tries.append(time.perf_counter())
        self.sock.sendto(build(self.identifier, self.sequence, payload), self.to)

    @staticmethod
    def hear(data: bytes, sender: IpAddress, askings: Mapping[int, PendingQuestion]) -> PendingQuestion | None:
        """One ICMP message: the question that it answers, if any."""
        if isinstance(sender, IPv6Address):
            if len(data) < 8:
                return None
            kind, code, sequence, protocol = data[0], data[1], int.from_bytes(data[6:8], "big"), ip.ICMPV6
            quoted = read_packet(data[8:]) if kind < 128 else None
        else:
            packet = read_packet(data)
            if packet is None or packet.protocol != ip.ICMP:
                return None
            kind, code, sequence, protocol = packet.type, packet.code, packet.sequence, ip.ICMP
            quoted, data = packet.quoted, b"\0" * 8 + packet.payload
        asking = askings.get(quoted.sequence if quoted else sequence)
        if not isinstance(asking, Icmp):
            return None
        if quoted is not None:
            if quoted.identifier == asking.identifier and quoted.dst == asking.question.address:
                asking.finish(
                    Response.UNREACHABLE, f"{sender} says: {icmp_error(protocol, kind, code)}", address=sender
                )
        elif kind in {icmp.ECHO_REPLY, icmp.ECHO6_REPLY} and data[8:16] == asking.question.token.mark:
            asking.sent = asking.tries[data[16]] if len(data) > 16 and data[16] < len(asking.tries) else asking.sent
            asking.replied(address=sender)
        return asking


class LinkLayer(PendingQuestion):
    """ARP, neighbour solicitation or DHCP discover: a raw frame on the attachment's own NIC."""

    def send(self) -> None:
        """One broadcast (or group) frame."""
        question = self.question
        attachment, address = question.source, question.address
        mac = ethernet.mac_bytes(attachment.mac)
        if question.protocol is Protocol.DHCP:
            self.sock.send(dhcp.question(dhcp.DISCOVER, self.xid, mac, bytes((dhcp.MASK,))))
        elif isinstance(address, IPv6Address):
            self.sock.send(icmp.solicitation(mac, own_address6(question, mac), address))
        elif address is not None:
            self.sock.send(arp.build(arp.REQUEST, mac, own_address(question), address))

    @property
    def xid(self) -> int:
        """The transaction of a DHCP question."""
        return int.from_bytes(self.question.token.mark[:4], "big")

    def hear(self, frame: Frame) -> None:
        """One frame from the NIC, which may be the answer."""
        question, packet = self.question, frame.packet
        if question.protocol is Protocol.DHCP:
            offer = dhcp.read(packet.payload) if packet and packet.port == 68 else None
            if packet and offer and offer.is_reply and offer.xid == self.xid and offer.type == dhcp.OFFER:
                self.replied(address=offer.server or packet.src, mac=frame.src, offered=offer.yours)
        elif frame.arp:
            said = frame.arp
            if said.operation == arp.REPLY and said.sender == question.address:
                self.replied(address=said.sender, mac=said.sender_mac)
        elif packet and packet.neighbour and not packet.neighbour.is_solicitation:
            neighbour = packet.neighbour
            if neighbour.target == question.address:
                self.replied(address=neighbour.target, mac=neighbour.link or frame.src)


def own_address(question: Question) -> IPv4Address:
    """The IPv4 address to ask with: the one on the target's subnet; without any, 0.0.0.0 (a probe, RFC 5227)."""
    own = [address for address in question.source.addresses if isinstance(address.ip, IPv4Address)]
    near = [address.ip for address in own if question.address in address.network]
    return next((ip for ip in (*near, *(a.ip for a in own)) if isinstance(ip, IPv4Address)), IPv4Address(0))


def own_address6(question: Question, mac: bytes) -> IPv6Address:
    """The IPv6 address to ask with: on the target's prefix, else the link-local one made of the MAC (RFC 4291, A)."""
    for address in question.source.addresses:
        if isinstance(address.ip, IPv6Address) and question.address in address.network:
            return address.ip
    return link_local(mac.hex())


class Stream(PendingQuestion):
    """A TCP connection of its own; then what the server says about us."""

    retry_s = 3600.0  # the kernel repeats the SYN

    def __init__(self, question: Question, index: int, sock: socket.socket, sequence: int) -> None:
        super().__init__(question, index, sock, sequence)
        self.connected_ms: float | None = None
        self.heard = b""

    def send(self) -> None:
        """Begin to connect."""
        status = self.sock.connect_ex(destination(self.question))
        if status not in {0, errno.EINPROGRESS}:
            raise OSError(status, os.strerror(status))
        self.source_port = self.sock.getsockname()[1]

    def connected(self) -> bool:
        """The socket is writable or in error: whether the connection stands."""
        status = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            offender = offending(self.sock)
            if offender:
                self.finish(Response.UNREACHABLE, offender[1], address=offender[0])
            else:
                self.refused_by_kernel(OSError(status, ""))
            return False
        self.connected_ms = (time.perf_counter() - self.sent) * 1000
        return True

    def listen(self) -> None:
        """What the server says; its end, or anything that is no greeting, ends the question."""
        try:
            data = self.sock.recv(512)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # reset after it was accepted: it was reached
        self.heard += data
        if not data or b"\n" in self.heard or not self.heard.startswith(b"bascule "[: len(self.heard)]):
            self.give_up()

    def give_up(self) -> None:
        """Reached, if the connection stands; whether the server said who we are is another matter."""
        if self.connected_ms is None:
            self.finish(Response.SILENCE)
        else:
            address = self.question.address
            self.finish(Response.REPLY, rtt_ms=self.connected_ms, address=address, seen=greeting(self.heard))


class Datagram(PendingQuestion):
    """A connected UDP socket of its own."""

    def send(self) -> None:
        """One datagram."""
        if not self.source_port:
            self.sock.connect(destination(self.question))
            self.source_port = self.sock.getsockname()[1]
        self.sock.send(udp_payload(self.question))

    def listen(self) -> None:
        """Any datagram from there is an answer."""
        try:
            data = self.sock.recv(65535)
        except BlockingIOError:
            return
        except OSError as error:
            offender = offending(self.sock)
            if error.errno == errno.ECONNREFUSED and (offender is None or offender[0] == self.question.address):
                self.finish(Response.REFUSED, "port unreachable", address=self.question.address)
            elif offender:
                self.finish(Response.UNREACHABLE, offender[1], address=offender[0])
            else:
                self.refused_by_kernel(error)
            return
        self.replied(address=self.question.address, seen=greeting(data))


def offending(sock: socket.socket) -> tuple[IpAddress, str] | None:
    """Who sent the ICMP error that a socket got, and its words (ip(7), IP_RECVERR)."""
    try:
        _, control, _, _ = sock.recvmsg(512, 512, MSG_ERRQUEUE)
    except OSError:
        return None
    for _, kind, data in control:
        if kind not in {IP_RECVERR, IPV6_RECVERR} or len(data) < 24:
            continue
        _, origin, icmp_type, icmp_code = struct.unpack("=IBBB", data[:7])
        if origin == 2 and len(data) >= 24:  # SO_EE_ORIGIN_ICMP; then a sockaddr_in
            sender = IPv4Address(data[20:24])
            return sender, f"{sender} says: {icmp_error(ip.ICMP, icmp_type, icmp_code)}"
        if origin == 3 and len(data) >= 40:  # SO_EE_ORIGIN_ICMP6; then a sockaddr_in6
            sender6 = IPv6Address(data[24:40])
            return sender6, f"{sender6} says: {icmp_error(ip.ICMPV6, icmp_type, icmp_code)}"
    return None
