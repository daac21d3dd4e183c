"""What a guest NIC may send, and how much, as the site file says it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from bascule.model.values import IpNetwork, Mac


class GuardLevel(StrEnum):
    """How closely a guest NIC is kept to what it is."""

    STRICT = "strict"  # its own MACs and its own addresses
    MAC = "mac"  # its own MACs, whatever address a DHCP server gives it
    OFF = "off"


Redundancy = Literal["vrrp", "hsrp", "carp"]
Fdb = Literal["static", "learned"]  # how the bridge knows its MACs
GROUPS: tuple[Redundancy, ...] = ("vrrp", "hsrp", "carp")


class VirtualRouter(Struct, frozen=True):
    """A group of routers that share addresses; whoever is active has them, and the MAC of the group."""

    protocol: Redundancy
    group: int
    addresses: tuple[IpNetwork, ...] = ()


class Guarding(Struct, frozen=True, kw_only=True):
    """What a guest NIC may do. ``may`` has the words of the site file; rates are frames in a second.

    An isolated one meets no other isolated guest but those of its own ``group``.
    """

    level: GuardLevel = GuardLevel.OFF
    also: tuple[IpNetwork, ...] = ()
    routers: tuple[VirtualRouter, ...] = ()
    macs: tuple[Mac, ...] = ()
    nested: int | None = None  # how many further MACs it may use, whatever they are
    may: frozenset[str] = frozenset()
    isolated: bool | None = None  # None: nobody has said
    group: str = ""
    fdb: Fdb | None = None  # None: nobody has said
    broadcast: int | None = None
    multicast: int | None = None

    @property
    def port_flag(self) -> bool | None:
        """The bridge's own isolation of the port, which knows no groups: the rules alone keep those apart."""
        return False if self.group else self.isolated


UNITS = (("Gbit", 10**9), ("Mbit", 10**6), ("kbit", 10**3), ("bit", 1))


class Bandwidth(Struct, frozen=True, kw_only=True):
    """Bits in a second of whole Ethernet frames: ``up`` is what the guest sends, ``down`` what it gets; None is all."""

    up: int | None = None
    down: int | None = None

    def __bool__(self) -> bool:
        return self.up is not None or self.down is not None

    def __str__(self) -> str:
        told = [f"{way} {rate_words(rate)}" for way, rate in (("up", self.up), ("down", self.down)) if rate is not None]
        return ", ".join(told) or "no limit"


def rate_words(rate: int) -> str:
    """A rate as the site file and tc write it: 100Mbit."""
    unit, size = next((one for one in UNITS if rate % one[1] == 0), UNITS[-1])
    return f"{rate // size}{unit}"
