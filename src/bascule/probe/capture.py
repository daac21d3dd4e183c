"""See frames pass at many points, and follow those of one question from point to point."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Self

from msgspec import Struct

from bascule.frames import bpf, filters
from bascule.frames.codecs import arp, icmp, ip
from bascule.frames.packet import Frame, IpPacket, read_frame
from bascule.probe.domain import CapturePoint
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.system.net.packet import SO_TIMESTAMPNS, open_packet
from bascule.system.net.sockets import await_timestamps, close_all, read_stamp

OTHERHOST, OUTGOING = 3, 4  # linux/if_packet.h
BUFFER_BYTES = 4 << 20
SPANS = 12  # of ports in a filter: older kernels give a filter 20 KiB (net.core.optmem_max)


PointsByLink = dict[str, list[CapturePoint]]  # by the link where one listens


class CapturedFrame(Struct, frozen=True, kw_only=True):
    """A frame at a point. ``time_ns`` is the kernel's; ``outgoing`` as the point's own namespace sees it.

    ``addressed`` is False for a unicast frame whose MAC is not the link's: it passes, or is not meant for it.
    """

    time_ns: int
    point: CapturePoint
    outgoing: bool
    addressed: bool
    frame: Frame


class CaptureSession:
    """Sockets at all points, one per namespace, that hear what belongs to the questions. A context manager."""

    def __init__(self, points: Iterable[CapturePoint], questions: Sequence[Question]) -> None:
        self._by_namespace: dict[tuple[int, int], PointsByLink] = {}
        for point in points:
            points_by_link = self._by_namespace.setdefault(point.namespace.identity, {})
            points_by_link.setdefault(point.tap or point.link, []).append(point)
        self._program = _program(questions)
        self._sockets: list[tuple[socket.socket, PointsByLink]] = []
        self._seen: list[CapturedFrame] = []

    def __enter__(self) -> Self:
        try:
            for points_by_link in self._by_namespace.values():
                with next(iter(points_by_link.values()))[0].namespace.entered():
                    sock = open_packet(None, self._program, timestamps=True, buffer_bytes=BUFFER_BYTES)
                self._sockets.append((sock, points_by_link))
            for points_by_link in list(self._by_namespace.values())[:1]:
                with next(iter(points_by_link.values()))[0].namespace.entered():
                    await_timestamps()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        close_all([sock for sock, _ in self._sockets])
        self._sockets.clear()

    def readers(self) -> Iterator[tuple[socket.socket, Callable[[int], None]]]:
        """The sockets and what to call when one is readable, for an event loop."""
        for sock, points_by_link in self._sockets:
            yield sock, lambda _, sock=sock, points_by_link=points_by_link: self._read(sock, points_by_link)  # type: ignore[misc]  # defaults bind

    def drain(self) -> None:
        """Take what is still waiting in the sockets."""
        for sock, points_by_link in self._sockets:
            self._read(sock, points_by_link)

    @property
    def captured(self) -> tuple[CapturedFrame, ...]:
        """Everything seen until now, in the order of time."""
        self._seen.sort(key=lambda seen: seen.time_ns)
        return tuple(self._seen)

    def _read(self, sock: socket.socket, points_by_link: PointsByLink) -> None:
        while True:
            try:
                data, control, _, address = sock.recvmsg(bpf.SNAPLEN, 64)
            except OSError:
                return
            points = points_by_link.get(address[0], ())
            frame = read_frame(data) if points else None
            if frame is not None:
                stamp, kind = _stamp(control), address[2]
                self._seen += _captured(points, stamp, kind, frame)


def _captured(points: Iterable[CapturePoint], stamp: int, kind: int, frame: Frame) -> Iterator[CapturedFrame]:
    """A frame at one link, as its points see it; those at the far end of the wire after it, if it goes there."""
    is_outgoing = kind == OUTGOING
    for point in sorted(points, key=lambda point: (point.tap is not None) == is_outgoing):
        outgoing = is_outgoing if point.tap is None else not is_outgoing
        addressed = kind != OTHERHOST if point.tap is None else outgoing or _is_for(point, frame)
        yield CapturedFrame(time_ns=stamp, point=point, outgoing=outgoing, addressed=addressed, frame=frame)


def _is_for(point: CapturePoint, frame: Frame) -> bool:
    return frame.dst == point.mac or bool(int(frame.dst[:2], 16) & 1)


def _stamp(control: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            return read_stamp(data)
    return 0


def _program(questions: Sequence[Question]) -> tuple[bpf.Instruction, ...]:
    blocks = [filters.arp_frames(), filters.neighbour_discovery()]
    if any(question.protocol is Protocol.ICMP for question in questions):
        blocks += filters.echoes()
    if any(question.protocol is Protocol.DHCP for question in questions):
        blocks += filters.ports(ip.UDP, [(67, 68)])
    for protocol, number in ((Protocol.TCP, ip.TCP), (Protocol.UDP, ip.UDP)):
        ports = {question.port for question in questions if question.protocol is protocol}
        blocks += filters.ports(number, _spans(ports))
    return bpf.any_of(*blocks)


def _spans(ports: set[int]) -> list[tuple[int, int]]:
    """Ports as at most SPANS ranges, split at the widest gaps: what is too much is sorted out later."""
    if not ports:
        return []
    row = sorted(ports)
    gaps = sorted((row[i - 1] + 1 - row[i], i) for i in range(1, len(row)) if row[i] > row[i - 1] + 1)
    cuts = [0, *sorted(i for _, i in gaps[: SPANS - 1]), len(row)]
    return [(row[start], row[end - 1]) for start, end in pairwise(cuts)]


class FrameTrack(Struct, frozen=True):
    """Where a question's frames, their replies, and the search for the next neighbour were seen, in order of time.

    ``search_replies`` are the answers to it: the question itself never left all the same.
    """

    requests: tuple[CapturedFrame, ...] = ()
    replies: tuple[CapturedFrame, ...] = ()
    searches: tuple[CapturedFrame, ...] = ()
    search_replies: tuple[CapturedFrame, ...] = ()

    @property
    def rtt_ms(self) -> float | None:
        """From the last question that left before the first reply came back, both at the asker's own NIC."""
        start = self.requests[0].point if self.requests and self.requests[0].outgoing else None
        back = next((seen.time_ns for seen in self.replies if seen.point == start and not seen.outgoing), None)
        if back is None:
            return None
        left = [
            seen.time_ns for seen in self.requests if seen.point == start and seen.outgoing and seen.time_ns <= back
        ]
        return (back - left[-1]) / 1e6 if left else None


