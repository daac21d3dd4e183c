"""Many questions at once: one process, sockets in many namespaces, one event loop."""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bascule.errors import NotPermitted
from bascule.frames import bpf, filters
from bascule.frames.codecs import icmp, ip
from bascule.frames.packet import read_frame
from bascule.probe.domain import GuestAgent
from bascule.probe.guest_agent import AgentLine, AgentQuestion
from bascule.probe.protocols import (
    BANNER_PATIENCE_S,
    IP_MTU_DISCOVER,
    IP_RECVERR,
    IPV6_MTU_DISCOVER,
    IPV6_RECVERR,
    PMTUDISC_PROBE,
    Datagram,
    Icmp,
    LinkLayer,
    PendingQuestion,
    Stream,
)
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.system.net.packet import open_packet
from bascule.system.net.sockets import close_all
from bascule.system.process import rights

if TYPE_CHECKING:
    from bascule.probe.capture import CaptureSession

AT_ONCE = 256  # questions in flight: well below the usual limit of 1,024 descriptors, and of 1,024 neighbours
ICMP_FILTER, SOL_RAW, ICMPV6_FILTER = 1, 255, 1  # linux/icmp.h, linux/icmpv6.h


def ask(
    questions: Sequence[Question], *, watch: CaptureSession | None = None, patience: float = 1.0
) -> tuple[Answer, ...]:
    """Put all questions, as many at once as is sensible, and wait for each ``patience`` times as long as it says.

    The answers come in the order of the questions. A ``watch`` is read in the same loop, so that nothing it sees is
    lost. Raises NotPermitted where the kernel lets us open no raw socket.
    """
    if patience != 1.0:
        questions = [replace(question, patience_s=question.patience_s * patience) for question in questions]
    with contextlib.closing(_Loop(watch)) as loop:
        return loop.run(questions)


