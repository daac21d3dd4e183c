"""The field's small words, parsed once and then trusted.

Each ``parse_*`` raises ValueError with a sentence that fits behind the value ("… is not a MAC address").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal, NewType, TypeVar

from msgspec import Struct

Mac = NewType("Mac", str)  # lower case, colons: "52:54:00:28:23:af"
IfName = NewType("IfName", str)
Vid = NewType("Vid", int)  # 802.1Q VLAN identifier, 1 to 4094

Key = TypeVar("Key")
Value = TypeVar("Value")
NO_MAC = Mac("00:00:00:00:00:00")  # of nobody: also what a bridge shows that has none since its last port left

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
IpNetwork = IPv4Network | IPv6Network

ETHERNET_MTU = 1500  # bytes; what the kernel gives to a link, and a guest to its NIC, unless told otherwise
IFNAME_MAX = 15  # bytes; IFNAMSIZ is 16 with its final NUL (linux/if.h)

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def parse_mac(text: str) -> Mac:
    """A MAC address of one NIC, also with ``-`` or as switches print it; group and all-zero addresses are refused."""
    mac = text.strip().lower().replace("-", ":")
    if "." in mac and re.fullmatch(r"([0-9a-f]{4}\.){2}[0-9a-f]{4}", mac):  # 5254.0028.23af
        mac = ":".join(re.findall("..", mac.replace(".", "")))
    if not _MAC.fullmatch(mac):
        raise ValueError(f"'{text}' is not a MAC address like 52:54:00:28:23:af")
    if mac == "ff:ff:ff:ff:ff:ff":
        raise ValueError(f"'{text}' is the broadcast address, not a MAC of one NIC")
    if int(mac[:2], 16) & 1:
        raise ValueError(f"'{text}' is a multicast address (lowest bit of the first byte), not a MAC of one NIC")
    if mac == NO_MAC:
        raise ValueError(f"'{text}' is all zero, not a MAC of one NIC")
    return Mac(mac)


def parse_ifname(text: str) -> IfName:
    """A link's name as the kernel takes it: at most 15 bytes, no '/', no ':' and no white space, not '.' or '..'."""
    size = len(text.encode())
    if size > IFNAME_MAX:
        raise ValueError(f"'{text}' is {size} bytes long; the kernel takes at most {IFNAME_MAX}")
    if not text or text in {".", ".."} or re.search(r"[/:\s\ufffd]", text) or not text.isprintable():
        raise ValueError(f"'{text}' is not a name that the kernel takes for a link")
    return IfName(text)


NO_VLAN = Vid(0)  # of what bears no tag, where it is taken into none (`pvid: none`)


def parse_vid(text: str | int) -> Vid:
    """A VLAN identifier from 1 to 4094 (802.1Q keeps 0 and 4095 for itself)."""
    if not str(text).isascii() or not str(text).isdigit():
        raise ValueError(f"'{text}' is not a VLAN number")
    vid = int(text)
    if not 1 <= vid <= 4094:
        raise ValueError(f"VLAN {vid} is not in 1–4094")
    return Vid(vid)


def parse_label(text: str) -> str:
    """A name of a site, network, host, guest or machine: letters, digits, '.', '_' and '-', at most 63."""
    if not _NAME.fullmatch(text) or len(text) > 63:
        raise ValueError(
            f"'{text}' is not a name of letters a to z, digits, '.', '_' and '-' (first a letter or digit, at most 63)"
        )
    return text


def id_path(text: str) -> str:
    """A PCI address, as lspci(8) prints it with or without its domain, as udev's ID_PATH; other words as they are."""
    if not re.fullmatch(r"([0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", text):
        return text
    return f"pci-{text}" if text.count(":") > 1 else f"pci-0000:{text}"


def unmapped(address: IpAddress) -> IpAddress:
    """An address of IPv4 that came through a socket of IPv6, without its ``::ffff:``."""
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def overlap(one: IpNetwork, other: IpNetwork) -> bool:
    """Whether two networks have addresses in common; those of two IP versions have none."""
    return one.version == other.version and one.overlaps(other)


def is_within(one: IpNetwork, other: IpNetwork) -> bool:
    """Whether all addresses of a network are the other's, too."""
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]  # versions are equal


def is_onlink(gateway: IpAddress, addresses: Iterable[IpInterface]) -> bool:
    """Whether a router must be taken for a neighbour though no prefix of the link holds it.

    That is so where the host has a single address there (/32 or /128), as hosters give it: no other one tells it where
    its neighbours are. A link-local router is a neighbour anyway.
    """
    own = [address for address in addresses if address.version == gateway.version and not address.is_link_local]
    single = any(address.network.prefixlen == address.max_prefixlen for address in own)
    return single and not gateway.is_link_local and not any(gateway in address.network for address in own)


