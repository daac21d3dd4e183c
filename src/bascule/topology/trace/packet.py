"""A packet as its fields, by nft's names, and the connection that it belongs to."""

from __future__ import annotations

import ipaddress
from typing import Any

from msgspec import Struct

from bascule.topology.trace.rules.tests import MISSING, Fields, Value

ARP, IPV4, IPV6, TAGGED = 0x0806, 0x0800, 0x86DD, 0x8100
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
BROADCAST_MAC = (1 << 48) - 1
SYN, SYN_ACK, PSH_ACK = 0x02, 0x12, 0x18
FOR_THE_HOST, BROADCAST, MULTICAST, OTHER_HOST = 0, 1, 2, 3  # PACKET_* of linux/if_packet.h
ANY_PORT = (32768, 60999)  # net.ipv4.ip_local_port_range: what a client's own port lies between
INVALID, ESTABLISHED, RELATED, NEW, UNTRACKED = 1, 2, 4, 8, 64


class Traffic(Struct, frozen=True, kw_only=True):
    """What is asked for: a protocol, the port of a service, and the sender's port where somebody set it.

    ``size`` is the length of the IP packet in bytes, ``vlan`` the tag that the sender itself sets (None: no tag).
    ``whole`` says that it may not be cut (DF); ``refused`` that the receiver answers with an error of ICMP.
    """

    protocol: str = "icmp"  # tcp, udp, icmp or arp
    port: int = 0
    sender_port: int | tuple[int, int] = ANY_PORT
    size: int = 84
    vlan: int | None = None
    whole: bool = False
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port}" if self.port else self.protocol


class AddressPort(Struct, frozen=True):
    """An address with a port, or with None where there is none."""

    address: int
    port: Any = None


class Connection(Struct):
    """What connection tracking knows of the exchange: as it was sent, and what NAT made of either end."""

    source: AddressPort | None = None
    target: AddressPort | None = None
    new_source: AddressPort | None = None
    new_target: AddressPort | None = None
    mark: Value = 0
    zone: Value = 0
    tracked: bool = False
    is_reply: bool = False
    established: bool = False  # whether both directions have been seen

    def answers(self, source: AddressPort, target: AddressPort) -> bool:
        """Whether a packet is of the other direction."""
        ours, theirs = self.new_source or self.source, self.new_target or self.target
        return self.tracked and source == theirs and target == ours

    def concerns(self, source: int, target: int) -> bool:
        """Whether an error of ICMP from one address to another is about it (nf_conntrack_inet_error())."""
        ours, theirs = self.new_source or self.source, self.new_target or self.target
        return self.tracked and None not in {ours, theirs} and (source, target) == (theirs.address, ours.address)  # type: ignore[union-attr]  # neither is None


def number_of(traffic: Traffic, version: int) -> int:
    """The protocol's number in the IP header."""
    return {"tcp": TCP, "udp": UDP}.get(traffic.protocol, ICMP if version == 4 else ICMP6)


def request(traffic: Traffic, version: int, source: int, target: int) -> dict[str, Any]:
    """The fields of the first packet, before it is in a frame."""
    fields = _plain(version, source, target, number_of(traffic, version), traffic.size)
    if traffic.vlan is not None:
        tag(fields, traffic.vlan)
    if traffic.protocol in {"tcp", "udp"}:
        _ports(fields, traffic.protocol, traffic.sender_port, traffic.port)
        if traffic.protocol == "tcp":
            fields["tcp flags"] = SYN
    else:
        name = "icmp" if version == 4 else "icmpv6"
        fields |= {f"{name} type": 8 if version == 4 else 128, f"{name} code": 0}
    return fields


def tag(fields: dict[str, Any], vid: int | None) -> None:
    """Give a frame a VLAN tag, or take it away; nft shows a tagged frame's type as that of its tag (nft_payload.c)."""
    if vid is None:
        fields.pop("vlan id", None)
        fields.pop("vlan type", None)
        fields["ether type"] = fields["meta protocol"]
    else:
        fields |= {"vlan id": vid, "vlan type": fields["meta protocol"], "ether type": TAGGED}


def reply(first: Fields) -> dict[str, Any]:
    """The answer to a packet as its receiver got it."""
    version = 6 if "ip6 saddr" in first else 4
    ip = "ip6" if version == 6 else "ip"
    fields = _plain(version, first[f"{ip} daddr"], first[f"{ip} saddr"], first["meta l4proto"], first["meta length"])
    if "th dport" in first:
        protocol = "tcp" if "tcp dport" in first else "udp"
        _ports(fields, protocol, first["th dport"], first["th sport"])
        if protocol == "tcp":
            fields["tcp flags"] = SYN_ACK
    elif version == 4:
        fields |= {"icmp type": 0, "icmp code": 0}
    else:
        fields |= {"icmpv6 type": 129, "icmpv6 code": 0}
    return fields


def refusal(first: Fields) -> dict[str, Any]:
    """What a receiver says of a port at which nobody listens."""
    fields = reply(first)
    ports = [name for name in fields if name.startswith(("th ", "tcp ", "udp "))]
    four = "ip saddr" in fields
    protocol = ICMP if four else ICMP6
    about = {"icmp type": 3, "icmp code": 3} if four else {"icmpv6 type": 1, "icmpv6 code": 4}
    kept = {name: value for name, value in fields.items() if name not in ports}
    return (
        kept
        | about
        | {"meta l4proto": protocol, f"ip{'' if four else '6'} {'protocol' if four else 'nexthdr'}": protocol}
    )