class Tracker:
    """Finds the frames of each question among many captured."""

    def __init__(self, captured: Sequence[CapturedFrame]) -> None:
        self._marked: dict[bytes, list[CapturedFrame]] = {}  # ICMP and UDP, by what may be a token
        self._agent_echoes: dict[tuple[str, object, bytes], set[bytes]] = {}  # the tokens of echoes that are not ours
        self._opening: dict[int, list[CapturedFrame]] = {}  # TCP, by sequence number
        self._opened: dict[int, list[CapturedFrame]] = {}  # TCP, by the sequence number that is acknowledged
        self._left: dict[tuple[object, ...], set[int]] = {}  # by endpoint, source port and destination
        self._dialled: dict[tuple[object, ...], set[int]] = {}  # by endpoint, destination and its port
        self._neighbours: list[CapturedFrame] = []
        for seen in captured:
            self._sort(seen)

    def _sort(self, seen: CapturedFrame) -> None:
        packet = seen.frame.packet
        if seen.frame.arp or (packet and packet.neighbour):
            self._neighbours.append(seen)
        elif packet and packet.protocol == ip.TCP:
            if packet.is_first:
                self._opening.setdefault(packet.tcp_sequence, []).append(seen)
                if seen.outgoing:
                    left = (seen.point.node, packet.source_port, packet.dst)
                    self._left.setdefault(left, set()).add(packet.tcp_sequence)
                    dialled = (seen.point.node, packet.dst, packet.port)
                    self._dialled.setdefault(dialled, set()).add(packet.tcp_sequence)
            else:
                self._opened.setdefault((packet.tcp_acknowledged - 1) & 0xFFFFFFFF, []).append(seen)
        elif packet:
            for mark in set(_marks(packet)):
                self._marked.setdefault(mark, []).append(seen)
            if packet.protocol in {ip.ICMP, ip.ICMPV6} and seen.outgoing and seen.point.tap:
                echo = (seen.point.node, packet.dst, packet.payload[4:8])
                self._agent_echoes.setdefault(echo, set()).add(packet.payload[:8])

    def follow(self, answer: Answer) -> FrameTrack:
        """All captured of one question."""
        question = answer.question
        if question.protocol is Protocol.ARP:
            return self._link_layer(question)
        asked: list[CapturedFrame] = []
        replied: list[CapturedFrame] = []
        if question.protocol is Protocol.TCP:
            for sequence in self._sequences(answer):
                asked += self._opening[sequence]
                replied += self._opened.get(sequence, ())
        else:
            for token in self._tokens(answer):
                for seen in self._marked.get(token, ()):
                    (asked if _is_question(question, seen) else replied).append(seen)
        is_lost = not asked and answer.response is not Response.NO_ROUTE
        sought = tuple(self._search(question)) if is_lost else ()
        about = {_parties(seen.frame)[1] for seen in sought}
        found = [seen for seen in self._neighbours if (said := _parties(seen.frame))[1] in about and not said[2]]
        return FrameTrack(tuple(asked), tuple(replied), sought, tuple(found))

    def _sequences(self, answer: Answer) -> set[int]:
        """The sequence numbers with which the asker opened its connection, seen at its own NIC."""
        question = answer.question
        if question.source.agent:  # its source port is its own affair, but no two of its questions are alike
            return self._dialled.get((question.source.endpoint, question.address, question.port), set())
        return self._left.get((question.source.endpoint, answer.source_port, question.address), set())

    def _tokens(self, answer: Answer) -> set[bytes]:
        """What marks the frames of a question: its token, or what another's ping put into its place.

        That begins with the time, so that no two are the same; we know the filling after it (see ``guest_agent.py``).
        """
        question = answer.question
        if question.source.agent:
            return self._agent_echoes.get((question.source.endpoint, question.address, answer.filling * 4), set())
        return {question.token.mark[:4] if question.protocol is Protocol.DHCP else question.token.mark}

    def _link_layer(self, question: Question) -> FrameTrack:
        asked: list[CapturedFrame] = []
        replied: list[CapturedFrame] = []
        for seen in self._neighbours:
            sender, target, is_request = _parties(seen.frame)
            if is_request and sender == question.source.mac and target == question.address:
                asked.append(seen)
            elif not is_request and target == question.address:
                replied.append(seen)
        return FrameTrack(tuple(asked), tuple(replied))

    def _search(self, question: Question) -> Iterator[CapturedFrame]:
        """Requests for a neighbour that left the asker: the question itself could not follow them."""
        home = question.source.endpoint
        wanted = {
            _parties(seen.frame)
            for seen in self._neighbours  # a port's outgoing frames are not the asker's own
            if seen.outgoing and seen.point.node == home and seen.point.master is None
        }
        if any(question.address in own.network for own in question.source.addresses if question.address):
            wanted = {parties for parties in wanted if parties[1] == question.address}
        for seen in self._neighbours:
            parties = _parties(seen.frame)
            if parties[2] and parties in wanted:
                yield seen