def derive_guest_mac(site: str, host: str, guest: str, index: int) -> Mac:
    """The stable MAC of a guest NIC that has none of its own: two hosts with copies of one file share none."""
    return derive_mac(site, f"host/{host}/guest/{guest}", index)


def derive_mac(site: str, owner: str, index: int) -> Mac:
    """A stable MAC in QEMU's 52:54:00 range. Up to version 0.1.0 a guest NIC's owner was the guest alone."""
    digest = hashlib.sha256(f"{site}\0{owner}\0{index}".encode()).digest()
    return Mac("52:54:00:" + digest[:3].hex(":"))


def derive_tap(guest: str, index: int) -> IfName:
    """The stable tap name of a guest NIC: ``guest.index`` where it fits in 15 bytes, else shortened with a hash."""
    plain = f"{guest}.{index}"
    if len(plain) <= IFNAME_MAX:
        return IfName(plain)
    digest = hashlib.sha256(plain.encode()).hexdigest()[:4]
    suffix = f"~{digest}.{index}"
    return IfName(guest[: IFNAME_MAX - len(suffix)] + suffix)


def patch_name(bridge: str, to: str) -> IfName:
    """The end at a bridge of the cable to another one: ``ovs3-ovs4``, shortened with a hash where that is too long."""
    plain = f"{bridge}-{to}"
    if len(plain) <= IFNAME_MAX:
        return IfName(plain)
    return IfName(plain[: IFNAME_MAX - 5] + "~" + hashlib.sha256(plain.encode()).hexdigest()[:4])


BRIDGE_PREFIX = "vn-"  # of the bridge of a virtual network, before the network's name


def bridge_name(network: str) -> IfName:
    """The bridge of a virtual network: ``vn-`` and its name, shortened with a hash where that is too long."""
    plain = BRIDGE_PREFIX + network
    if len(plain) <= IFNAME_MAX:
        return IfName(plain)
    digest = hashlib.sha256(network.encode()).hexdigest()[:4]
    return IfName(plain[: IFNAME_MAX - 5] + "~" + digest)


def tap_mac(guest_mac: Mac) -> Mac:
    """The MAC of the host's end of a tap: the guest's with first byte fe, so that no bridge takes it for its own."""
    return Mac("fe" + guest_mac[2:])


def interface_id(mac: str) -> bytes:
    """The second half of the addresses that a link makes of its MAC (modified EUI-64; RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))


def link_local(mac: str) -> IPv6Address:
    """The address that a link gives itself from its MAC."""
    return IPv6Address(b"\xfe\x80" + bytes(6) + interface_id(mac))


def classful(address: str) -> str | None:
    """The prefix length of the class of an IPv4 address, which old tools take where none is said."""
    first = address.partition(".")[0]
    if not (first.isascii() and first.isdigit() and len(first) < 4):
        return None
    return "8" if int(first) < 128 else "16" if int(first) < 192 else "24"


class Service(Struct, frozen=True):
    """``tcp/80``, ``udp/5000-5010``, ``icmp`` or ``arp``; ports are 0 where the protocol has none."""

    protocol: Literal["tcp", "udp", "icmp", "arp"]
    first: int = 0
    last: int = 0

    def __str__(self) -> str:
        if not self.first:
            return self.protocol
        return f"{self.protocol}/{self.first}" + (f"-{self.last}" if self.last != self.first else "")

    @property
    def ports(self) -> range:
        """The ports, as a range; empty for icmp and arp."""
        return range(self.first, self.last + 1) if self.first else range(0)

    def overlaps(self, other: Service) -> bool:
        """Whether they have a port in common, or are of one protocol without ports."""
        return self.protocol == other.protocol and self.first <= other.last and other.first <= self.last

    def covers(self, other: Service) -> bool:
        """Whether every port of ``other`` is among ours."""
        return self.protocol == other.protocol and self.first <= other.first and other.last <= self.last


SERVICE_NAMES = {
    "ftp": "tcp/21", "ssh": "tcp/22", "telnet": "tcp/23", "smtp": "tcp/25", "domain": "udp/53", "dns": "udp/53",
    "dhcp": "udp/67", "bootps": "udp/67", "tftp": "udp/69", "http": "tcp/80", "kerberos": "tcp/88", "pop3": "tcp/110",
    "ntp": "udp/123", "imap": "tcp/143", "snmp": "udp/161", "ldap": "tcp/389", "https": "tcp/443", "smb": "tcp/445",
    "submission": "tcp/587", "ipmi": "udp/623", "ldaps": "tcp/636", "imaps": "tcp/993", "syslog": "udp/514",
    "iscsi": "tcp/3260", "mysql": "tcp/3306", "rdp": "tcp/3389", "nfs": "tcp/2049", "postgresql": "tcp/5432",
    "postgres": "tcp/5432", "vnc": "tcp/5900", "redis": "tcp/6379", "wireguard": "udp/51820", "ping": "icmp",
    "icmpv6": "icmp", "icmp6": "icmp", "ipv6-icmp": "icmp",
}  # fmt: skip
"""Services by the names that people ask for (IANA), each as a site file writes it."""


def span_words(first: int, last: int) -> str:
    """A range of VLANs, or a single one: ``10-20``, ``10``."""
    return str(first) if first == last else f"{first}-{last}"


def grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    """The values of each key, in their order."""
    found: dict[Key, list[Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def count(number: int, noun: str) -> str:
    """How many of something: ``1 guest``, ``2 guests``."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def human(size: int) -> str:
    """Bytes as people read them, in binary units."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        number = size / (1 << power)
        if abs(number) >= 1:
            return f"{number:.0f} {unit}" if abs(number) >= 99.5 or number == int(number) else f"{number:.1f} {unit}"
    return f"{size} B"


def duration(seconds: float) -> str:
    """A duration as people read it: 8 ms, 1.24 s, 30 s."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"


