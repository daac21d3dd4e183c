"""What a control frame says, as small frozen values. A decoder returns a tuple of these; nothing here judges."""

from __future__ import annotations

from msgspec import Struct


class Neighbour(Struct, frozen=True, kw_only=True):
    """A device that names itself. ``roles`` are its enabled capabilities in plain words (see survey/neighbours.py)."""

    protocol: str
    name: str = ""
    port: str = ""
    port_text: str = ""
    platform: str = ""
    inventory: str = ""
    chassis: str = ""
    roles: tuple[str, ...] = ()
    native_vlan: int | None = None
    voice_vlan: int | None = None
    vlan_names: tuple[tuple[int, str], ...] = ()
    addresses: tuple[str, ...] = ()
    mtu: int | None = None
    lag: int | None = None
    domain: str = ""


class Bpdu(Struct, frozen=True, kw_only=True):
    """A spanning tree frame. Bridge ids are written ``priority.mac`` with four hexadecimal digits of priority.

    ``state`` is what RSTP and its kin say of the sending port: discarding, learning or forwarding; empty for STP.
    """

    variant: str  # STP, RSTP, MSTP, PVST+, RPVST+
    root: str = ""
    bridge: str = ""
    port: int = 0
    vlan: int | None = None  # PVST+ alone says it
    region: str = ""
    state: str = ""


class Lacp(Struct, frozen=True, kw_only=True):
    """Both ends of an aggregated link as the sender sees them; a system is ``priority.mac``."""

    system: str
    key: int
    port: int
    partner: str = ""


class Sender(Struct, frozen=True):
    """Somebody who has this address sends on this wire."""

    ip: str
    how: str


class Asks(Struct, frozen=True):
    """An ARP request: the sender takes the target to be on its own subnet."""

    sender: str
    target: str


DIRECTED = "directed broadcast"  # how a subnet is told that follows from one host's broadcast address


class Subnet(Struct, frozen=True):
    """A prefix that somebody states outright, as 192.168.1.0/24."""

    network: str
    how: str


class Gateway(Struct, frozen=True):
    """An address that is offered or kept up as the way out. ``detail`` is the group of a virtual one."""

    ip: str
    how: str
    detail: str = ""


class HeardServer(Struct, frozen=True):
    """A server that showed itself: a DHCP server, a relay, a multicast querier."""

    kind: str
    ip: str


class Routing(Struct, frozen=True):
    """A routing protocol's hello."""

    protocol: str
    ip: str
    detail: str = ""


class Name(Struct, frozen=True):
    """A host's or a domain's name."""

    text: str
    how: str


class Remark(Struct, frozen=True):
    """What does not name a network but explains a wire: a trunk that is being negotiated, a port that is closed."""

    kind: str
    text: str


Finding = Neighbour | Bpdu | Lacp | Sender | Asks | Subnet | Gateway | HeardServer | Routing | Name | Remark
Findings = tuple[Finding, ...]
