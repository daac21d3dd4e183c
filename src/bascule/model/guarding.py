"""What a guest NIC may send, as the site file says it."""

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
