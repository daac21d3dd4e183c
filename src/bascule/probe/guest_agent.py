"""Questions that another system asks for us, in lines over a socket: a virtual machine has no namespace of ours.

We write ``NUMBER WORDS``, it answers ``NUMBER STATUS WHAT-ITS-PROGRAM-SAID``, many at a time, in any order. The other
half of this language stands in :mod:`bascule.twin.test_guest.init`; what its programs say is busybox's own wording.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import time
from collections import deque
from ipaddress import IPv4Address, IPv6Address, ip_address

from bascule.model.values import IpAddress, parse_mac
from bascule.probe.domain import GuestAgent
from bascule.probe.protocols import PendingQuestion, greeting
from bascule.probe.question import Answer, Protocol, Question, Response, too_large

AT_ONCE = 4  # programs that it runs at the same time
SILENT_S = 30.0  # an agent that says nothing for so long has gone; an emulated guest on a busy machine takes its time
PING_BYTES = 56
_numbers = itertools.count(1)

_GOT_ICMP = re.compile(
    r"got ICMP \d+ \(([^)]*)\)|^From \S+:? icmp_seq=\d+ (.+)$", re.MULTILINE
)  # iputils' is the other
_TIME = re.compile(r"time=([0-9.]+) ms")
_ARP = re.compile(r"reply from (\S+) \[([0-9a-fA-F:]{17})\]")
_NEIGHBOUR = re.compile(r"lladdr ([0-9a-fA-F:]{17})")
_LEASE = re.compile(r"lease (\S+) from (\S+)")


class AgentQuestion(PendingQuestion):
    """A question that a guest agent asks. Nothing is known of it until the answer comes."""

    retry_s = 3600.0  # it tries again by itself

    def __init__(self, question: Question, index: int, line: AgentLine) -> None:
        super().__init__(question, index, line.socket, 0)
        self.line = line
        number = next(_numbers)
        self.number = f"q{number}"
        self.filling = number & 0xFF

    @property
    def patience_s(self) -> float:
        """It counts the time by itself: silence is its word, not ours."""
        return self.question.patience_s + SILENT_S

    def send(self) -> None:
        """Wait for a turn."""
        self.line.queue(self)

    def understand(self, status: str, said: str) -> None:
        """The answer in its words."""
        self.answer = understand(self, int(status) if status.isdigit() else 1, said)

    def give_up(self) -> None:
        """Nothing was said: then nothing was asked, as far as we know. While it talks, each waits for its turn."""
        if self.line.is_over or time.monotonic() > self.line.heard_s + SILENT_S:
            self.finish(Response.NOT_ASKED, f"{self.question.source.endpoint} did not say what came of it")

    def words(self) -> str:
        """The question as the other side takes it."""
        question = self.question
        nic = question.source.mac if question.via or question.protocol in {Protocol.ARP, Protocol.DHCP} else "-"
        head = f"{question.protocol} {nic} {question.address or '-'} {max(1, round(question.patience_s))}"
        match question.protocol:
            case Protocol.ICMP:
                header = 48 if isinstance(question.address, IPv6Address) else 28
                size = question.size - header if question.size else PING_BYTES
                return f"{head} {size} {self.filling:02x}"
            case Protocol.TCP:
                return f"{head} {question.port}"
            case Protocol.ARP | Protocol.DHCP:
                return head
        raise ValueError(f"no agent asks {question.protocol}")  # see ProbeAttachment.asks


def understand(asking: AgentQuestion, status: int, said: str) -> Answer:
    """What busybox said, as an answer."""
    question, address = asking.question, asking.question.address
    response, detail, seen, mac = Response.SILENCE, "", None, None
    who: IpAddress | None = address
    offered: IPv4Address | None = None
    milliseconds: float | None = None
    if question.protocol is Protocol.TCP and said.startswith("open"):
        response, seen = Response.REPLY, greeting(said.removeprefix("open ").encode() + b"\n")
    elif question.protocol is Protocol.ICMP and status == 0:
        response, timed = Response.REPLY, _TIME.search(said)
        milliseconds = float(timed[1]) if timed else None
    elif question.protocol is Protocol.ARP and (found := _ARP.search(said) or _NEIGHBOUR.search(said)):
        response, mac = Response.REPLY, parse_mac(found[found.lastindex or 0].lower())
    elif question.protocol is Protocol.DHCP and (given := _LEASE.search(said)):
        response, offered, who = Response.REPLY, IPv4Address(given[1]), _address(given[2])
    elif failed := failure(said, question.source.endpoint, address, question.size):
        response, detail = failed
    elif status > 1:  # 1 is each program's way to say that nothing came back
        response, detail = Response.NOT_ASKED, said or f"status {status}"
    ok = response is Response.REPLY
    return Answer(
        question=question,
        response=response,
        detail=detail,
        rtt_ms=milliseconds,
        address=who if ok else None,
        mac=mac,
        seen=seen,
        offered=offered,
        filling=bytes((asking.filling,)),
    )


def failure(said: str, endpoint: str, address: object, size: int = 0) -> tuple[Response, str] | None:
    """What a program's words mean that had no success, by what is printed for an errno or an ICMP error; else None."""
    if "refused" in said:
        return Response.REFUSED, "connection refused"
    if "etwork is unreachable" in said or "annot assign requested address" in said:
        return Response.NO_ROUTE, f"{endpoint} has none to {address}"
    if unreachable := _GOT_ICMP.search(said):
        return Response.UNREACHABLE, (unreachable[1] or unreachable[2]).lower()
    if "No route to host" in said:
        return Response.UNREACHABLE, "no route to host"
    if "essage too long" in said:
        return Response.UNREACHABLE, too_large(size)
    return None


def _address(text: str) -> IpAddress | None:
    with contextlib.suppress(ValueError):
        return ip_address(text)
    return None


class AgentLine:
    """The line to one agent. A loop reads it when ``socket`` is readable, until it ``is_over``."""

    def __init__(self, agent: GuestAgent) -> None:
        """Raises OSError where nobody holds the other end."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.is_over = False
        self.heard_s = time.monotonic()
        self._buffer = b""
        self._waiting: deque[AgentQuestion] = deque()
        self._asked: dict[str, AgentQuestion] = {}
        try:
            self.socket.connect(str(agent.path))
            self.socket.setblocking(False)
        except OSError:
            self.socket.close()
            raise

    def queue(self, asking: AgentQuestion) -> None:
        """Ask it when it is its turn."""
        self._waiting.append(asking)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._asked) < AT_ONCE:
            asking = self._waiting.popleft()
            asking.sent = time.perf_counter()
            self._asked[asking.number] = asking
            try:
                self.socket.sendall(f"{asking.number} {asking.words()}\n".encode())
            except OSError:  # so few lines always fit into the socket's buffer: nobody is there any more
                self.is_over = True

    def read(self) -> list[AgentQuestion]:
        """The questions that have their answer now; all of them when it is over."""
        done = []
        try:
            received = self.socket.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            received = b""
        if received:
            self.heard_s = time.monotonic()
            *lines, self._buffer = (self._buffer + received).split(b"\n")
            for line in lines:
                number, status, said = [*line.decode("utf-8", "replace").strip().split(" ", 2), "", ""][:3]
                asking = self._asked.pop(number, None)
                if asking is not None and asking.answer is None:
                    asking.understand(status, said)
                    done.append(asking)
            self._go_on()
        if not received or self.is_over:
            self.is_over = True
            rest = [*self._asked.values(), *self._waiting]
            for asking in rest:
                asking.give_up()
            self._asked.clear()
            self._waiting.clear()
            done += rest
        return done

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