def too_big(lost: Fields, source: int) -> dict[str, Any]:
    """What a router says of a packet that does not fit the next link (RFC 1191, RFC 8201), from an address of its own.

    It belongs to the packet's connection, if the packet had one (nf_ct_attach()).
    """
    error = refusal(lost)
    four = "ip saddr" in error
    about = {"icmp code": 4, "ip saddr": source} if four else {"icmpv6 type": 2, "icmpv6 code": 0, "ip6 saddr": source}
    return error | about | {"meta length": 576 if four else 1280, "ct attached": lost.get("ct entry") or 0}


def _plain(version: int, source: Any, target: Any, protocol: Any, size: Any) -> dict[str, Any]:
    ip = "ip" if version == 4 else "ip6"
    kind = IPV4 if version == 4 else IPV6
    fields = {
        f"{ip} saddr": source,
        f"{ip} daddr": target,
        f"{ip} version": version,
        "meta l4proto": protocol,
        "meta protocol": kind,
        "ether type": kind,
        "meta length": size,
        "meta mark": 0,
        "ct mark": MISSING,  # there is no connection yet
        "ct zone": 0,
        "ct state": INVALID,
        "ct status": 0,
        "meta physin": "",
        "meta physout": "",
        "meta physbridged": 0,
        "meta nftrace": 0,
    }
    if version == 4:
        fields |= {"ip protocol": protocol, "ip length": size, "ip ttl": None, "ip frag-off": None, "ip dscp": None}
        fields |= {"ip id": None, "ip hdrlength": 5}
    else:
        fields |= {"ip6 nexthdr": protocol, "ip6 length": None, "ip6 hoplimit": None, "ip6 dscp": None}
    return fields


def _ports(fields: dict[str, Any], protocol: str, source: Any, target: Any) -> None:
    fields |= {"th sport": source, "th dport": target, f"{protocol} sport": source, f"{protocol} dport": target}
    if protocol == "udp" and isinstance(fields["meta length"], int):
        fields["udp length"] = fields["meta length"] - (20 if "ip saddr" in fields else 40)


def arp(operation: int, sender_mac: int, sender: int, target_mac: int, target: int) -> dict[str, Any]:
    """The fields of an ARP frame."""
    return {
        "ether type": ARP,
        "meta protocol": ARP,
        "meta l4proto": MISSING,
        "arp operation": operation,
        "arp htype": 1,
        "arp ptype": IPV4,
        "arp hlen": 6,
        "arp plen": 4,
        "arp saddr ether": sender_mac,
        "arp saddr ip": sender,
        "arp daddr ether": target_mac,
        "arp daddr ip": target,
        "ether saddr": sender_mac,
        "ether daddr": BROADCAST_MAC if operation == 1 else target_mac,
        "meta mark": 0,
        "meta length": 28,
        "meta nftrace": 0,
    }


def neighbour_question(*, asks: bool, source: int, target: int) -> dict[str, Any]:
    """The fields of a neighbour solicitation or advertisement of IPv6, with one option, the MAC (RFC 4861, 7.2)."""
    fields = _plain(6, source, target, ICMP6, 72)
    return fields | {"icmpv6 type": 135 if asks else 136, "icmpv6 code": 0, "ip6 length": 32}


def neighbour_frame(
    version: int, operation: int, sender_mac: int, sender: int, target_mac: int, target: int
) -> dict[str, Any]:
    """The fields of the question (1) for the MAC of an address, or of the answer (2), by ARP or neighbour discovery."""
    if version == 4:
        return arp(operation, sender_mac, sender, target_mac if operation == 2 else 0, target)
    group = 0xFF0200000000000000000001FF000000 | target & 0xFFFFFF
    to = group if operation == 1 else target
    fields = neighbour_question(asks=operation == 1, source=sender, target=to)
    mac = 0x333300000000 | to & 0xFFFFFFFF if operation == 1 else target_mac
    about = {"icmpv6 taddr": target if operation == 1 else sender, "ip6 hoplimit": 255}  # RFC 4861: no router passes it
    about |= {"nd option": operation << 8 | 1, "nd option mac": sender_mac}  # the kind, and eight bytes long
    return fields | about | {"ether saddr": sender_mac, "ether daddr": mac}


def version_of(fields: Fields) -> int:
    """4 or 6; 0 of a frame that is no IP."""
    return 4 if "ip saddr" in fields else 6 if "ip6 saddr" in fields else 0


def key(version: int, field: str) -> str:
    """``saddr`` or ``daddr`` of a version."""
    return f"ip {field}" if version == 4 else f"ip6 {field}"


def with_port(fields: Fields, which: str, port: Any) -> dict[str, Any]:
    """The packet with another ``sport`` or ``dport``, under all of its names."""
    names = [name for name in (f"th {which}", f"tcp {which}", f"udp {which}") if name in fields]
    return {**fields, **dict.fromkeys(names, port)}


def text_of(version: int, number: object) -> str:
    """An address as people write it."""
    if not isinstance(number, int):
        return "?"
    return str(ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number))