def _parties(frame: Frame) -> tuple[str, object, bool]:
    """Of a neighbour frame: the asker's MAC (or the receiver's), the address it is about, whether it asks."""
    if frame.arp:
        is_request = frame.arp.operation == arp.REQUEST
        return frame.src, (frame.arp.target if is_request else frame.arp.sender), is_request
    neighbour = frame.packet.neighbour if frame.packet else None
    return frame.src, neighbour.target if neighbour else None, bool(neighbour and neighbour.is_solicitation)


def _marks(packet: IpPacket) -> Iterator[bytes]:
    """Everything in a payload that may be a token: where the question has it, and where a reply repeats it."""
    payload = packet.payload
    yield payload[:8]
    if packet.protocol != ip.UDP:
        return
    if payload.startswith(b"bascule "):
        yield payload.split(b" ", 3)[-1][:8]
    if 53 in {packet.port, packet.source_port}:  # the first label of the name
        with contextlib.suppress(ValueError):
            yield bytes.fromhex(payload[13:29].decode("ascii", "replace"))
    if 123 in {packet.port, packet.source_port}:  # the client's transmit time; the server's copy of it
        yield payload[40:48]
        yield payload[24:32]
    if {packet.port, packet.source_port} <= {67, 68}:
        yield payload[4:8]


def _is_question(question: Question, seen: CapturedFrame) -> bool:
    packet = seen.frame.packet
    if packet is None:
        return False
    if question.protocol is Protocol.ICMP:
        return packet.type in {icmp.ECHO_REQUEST, icmp.ECHO6_REQUEST}
    return packet.source_port != (question.port or 67) and not packet.payload.startswith(b"bascule ")
