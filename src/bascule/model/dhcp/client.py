"""A DHCP client at work on a link, and what it takes to let it go on on another one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.dhcp.offers import Offer
from bascule.model.values import IfName


class DhcpClient(Struct, frozen=True, kw_only=True):
    """A program that keeps leases. ``links`` is empty where it looks after all of them.

    ``daemon`` names the one that does it itself or has started the program: it is told by its files, never moved.
    """

    kind: str
    links: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    pid: int = 0
    daemon: str = ""

    @property
    def name(self) -> str:
        """As it is printed."""
        return self.daemon or f"{self.kind} (process {self.pid})"

    @property
    def of_ipv6_alone(self) -> bool:
        """Whether it asks for no IPv4 lease (dhclient(8), dhcpcd(8))."""
        return "-6" in self.argv


class Handover(Struct, frozen=True, kw_only=True):
    """A client that continues with its lease on another link. ``argv`` is its command line on ``home``.

    The lease is for one of ``addresses``; most likely for the first. ``unused`` is what the new link leaves of it.
    """

    kind: str
    argv: tuple[str, ...]
    home: IfName
    link: IfName
    to: IfName
    addresses: tuple[str, ...] = ()
    unused: tuple[Offer, ...] = ()

    @property
    def back(self) -> Handover:
        """The same, the other way: at home the host's own hooks know the link again."""
        return replace(self, link=self.to, to=self.link, unused=())


class ClientStart(Struct, frozen=True, kw_only=True):
    """How a client begins on its new link.

    ``bound`` finds the address in what the client prints once it has its lease. ``carry`` are lease files and where
    they go to; ``rewrite`` makes the new one from the old one and what stands in its place. ``script`` is the text of
    one to put between, in the place of ``{script}`` in the command. ``forgets`` is a pattern of files below / in which
    its hooks keep the name servers of the link that it has left. ``seconds`` reads the length of the newest lease,
    where the client does not write it on an address that is there already.
    """

    argv: tuple[str, ...]
    bound: str
    carry: tuple[tuple[str, str], ...] = ()
    rewrite: Callable[[bytes, bytes], bytes] | None = None
    script: str = ""
    forgets: str = ""
    seconds: Callable[[bytes], int | None] | None = None


class ClientKind(Protocol):
    """What a client's command line and files look like."""

    NAME: str

    def links(self, argv: Sequence[str]) -> tuple[str, ...]:
        """The links in its command line; empty where it names none."""

    def pid_files(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Where it may have written its number. Left there, `dhclient -r` would end whoever has that number next."""

    def start(self, one: Handover) -> ClientStart:
        """How it goes on where it goes to."""


def renamed(word: str, old: str, new: str) -> str:
    """A word of a command line with another link: the name itself, or in a path like /run/dhclient.eth0.pid."""
    if word == old:
        return new
    if "/" not in word:
        return word
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(old)}(?![A-Za-z0-9])", new, word)