def listed(words: Iterable[object], most: int = 6, *, between: str = ", ") -> str:
    """The first of many, and how many more there are: ``a, b and 3 more``."""
    every = [str(word) for word in words]
    return between.join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def series(words: Sequence[str]) -> str:
    """All of them: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


IP_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "47": "gre", "50": "esp", "58": "ipv6-icmp", "132": "sctp"}


def parse_ip_protocol(text: str) -> str:
    """A protocol of IP as iproute2 prints it. Raises ValueError."""
    found = IP_PROTOCOLS.get(text, text.lower())
    if not re.fullmatch(r"[a-z][a-z0-9.-]{1,15}|[0-9]{1,3}", found) or (found.isdigit() and not 0 < int(found) < 256):
        raise ValueError(f"'{text}' is no protocol of IP")
    return found


def parse_span(text: str, highest: int, *, always: bool = False) -> str:
    """A number or a range of them as iproute2 prints it: ``80``, ``1000-1999``; ``always`` as a range.

    Raises ValueError.
    """
    first, _, last = text.partition("-")
    numbers = [int(word) if word.isascii() and word.isdigit() else -1 for word in (first, last or first)]
    if not 0 <= numbers[0] <= numbers[1] <= highest:
        raise ValueError(f"'{text}' is no number up to {highest} and no range of them")
    return str(numbers[0]) if numbers[0] == numbers[1] and not always else f"{numbers[0]}-{numbers[1]}"


_MARK = re.compile(r"(0x[0-9a-f]{1,8}|0|[1-9][0-9]{0,9})(?:/(0x[0-9a-f]{1,8}|0|[1-9][0-9]{0,9}))?", re.IGNORECASE)


def parse_fwmark(text: str) -> str:
    """A firewall mark as the kernel prints it, with a mask where not all bits count: ``0x10``, ``0x10/0xff``.

    Unmarked is ``0/0xffffffff``: ip-rule(8) takes a mark of 0 alone for none that is asked for. Raises ValueError.
    """
    found = _MARK.fullmatch(text)
    mark, mask = (int(part, 0) if part else 0xFFFFFFFF for part in found.groups()) if found else (-1, 0)
    if not 0 <= mark <= 0xFFFFFFFF >= mask:
        raise ValueError(f"'{text}' is not a mark")
    words = [f"{number:#x}" if number else "0" for number in (mark, mask)]
    return words[0] if mark and mask == 0xFFFFFFFF else "/".join(words)


NUMBERS = re.compile(r"(\d+)")


@lru_cache(maxsize=1 << 16)  # the same names stand in many lines
def natural(name: str) -> tuple[str | int, ...]:
    """An order in which eth2 comes before eth10: texts and the numbers between them, in turn."""
    parts: list[str | int] = [*NUMBERS.split(name)]
    parts[1::2] = map(int, parts[1::2])
    return tuple(parts)
