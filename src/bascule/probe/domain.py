"""From where one can ask, and where one can listen: the same shape for a twin and for a live host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from bascule.model.values import IfName, IpInterface, Mac
from bascule.system.net.netns import Namespace


class GuestAgent(Struct, frozen=True, kw_only=True):
    """How a system asks whose sockets are its own, not ours: in lines over a socket of ours (``probe/guest_agent.py``).

    ``asks`` and ``answers`` are the protocols that it can.
    """

    path: Path
    asks: frozenset[str]
    answers: frozenset[str]


class ProbeAttachment(Struct, frozen=True, kw_only=True):
    """A NIC of an endpoint (host, guest or machine) from which questions can be asked.

    ``network`` is the building's network behind it or a host's virtual one (as ``lab of vmhost``), None on a bridge
    without NIC. Where an ``agent`` asks, ``namespace`` is the one that its wire ends in.
    """

    endpoint: str
    namespace: Namespace
    link: IfName
    mac: Mac
    addresses: tuple[IpInterface, ...] = ()
    network: str | None = None
    agent: GuestAgent | None = None

    def asks(self, protocol: str) -> bool:
        """Whether one can ask so from here."""
        return self.agent is None or protocol in self.agent.asks

    def answers(self, protocol: str) -> bool:
        """Whether its silence would say anything about the wires: whether it would answer such a question at all."""
        return self.agent is None or protocol in self.agent.answers


class CapturePoint(Struct, frozen=True, kw_only=True):
    """A link where passing frames can be seen. ``node`` is the endpoint or switch that it belongs to.

    A link that is in no namespace, with the MAC ``mac``, is seen at the other end of its wire, ``tap``: what goes out
    at the one comes in at the other.
    """

    node: str
    namespace: Namespace
    link: IfName
    master: IfName | None = None
    tap: IfName | None = None
    mac: Mac | None = None


class ProbeDomain(Struct, frozen=True, kw_only=True):
    """All attachments by endpoint, all points, and the namespace of each host.

    ``unseen`` are hosts of a twin that stand for machines which nobody has looked at.
    ``live``: these are the machine itself and its real wires, no twin: who is not attached may be there all the same.
    ``patience`` is how many times longer than usual one waits for an answer: whose processor is played is slow.
    """

    attachments: Mapping[str, tuple[ProbeAttachment, ...]] = field(default_factory=dict)
    points: tuple[CapturePoint, ...] = ()
    hosts: Mapping[str, Namespace] = field(default_factory=dict)
    live: bool = False
    unseen: frozenset[str] = frozenset()
    patience: float = 1.0
