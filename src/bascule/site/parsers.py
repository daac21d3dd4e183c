"""From a scalar's text to a value: one small parser per kind of word, each with the sentence for what is wrong."""

from __future__ import annotations

import contextlib
import re
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from typing import Literal

from bascule.model.values import (
    IFNAME_MAX,
    SERVICE_NAMES,
    IfName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Mac,
    Service,
    Vid,
    parse_ifname,
    parse_label,
    parse_mac,
    parse_vid,
)
from bascule.site.findings import nearest, shown

_USUAL = re.compile(r"[A-Za-z0-9_~+=@][A-Za-z0-9_.~+=@-]{0,14}")  # the name of a link as nearly all are
_RESERVED = {
    "none": "means no link in a site file",
    "unknown": "means a link in a site file that nobody has named yet",
    "lo": "is the kernel's loopback",
    "all": "means all links under /proc/sys/net",
    "default": "means future links under /proc/sys/net",
}


class Invalid(ValueError):
    """A parser's complaint that brings its own hint or code."""

    def __init__(self, message: str, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def read_number(text: str, noun: str) -> int:
    """A whole number of up to ten digits, as many as 32 bits have."""
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise Invalid(f"{shown(text)} is not {noun}")
    return int(text)


def read_label(text: str) -> str:
    """A name of a site, network, host, guest or machine."""
    if len(text) > 63:
        raise Invalid(f"{shown(text)} is {len(text)} characters long; a name has at most 63")
    return parse_label(text)


def read_ifname(text: str) -> IfName:
    """A link's name; 'none' is kept for a bridge without NIC."""
    if _USUAL.fullmatch(text) and text not in _RESERVED:
        return IfName(text)
    if len(text.encode()) > IFNAME_MAX:
        raise Invalid(
            f"{shown(text)} has {len(text.encode())} bytes; the kernel takes at most {IFNAME_MAX} for a link's name",
            "shorten it",
            "NAME-LONG",
        )
    if text in _RESERVED:
        raise Invalid(f"{shown(text)} cannot name a link: it {_RESERVED[text]}", "take another name")
    name = parse_ifname(text)
    bad = re.search(r"[^A-Za-z0-9_.~+=@-]|^[-.]", name)
    if bad:
        raise Invalid(
            f"{shown(text)} holds '{bad.group()}' where a link's name in a site file has none",
            "ip, nft and the configuration systems read it as more than a letter; rename the link",
        )
    return name


def read_guest_mac(text: str) -> Mac:
    """The MAC of one NIC, but not one of those that taps have."""
    mac = parse_mac(text)
    if mac.startswith("fe"):
        raise Invalid(
            f"{shown(text)} begins with fe, which is kept for the host's end of taps; libvirt refuses it for a guest",
            f"write 52:54:00:{mac[9:]}, or leave 'mac' out to get a stable one",
        )
    return mac


def _usable(address: IpAddress, text: str) -> None:
    """Refuses what no NIC can have."""
    for kind, is_kind in (
        ("a multicast address", address.is_multicast),
        ("the unspecified address", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("the broadcast address", address == IPv4Address("255.255.255.255")),
    ):
        if is_kind:
            raise Invalid(f"{shown(text)} is {kind}, not an address of one NIC")


def read_address(text: str) -> IpAddress:
    """An address without prefix length."""
    try:
        address = ip_address(text.replace("%", "/"))  # a zone ("%eth0") is no part of an address here
    except ValueError:
        if "/" in text:
            raise Invalid(
                f"{shown(text)} has a prefix length, but a plain address was expected",
                f"write {text.split('/', maxsplit=1)[0]}",
            ) from None
        raise Invalid(f"{shown(text)} is not an IPv4 or IPv6 address") from None
    _usable(address, text)
    return address


def read_interface(text: str) -> IpInterface:
    """An address with its prefix length in digits; netmasks are refused with the right length as hint."""
    plain, slash, prefix = text.partition("/")
    if "%" in text:
        raise Invalid(f"{shown(text)} names a link with '%', which belongs to no address in a file", "leave it out")
    try:
        address = ip_address(plain)
    except ValueError:
        raise Invalid(f"{shown(text)} is not an address like 192.168.1.33/24 or 2001:db8::33/64") from None
    if not slash:
        example = 24 if address.version == 4 else 64
        raise Invalid(f"{shown(text)} has no prefix length", f"write it with its subnet's, like {plain}/{example}")
    if not re.fullmatch(r"[0-9]{1,3}", prefix) or int(prefix) > address.max_prefixlen:
        hint = None
        with contextlib.suppress(ValueError):  # a netmask, perhaps
            hint = f"write {plain}/{ip_network(f'0.0.0.0/{prefix}').prefixlen}" if address.version == 4 else None
        raise Invalid(f"{shown(text)} has no prefix length between 0 and {address.max_prefixlen} behind the '/'", hint)
    _usable(address, text)
    return ip_interface(text)


HostWord = Literal["dhcp", "from-uplink"]


def read_nic_address(text: str) -> IpInterface | HostWord:
    """An address with its prefix length, or 'dhcp'."""
    if text == "from-uplink":
        raise Invalid("'from-uplink' is for a bridge's own address only", "give the address, or 'dhcp'")
    return _interface_or(text, ("dhcp",))


def read_bridge_address(text: str) -> IpInterface | HostWord:
    """An address with its prefix length, 'dhcp' or 'from-uplink'."""
    return _interface_or(text, ("dhcp", "from-uplink"))


def _interface_or(text: str, words: tuple[HostWord, ...]) -> IpInterface | HostWord:
    if (word := next((word for word in words if word == text), None)) is not None:
        return word
    try:
        return read_interface(text)
    except Invalid as wrong:
        close = None if "/" in text or "." in text or ":" in text else nearest(text, words)
        if close:
            raise Invalid(str(wrong), f"did you mean '{close}'?") from None
        raise


def read_subnet(text: str) -> IpNetwork:
    """A subnet; an address inside one is refused with the subnet as hint."""
    if not re.fullmatch(r"[0-9A-Fa-f.:]+/[0-9]{1,3}", text):
        if re.fullmatch(r"[0-9A-Fa-f.:]*[.:][0-9A-Fa-f.:]*", text):
            raise Invalid(f"{shown(text)} has no prefix length", f"write it like {text}/{64 if ':' in text else 24}")
        raise Invalid(f"{shown(text)} is not a subnet like 192.168.1.0/24 or 2001:db8::/64")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Invalid(f"{shown(text)} is not a subnet like 192.168.1.0/24 or 2001:db8::/64") from None
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise Invalid(f"{shown(text)} is an address inside a subnet, not a subnet", f"did you mean {network}?")
    if network.is_multicast or network.is_loopback:
        kind = "multicast" if network.is_multicast else "loopback"
        raise Invalid(f"{shown(text)} is a {kind} range, not a subnet of hosts")
    return network


def read_vid(text: str) -> Vid:
    """A VLAN number from 1 to 4094."""
    return parse_vid(read_number(text, "a VLAN number"))


def read_vid_range(text: str) -> tuple[Vid, Vid]:
    """A VLAN number, or FIRST-LAST."""
    first, dash, last = text.partition("-")
    if "," in text or (dash and not (first.strip() and last.strip())):
        raise Invalid(f"{shown(text)} is neither a VLAN number nor a range", "write a list, like [10, 20-29]")
    low = read_vid(first.strip())
    high = read_vid(last.strip()) if dash else low
    if low > high:
        raise Invalid(f"{shown(text)} runs backwards", f"write {high}-{low}")
    return low, high


_UNITS = {"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}


def read_size(text: str) -> int:
    """A size of memory in bytes; the unit is binary and written out."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([A-Za-z]*)", text)
    if match and match[2] in _UNITS:
        size = int(float(match[1]) * (1 << _UNITS[match[2]]))
        if size:
            return size
        raise Invalid(f"{shown(text)} is zero", "write a size like 8GiB")
    hint = "write a number with KiB, MiB, GiB or TiB (powers of 1,024), like 8GiB"
    if match and match[2]:
        unit = next((unit for unit in _UNITS if unit[0] == match[2][0].upper()), None)
        hint = f"write {match[1]}{unit} (units are powers of 1,024)" if unit else hint
        raise Invalid(f"{shown(text)} has a unit that means 1,000 to some and 1,024 to others", hint)
    raise Invalid(f"{shown(text)} has no unit" if match else f"{shown(text)} is not a size of memory", hint)


_UNASKED = {"sctp", "dccp", "udplite", "gre", "esp", "ah", "vrrp", "ospf", "igmp", "ipip", "sit", "l2tp"}
_SERVICE_HINT = "write tcp/80, tcp/8000-8100, udp/53, icmp or arp"


def read_address_or_subnet(text: str) -> IpNetwork:
    """A single address is a subnet of one."""
    return read_subnet(text) if "/" in text else ip_network(read_address(text))


def read_frame_rate(text: str) -> int:
    """Frames in a second."""
    match = re.fullmatch(r"([0-9]{1,7})/(?:s|second)", text)
    if not match or not int(match[1]):
        raise Invalid(f"{shown(text)} is not a rate of frames", "write frames in a second, like 100/s")
    return int(match[1])


def read_bit_rate(text: str) -> int:
    """Bits in a second, as tc writes them."""
    match = re.fullmatch(r"([0-9]{1,9})(?:\.([0-9]))?\s*(k|m|g)bit(?:/s|ps)?", text.lower())
    rate = 0
    if match:
        tenths = int(match[1]) * 10 + int(match[2] or 0)
        rate = tenths * {"k": 10**2, "m": 10**5, "g": 10**8}[match[3]]
    if not LEAST_RATE <= rate <= MOST_RATE:
        hint = "write bits in a second, like 500kbit, 100Mbit or 2.5Gbit"
        raise Invalid(f"{shown(text)} is not a rate of bits", hint)
    return rate


LEAST_RATE, MOST_RATE = 8_000, 400_000_000_000  # bits in a second: below, a frame waits longer than anybody would


def read_service(text: str) -> Service:
    """A protocol and its ports, icmp or arp."""
    if text in {"icmp", "arp"}:
        return Service(text)  # type: ignore[arg-type]  # one of the two, by the line above
    match = re.fullmatch(r"(tcp|udp)/([0-9]{1,6})(?:-([0-9]{1,6}))?", text)
    if not match:
        lower = text.lower().replace(":", "/").replace(" ", "")
        hint = f"did you mean '{lower}'?" if lower != text and _is_service(lower) else _service_hint(text)
        turned = re.fullmatch(r"([0-9-]+)/?(tcp|udp)?", text.lower())
        if turned:
            hint = f"write {turned[2] or 'tcp'}/{turned[1]}"
        raise Invalid(f"{shown(text)} is not a service", hint)
    first, last = int(match[2]), int(match[3] or match[2])
    for port in (first, last):
        if not 1 <= port <= 65535:
            raise Invalid(f"port {port} in {shown(text)} is not in 1–65535")
    if first > last:
        raise Invalid(f"the ports in {shown(text)} run backwards", f"write {match[1]}/{last}-{first}")
    return Service("tcp" if match[1] == "tcp" else "udp", first, last)


def _service_hint(text: str) -> str:
    """What to write in place of something that is no service."""
    lower = text.lower()
    protocol, _, rest = lower.partition("/")
    if lower in SERVICE_NAMES:
        return f"write {SERVICE_NAMES[lower]}"
    if protocol in {"tcp", "udp"} and rest in SERVICE_NAMES:
        port = SERVICE_NAMES[rest].partition("/")[2]
        if port:
            return f"write {protocol}/{port}"
    if protocol in {"tcp", "udp"} and not rest:
        return f"name its port, like {protocol}/80, or all of them: {protocol}/1-65535"
    if protocol in _UNASKED:
        return f"{protocol} cannot be asked for: tcp/PORT, udp/PORT, icmp and arp can"
    return _SERVICE_HINT


def read_asked_service(text: str) -> Service:
    """A service as somebody types it at a command: by its name as well (``ssh``)."""
    return read_service(SERVICE_NAMES.get(text.lower(), text))


def _is_service(text: str) -> bool:
    try:
        read_service(text)
    except ValueError:
        return False
    return True


def read_served(text: str) -> Service:
    """A service that has ports."""
    service = read_service(text)
    if not service.first:
        raise Invalid(f"{shown(text)} is answered by whoever has an address and is not a port", "leave it out")
    return service


Span = tuple[IPv4Address, IPv4Address]


def read_span(text: str) -> Span:
    """A range of IPv4 addresses, both ends included."""
    first, _, last = (part.strip() for part in text.partition("-"))
    try:
        ends = ip_address(first), ip_address(last)
    except ValueError:
        raise Invalid(
            f"{shown(text)} is not a range of addresses", "write FIRST-LAST, like 192.168.1.100-192.168.1.199"
        ) from None
    low, high = ends
    if not isinstance(low, IPv4Address) or not isinstance(high, IPv4Address):
        raise Invalid(
            f"{shown(text)} is not an IPv4 range; Bascule asks and plays DHCP for IPv4 only",
            "IPv6 guests accept router advertisements or a static address",
        )
    if low > high:
        raise Invalid(f"{shown(text)} runs backwards", f"write {last}-{first}")
    return low, high


_BOOLEANS = {"true": True, "false": False, "on": True, "off": False, "yes": True, "no": False}


def read_boolean(text: str) -> bool:
    """A truth value, in YAML's words of all ages."""
    if text.lower() not in _BOOLEANS:
        raise Invalid(f"{shown(text)} is neither true nor false", "write true or false")
    return _BOOLEANS[text.lower()]


def read_use(text: str) -> tuple[int, ...]:
    """Of which IP versions something is used: a truth value says both or none."""
    if text.lower() in {"ipv4", "ipv6"}:
        return (int(text[-1]),)
    if text.lower() not in _BOOLEANS:
        raise Invalid(f"{shown(text)} is neither true, false, ipv4 nor ipv6", "write false, or the one that is used")
    return (4, 6) if _BOOLEANS[text.lower()] else ()


def read_mac_or_number(text: str) -> Mac | int:
    """A MAC, or how many there are."""
    if not (text.isascii() and text.isdigit()):
        return parse_mac(text)
    if not 1 <= int(text) <= 1024:
        raise Invalid(f"{shown(text)} is not a number of MACs", "write 1 to 1024, or the MACs themselves")
    return int(text)


def read_isolation(text: str) -> bool | str:
    """A truth value, or a group's name."""
    return _BOOLEANS[text.lower()] if text.lower() in _BOOLEANS else read_label(text)


NO_UPLINK = ("none", UNKNOWN := "unknown")  # on purpose, and not said yet


def read_uplink(text: str) -> IfName:
    """A link's name, 'none' or 'unknown'."""
    return IfName(text) if text in NO_UPLINK else read_ifname(text)


def read_text(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise Invalid("the value is empty")
    return text
