"""A question and its answer, as values."""

from __future__ import annotations

import os
from enum import StrEnum
from ipaddress import IPv4Address

from msgspec import Struct, field

from bascule.model.values import IfName, IpAddress, Mac, Service
from bascule.model.volatile import Volatile
from bascule.probe.domain import ProbeAttachment

PATIENCE_S = 1.5  # for a question that should be answered: long enough for a second ARP or SYN of the kernel (1 s)
PORTS_AT_MOST = 256  # of a range; beyond that, as many spread evenly
AGENT_ASKS_AT_MOST = 32  # where a program is started for each: an emulated guest starts ten in a second


class Protocol(StrEnum):
    """How one asks."""

    ARP = "arp"  # neighbour discovery where the address is IPv6
    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"
    DHCP = "dhcp"


class Response(StrEnum):
    """What came back, in the words that are printed."""

    REPLY = "reply"
    REFUSED = "refused"
    NO_ROUTE = "no route"
    UNREACHABLE = "unreachable"
    SILENCE = "no answer"
    NOT_ASKED = "could not be asked"


class Token(Volatile, frozen=True):
    """What marks the frames of one question; two questions that ask the same compare equal whatever their marks."""

    mark: bytes


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, from where, and for how long one waits.

    ``size`` makes an ICMP or UDP question an IP packet of that many bytes that must not be fragmented; ``via`` binds
    it to one NIC instead of leaving the choice to the routes (ARP and DHCP always use the attachment's own). ``token``
    marks its frames, so that they are recognised wherever they pass, behind NAT as well. ``every_s`` is how often it is
    put again, None for the protocol's own pace.
    """

    source: ProbeAttachment
    protocol: Protocol
    address: IpAddress | None = None
    port: int = 0
    patience_s: float = PATIENCE_S
    size: int = 0
    via: IfName | None = None
    every_s: float | None = None
    token: Token = field(default_factory=lambda: Token(os.urandom(8)))

    def __str__(self) -> str:
        service = f"{self.protocol}/{self.port}" if self.port else str(self.protocol)
        return f"{self.source.endpoint} ({self.source.link}) asks {self.address or 'everybody'} by {service}"


class Answer(Struct, frozen=True, kw_only=True):
    """What came back.

    ``address`` and ``mac`` are of whoever answered; ``seen`` is the address that the other side saw as the asker's,
    where it says so; ``offered`` is the address in a DHCP offer. ``source_port`` is ours, of a TCP or UDP question;
    ``filling`` is the byte that fills a ping which is not ours. ``lost`` says where it ended, if that was looked for.
    ``rtt_ms`` counts from the try that was answered, ``waited_ms`` from the first one, None where another asked for us.
    """

    question: Question
    response: Response
    detail: str = ""
    rtt_ms: float | None = None
    waited_ms: float | None = None
    address: IpAddress | None = None
    mac: Mac | None = None
    seen: IpAddress | None = None
    offered: IPv4Address | None = None
    source_port: int = 0
    filling: bytes = b""
    lost: str = ""

    @property
    def ok(self) -> bool:
        """Whether the other side answered as it should."""
        return self.response is Response.REPLY

    @property
    def is_unheard(self) -> bool:
        """Whether nobody else has said anything: silence, or the asker's own word that he found no neighbour."""
        own = [one.ip for one in self.question.source.addresses]
        return self.response is Response.SILENCE or (self.response is Response.UNREACHABLE and self.address in own)

    @property
    def words(self) -> str:
        """What came back as a phrase: ``reply from 192.168.1.33 in 0.1 ms``."""
        if self.response is Response.REPLY:
            who = f" from {self.mac or self.address}" if self.mac or self.address else ""
            return f"reply{who}" + (f" in {_short(self.rtt_ms)} ms" if self.rtt_ms is not None else "")
        if self.response is Response.SILENCE:
            return f"no answer within {self.question.patience_s:g} s" + (f": {self.lost}" if self.lost else "")
        return ": ".join(filter(None, (self.response, self.detail, self.lost)))


def too_large(size: int) -> str:
    """What is said of a packet that is larger than what a link takes."""
    return f"{size} bytes do not fit the MTU of the way"


def _short(number: float) -> str:
    """Two decimals below one, none from ten on."""
    return f"{number:.2f}" if number < 1 else f"{number:.1f}" if number < 10 else f"{number:.0f}"


def ports_of(service: Service, most: int = PORTS_AT_MOST) -> list[int]:
    """The ports to ask: all of a small range, an even selection with both ends of a large one, [0] without ports."""
    ports = service.ports
    if len(ports) <= most:
        return list(ports) or [0]
    return sorted({ports[round(i * (len(ports) - 1) / (most - 1))] for i in range(most)})