class _Loop:
    """The state of one call: selector, shared sockets, timers."""

    def __init__(self, watch: CaptureSession | None) -> None:
        self.selector = selectors.DefaultSelector()
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self.ticket = 0
        self.shared: dict[tuple[object, ...], tuple[socket.socket, dict[int, PendingQuestion]]] = {}
        self.agents: dict[GuestAgent, AgentLine] = {}
        self.finished: list[PendingQuestion] = []
        self.active: set[PendingQuestion] = set()
        self.watch = watch
        for sock, read in watch.readers() if watch else ():
            self.selector.register(sock, selectors.EVENT_READ, read)

    def close(self) -> None:
        """Let go of every socket; the watch keeps its own."""
        self.selector.close()
        for asking in self.active:
            if isinstance(asking, Stream | Datagram):
                asking.sock.close()
        close_all([sock for sock, _ in self.shared.values()] + [line.socket for line in self.agents.values()])

    def run(self, questions: Sequence[Question]) -> tuple[Answer, ...]:
        """All answers, in order."""
        answers: list[Answer | None] = [None] * len(questions)
        waiting = deque(sorted(enumerate(questions), key=lambda pair: pair[1].source.namespace.identity))
        while waiting or self.active:
            self._start_more(waiting)
            pause = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers and not self.finished else 0.0
            for key, events in self.selector.select(pause):
                key.data(events)
            # what has come is read before anybody's patience is over: we may have been late, not the answer
            while self.timers and self.timers[0][0] <= time.monotonic():
                heapq.heappop(self.timers)[2]()
            for asking in self.finished:
                answers[asking.index] = asking.answer
            self.finished.clear()
        if self.watch:
            self.watch.drain()
        return tuple(answer for answer in answers if answer is not None)

    def _start_more(self, waiting: deque[tuple[int, Question]]) -> None:
        while waiting and len(self.active) < AT_ONCE:
            namespace = waiting[0][1].source.namespace
            with namespace.entered():  # once for all questions of a namespace that stand in a row
                while waiting and len(self.active) < AT_ONCE and waiting[0][1].source.namespace is namespace:
                    self._start(*waiting.popleft())

    def _start(self, index: int, question: Question) -> None:
        try:
            asking = self._open(index, question)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise NotPermitted.of(
                    "RAW-SOCKET", f"no raw socket: {error.strerror}", hint=rights.hint(["NET_RAW"])
                ) from error
            asking = PendingQuestion(question, index, None, 0)  # type: ignore[arg-type]  # it is over before it has a socket
            what = (
                "nobody there takes questions from Bascule"
                if question.source.agent
                else question.via or question.source.link
            )
            asking.finish(Response.NOT_ASKED, f"{what}: {error.strerror}")
        self.active.add(asking)
        if asking.answer is None:
            self._at(asking.patience_s, lambda: self._expire(asking))
            self._send(asking)
        self._settle(asking)

    def _send(self, asking: PendingQuestion) -> None:
        if asking.answer is not None:
            return
        asking.sent = time.perf_counter()
        try:
            asking.send()
        except BlockingIOError:
            pass  # the NIC's queue is full; the next try will do
        except OSError as error:
            asking.refused_by_kernel(error)
        self._at(asking.question.every_s or asking.retry_s, lambda: self._send(asking))
        self._settle(asking)

    def _at(self, delay_s: float, call: Callable[[], None]) -> None:
        self.ticket += 1
        heapq.heappush(self.timers, (time.monotonic() + delay_s, self.ticket, call))

    def _expire(self, asking: PendingQuestion) -> None:
        if asking in self.active:
            asking.give_up()
            if asking.answer is None:
                self._at(asking.patience_s, lambda: self._expire(asking))
            self._settle(asking)

    def _settle(self, asking: PendingQuestion) -> None:
        """Take a question that has its answer out of the loop."""
        if asking.answer is None or asking not in self.active:
            return
        self.active.discard(asking)
        self.finished.append(asking)
        if isinstance(asking, Stream | Datagram):
            with contextlib.suppress(KeyError, ValueError):
                self.selector.unregister(asking.sock)
            asking.sock.close()
        elif asking.sequence:
            for _, askings in self.shared.values():
                if askings.get(asking.sequence) is asking:
                    del askings[asking.sequence]

    # sockets; the caller is in the question's namespace

    def _open(self, index: int, question: Question) -> PendingQuestion:
        if question.source.agent:
            return AgentQuestion(question, index, self._agent_line(question.source.agent))
        self.ticket += 1
        sequence = self.ticket & 0xFFFF or 1
        if question.protocol is Protocol.ICMP:
            return self._share(question, index, sequence, self._icmp_socket, Icmp)
        if question.protocol in {Protocol.ARP, Protocol.DHCP}:
            return self._share(question, index, sequence, self._link_socket, LinkLayer)
        return self._own(question, index, sequence)

    def _agent_line(self, agent: GuestAgent) -> AgentLine:
        if agent not in self.agents:
            line = self.agents[agent] = AgentLine(agent)

            def read(_: int) -> None:
                for asking in line.read():
                    self._settle(asking)
                if line.is_over:
                    self.selector.unregister(line.socket)

            self.selector.register(line.socket, selectors.EVENT_READ, read)
        return self.agents[agent]

    def _share(
        self,
        question: Question,
        index: int,
        sequence: int,
        make: Callable[[Question, dict[int, PendingQuestion]], socket.socket],
        kind: type[PendingQuestion],
    ) -> PendingQuestion:
        source = question.source
        link = question.via if kind is Icmp else source.link
        key = (kind, source.namespace.identity, isinstance(question.address, IPv6Address) and kind is Icmp, link)
        if key not in self.shared:
            askings: dict[int, PendingQuestion] = {}
            self.shared[key] = (make(question, askings), askings)
        sock, askings = self.shared[key]
        asking = kind(question, index, sock, sequence)
        askings[sequence] = asking
        return asking

    def _icmp_socket(self, question: Question, askings: dict[int, PendingQuestion]) -> socket.socket:
        is_ipv6 = isinstance(question.address, IPv6Address)
        family, protocol = (socket.AF_INET6, ip.ICMPV6) if is_ipv6 else (socket.AF_INET, ip.ICMP)
        sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        with _closed_on_error(sock):
            _never_fragment(sock, is_ipv6=is_ipv6)
            _bind(sock, question.via)
            if is_ipv6:
                blocked = [0xFFFFFFFF] * 8  # a set bit blocks that type
                for kind in (1, 2, 3, icmp.ECHO6_REPLY):
                    blocked[kind >> 5] &= ~(1 << (kind & 31))
                sock.setsockopt(ip.ICMPV6, ICMPV6_FILTER, struct.pack("=8I", *blocked))
            else:
                wanted = sum(1 << kind for kind in (icmp.ECHO_REPLY, 3, 11))
                sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFF ^ wanted))

        def read(_: int) -> None:
            while True:
                try:
                    data, sender = sock.recvfrom(65535)
                except OSError:
                    return
                address: IPv4Address | IPv6Address = ip_address(sender[0].split("%")[0])
                asking = Icmp.hear(data, address, askings)
                if asking:
                    self._settle(asking)

        self.selector.register(sock, selectors.EVENT_READ, read)
        return sock

    def _link_socket(self, question: Question, askings: dict[int, PendingQuestion]) -> socket.socket:
        program = bpf.any_of(*filters.neighbour_answers(), filters.dhcp_to_client(), refuse_outgoing=True)
        sock = open_packet(question.source.link, program)

        def read(_: int) -> None:
            while True:
                try:
                    data = sock.recv(2048)
                except OSError:
                    return
                frame = read_frame(data)
                for asking in list(askings.values()) if frame else ():
                    if frame and isinstance(asking, LinkLayer):
                        asking.hear(frame)
                    self._settle(asking)

        self.selector.register(sock, selectors.EVENT_READ, read)
        return sock

    def _own(self, question: Question, index: int, sequence: int) -> PendingQuestion:
        is_ipv6 = isinstance(question.address, IPv6Address)
        is_stream = question.protocol is Protocol.TCP
        family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        kind = socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        level, option = (socket.IPPROTO_IPV6, IPV6_RECVERR) if is_ipv6 else (socket.IPPROTO_IP, IP_RECVERR)
        with _closed_on_error(sock):
            sock.setsockopt(level, option, 1)
            if not is_stream:
                _never_fragment(sock, is_ipv6=is_ipv6)
            _bind(sock, question.via)
        asking: Stream | Datagram
        if is_stream:
            asking = stream = Stream(question, index, sock, sequence)
            self.selector.register(sock, selectors.EVENT_WRITE, lambda _: self._stream_moves(stream))
        else:
            asking = datagram = Datagram(question, index, sock, sequence)

            def read(_: int) -> None:
                datagram.listen()
                self._settle(datagram)

            self.selector.register(sock, selectors.EVENT_READ, read)
        return asking

    def _stream_moves(self, stream: Stream) -> None:
        if stream.connected_ms is None:
            if stream.connected():
                self.selector.modify(stream.sock, selectors.EVENT_READ, lambda _: self._stream_moves(stream))
                self._at(BANNER_PATIENCE_S, lambda: self._expire(stream))
        else:
            stream.listen()
        self._settle(stream)


def _never_fragment(sock: socket.socket, *, is_ipv6: bool) -> None:
    if is_ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)


def _bind(sock: socket.socket, link: str | None) -> None:
    if link:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode() + b"\0")


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
