"""The words of the site file: each scalar is parsed here, once, from its text.

A ``Scalar`` names the error code, the parser and the JSON schema of one kind of scalar; pydantic only carries it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Struct
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from bascule.model.host_links import DEFAULT_TABLE, MAIN_TABLE
from bascule.model.values import (
    NO_VLAN,
    IfName,
    IpAddress,
    IpInterface,
    IpNetwork,
    Mac,
    Service,
    Vid,
    parse_fwmark,
    parse_mac,
)
from bascule.site import parsers as p
from bascule.site.findings import nearest, shown

BOUNDS = "see its bounds in 'bascule schema'"
U32 = 2**32 - 1
TEXT_MAX = 255  # characters; no word of a site file is longer


def fault(code: str, message: str, hint: str | None = None) -> PydanticCustomError:
    """A problem on its way through pydantic: the type is our code, the context our words."""
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


class Scalar(Struct, frozen=True):
    """One kind of scalar: ``noun`` completes "… is not", ``hint`` is for what the parser gives none for."""

    code: str
    noun: str
    parse: Callable[[str], Any]
    schema: dict[str, Any]
    hint: str | None = None

    def __hash__(self) -> int:
        return hash((self.code, self.noun))

    def read(self, value: object) -> Any:
        """From the tree's text to the value."""
        if not isinstance(value, str):
            what = "nothing" if value is None else "a mapping" if isinstance(value, dict) else "a list"
            raise fault("TYPE", f"{what} is given where {self.noun} was expected")
        if len(value) > TEXT_MAX:
            raise fault("TYPE", f"{shown(value)} is {len(value)} characters long, not {self.noun}")
        try:
            return self.parse(value)
        except ValueError as wrong:
            code, hint = (wrong.code, wrong.hint) if isinstance(wrong, p.Invalid) else (None, None)
            raise fault(code or self.code, str(wrong), hint or self.hint) from None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)


def choice(*words: str, noun: str) -> Scalar:
    """One of a few words."""

    def parse(text: str) -> str:
        if text in words:
            return text
        close = nearest(text, words)
        raise p.Invalid(
            f"{shown(text)} is not {noun}", f"did you mean '{close}'?" if close else f"one of {', '.join(words)}"
        )

    return Scalar("CHOICE", noun, parse, {"enum": list(words)})


def read_ticks(text: str) -> int:
    """A time of a bridge in seconds, up to a day, as hundredths."""
    found = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,2})?) ?s?", text)
    if found is None:
        raise p.Invalid(f"{shown(text)} is not a time in seconds", "write it as 15s or 0.5s")
    if (ticks := round(float(found[1]) * 100)) > 8_640_000:
        raise p.Invalid(f"{shown(text)} is more than a day", "a bridge's times are seconds or minutes")
    return ticks


TABLES = {"default": DEFAULT_TABLE, "main": MAIN_TABLE}


def read_table(text: str) -> int:
    """A routing table by its number, or one of the kernel's own two; the kernel keeps the local one itself."""
    table = TABLES[text] if text in TABLES else p.read_number(text, "the number of a routing table")
    if not 1 <= table <= 0xFFFFFFFF or table == 255:
        raise p.Invalid(f"{table} is not in 1–4294967295, or is the kernel's own table")
    return table


def read_member(text: str) -> IfName:
    """A NIC's name, or 'unknown'."""
    return IfName(text) if text == p.UNKNOWN else p.read_ifname(text)


def _integer(minimum: int, maximum: int, *examples: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "examples": [*examples]}


def number(
    code: str, noun: str, low: int, high: int, *examples: int, called: str = "", hint: str | None = None
) -> Scalar:
    """A whole number within bounds; ``called`` stands before one that is out of them."""

    def parse(text: str) -> int:
        found = p.read_number(text, noun)
        if not low <= found <= high:
            raise p.Invalid(f"{called}{found} is not in {low}–{high}")
        return found

    return Scalar(code, noun, parse, _integer(low, high, *examples), hint)


def _schema(pattern: str, *examples: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern}
    return schema | {"examples": list(examples)} if examples else schema


_DOTS = r"([0-9]{1,3}\.){3}[0-9]{1,3}"
_COLONS = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
_INTERFACE = rf"({_DOTS}/[0-9]{{1,2}}|{_COLONS}/[0-9]{{1,3}})"
_MACS = r"^([0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(\.[0-9A-Fa-f]{4}){2})$"
_MARK = "(0x[0-9a-fA-F]{1,8}|0|[1-9][0-9]{0,9})"
_PORTS = r"(tcp|udp)/[0-9]{1,5}(-[0-9]{1,5})?"

Label = Annotated[str, Scalar("NAME", "a name", p.read_label, _schema(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"))]
LinkName = Annotated[
    IfName,
    Scalar(
        "NAME", "a link's name", p.read_ifname, _schema(r"^[A-Za-z0-9_~+=@][A-Za-z0-9_.~+=@-]{0,14}$", "eth4", "enp3s0")
    ),
]
Uplink = Annotated[
    IfName,
    Scalar(
        "NAME",
        "a NIC, a bond, a VLAN link, 'none' or 'unknown'",
        p.read_uplink,
        _schema(r"^[A-Za-z0-9_~+=@][A-Za-z0-9_.~+=@-]{0,14}$", "eth4", "bond0", "none"),
    ),
]
Member = Annotated[
    IfName,
    Scalar(
        "NAME",
        "a NIC's name or 'unknown'",
        read_member,
        _schema(r"^[A-Za-z0-9_~+=@][A-Za-z0-9_.~+=@-]{0,14}$", "eno1", "eno2"),
    ),
]
MacWord = Annotated[Mac, Scalar("MAC", "a MAC address", parse_mac, _schema(_MACS, "52:54:00:28:23:af"))]
MacOrNumber = Annotated[
    Mac | int,
    Scalar(
        "MAC", "a MAC address, or a number of them", p.read_mac_or_number,
        {"anyOf": [_schema(_MACS, "52:54:00:28:23:af"), _integer(1, 1024, 4)]},
    ),
]  # fmt: skip
GuestMac = Annotated[
    Mac,
    Scalar(
        "MAC", "a guest's MAC address", p.read_guest_mac, _schema(_MACS, "52:54:00:28:23:af"),
        "leave 'mac' out to get a stable one",
    ),
]  # fmt: skip
Address = Annotated[
    IpAddress,
    Scalar("ADDRESS", "an address", p.read_address, _schema(rf"^({_DOTS}|{_COLONS})$", "192.168.1.1", "2001:db8::1")),
]
NicAddress = Annotated[
    IpInterface | p.HostWord,
    Scalar(
        "ADDRESS",
        "an address with its prefix length, or 'dhcp'",
        p.read_nic_address,
        _schema(rf"^({_INTERFACE}|dhcp)$", "192.168.1.33/24", "2001:db8::33/64", "dhcp"),
    ),
]
BridgeAddress = Annotated[
    IpInterface | p.HostWord,
    Scalar(
        "ADDRESS",
        "an address with its prefix length, 'dhcp' or 'from-uplink'",
        p.read_bridge_address,
        _schema(rf"^({_INTERFACE}|dhcp|from-uplink)$", "10.0.0.5/24", "dhcp", "from-uplink"),
    ),
]
Subnet = Annotated[
    IpNetwork,
    Scalar("SUBNET", "a subnet", p.read_subnet, _schema(rf"^{_INTERFACE}$", "192.168.1.0/24", "2001:db8::/64")),
]
VlanId = Annotated[
    Vid,
    Scalar("VLAN-RANGE", "a VLAN number", p.read_vid, _integer(1, 4094, 30)),
]
Pvid = Annotated[
    Vid,
    Scalar(
        "VLAN-RANGE",
        "a VLAN number, or 'none'",
        lambda text: NO_VLAN if text == "none" else p.read_vid(text),
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4094}, {"const": "none"}], "examples": [30, "none"]},
    ),
]
VlanRange = Annotated[
    tuple[Vid, Vid],
    Scalar(
        "VLAN-RANGE",
        "a VLAN number or range",
        p.read_vid_range,
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 4094},
                {"type": "string", "pattern": "^[0-9]{1,4}-[0-9]{1,4}$"},
            ],
            "examples": [10, "20-29"],
        },
    ),
]
Mtu = Annotated[  # from RFC 791's smallest datagram to the largest that the kernel takes
    int,
    number(
        "MTU", "an MTU", 68, 65535, 1500, 9000, called="MTU ", hint="Ethernet's own is 1500, jumbo frames have 9000"
    ),
]
Count = Annotated[  # of processors, up to QEMU's most on x86
    int, number("COUNT", "a number of processors", 1, 4096, 2, hint="a guest has at least one processor")
]
Metric = Annotated[  # 0 is what no metric means
    int,
    number("TYPE", "a metric", 1, U32, 100, called="metric ", hint="leave the key out where the kernel may choose"),
]
Weight = Annotated[  # 8 bits (rtnh_hops in the kernel)
    int, number("TYPE", "a weight", 1, 256, 1, 2, called="weight ", hint="write it beside those of the other routers")
]
Table = Annotated[
    int,
    Scalar(
        "TYPE",
        "a routing table",
        read_table,
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 2**32 - 1}, {"enum": [*TABLES]}], "examples": [52]},
        "take a number from 1 to 252",
    ),
]
Priority = Annotated[  # the kernel's own rules have 0, 32766 and 32767
    int,
    number(
        "TYPE", "the priority of a rule", 1, U32, 1000,
        called="priority ", hint="the lowest is looked up first; the main table has 32766",
    ),
]  # fmt: skip
Fwmark = Annotated[
    str,
    Scalar(
        "TYPE",
        "a firewall mark",
        parse_fwmark,
        {"type": ["string", "integer"], "pattern": rf"^{_MARK}(/{_MARK})?$"},
        "write a number like 0x10, or 0x10/0xff",
    ),
]
Size = Annotated[
    int, Scalar("SIZE", "a size of memory", p.read_size, _schema(r"^[0-9]+(\.[0-9]+)? ?[KMGT]iB$", "8GiB", "512MiB"))
]
ServiceWord = Annotated[
    Service, Scalar("SERVICE", "a service", p.read_service, _schema(rf"^({_PORTS}|icmp|arp)$", "icmp", "arp", "tcp/80"))
]
Served = Annotated[
    Service,
    Scalar("SERVICE", "a served port", p.read_served, _schema(rf"^{_PORTS}$", "tcp/80", "tcp/8000-8100", "udp/53")),
]
Port = Annotated[int, number("PORT", "a port number", 1, 65535, 2222, called="port ")]
SpanWord = Annotated[
    p.Span,
    Scalar(
        "RANGE", "a range of addresses", p.read_span, _schema(rf"^{_DOTS} ?- ?{_DOTS}$", "192.168.1.100-192.168.1.199")
    ),
]
Boolean = Annotated[
    bool,
    Scalar(
        "TYPE", "true or false", p.read_boolean, {"enum": [True, False, "on", "off", "yes", "no"], "default": False}
    ),
]
Use = Annotated[  # the IP versions whose offers are used
    tuple[int, ...],
    Scalar(
        "TYPE", "true, false, ipv4 or ipv6", p.read_use,
        {"enum": [True, False, "on", "off", "yes", "no", "ipv4", "ipv6"], "default": True},
    ),
]  # fmt: skip
Isolation = Annotated[
    bool | str,
    Scalar(
        "TYPE", "true, false or the name of a group", p.read_isolation,
        {"type": ["boolean", "string"], "examples": [True, "customer-a"]},
    ),
]  # fmt: skip
Text = Annotated[str, Scalar("TYPE", "a text", p.read_text, {"type": ["string", "integer"]})]
AlsoAddress = Annotated[
    IpNetwork,
    Scalar(
        "ADDRESS",
        "an address or a subnet",
        p.read_address_or_subnet,
        _schema(rf"^({_DOTS}|{_COLONS})(/[0-9]{{1,3}})?$", "10.0.0.100", "10.8.0.0/24", "2001:db8:1::/48"),
    ),
]
GroupNumber = Annotated[  # VRID of VRRP and CARP, group of HSRP
    int, number("COUNT", "the number of a group", 0, 255, 7, called="group ")
]
FrameRate = Annotated[int, Scalar("RATE", "a rate of frames", p.read_frame_rate, _schema(r"^[0-9]+/s$", "100/s"))]
TreeTime = Annotated[  # in hundredths of a second, as the kernel counts them
    int,
    Scalar("COUNT", "a time in seconds", read_ticks, _schema(r"^[0-9]+(\.[0-9]{1,2})? ?s?$", "15s", "0.5s")),
]
PeerNotices = Annotated[
    int, number("COUNT", "a number of frames", 0, 255, 1, called="the number of frames ", hint=BOUNDS)
]
PacketCount = Annotated[
    int, number("COUNT", "a number of packets", 0, 65535, 1, called="the number of packets ", hint=BOUNDS)
]
Seconds = Annotated[int, number("COUNT", "a number of seconds", 1, 2**31 - 1, 1, called="the time ", hint=BOUNDS)]
MemberCount = Annotated[  # 0 and 1 mean the same to the kernel
    int, number("COUNT", "a number of members", 0, 1000, 1, called="the number of members ", hint=BOUNDS)
]
BridgePriority = Annotated[  # 16 bits (IEEE 802.1D)
    int, number("COUNT", "the priority of a bridge", 0, 65535, 4096, called="the priority of a bridge ", hint=BOUNDS)
]
PathCost = Annotated[  # 16 bits, none of them zero (BR_MAX_PATH_COST in the kernel)
    int, number("COUNT", "the cost of a port", 1, 65535, 100, called="the cost of a port ", hint=BOUNDS)
]
PortPriority = Annotated[  # 6 bits (BR_MAX_PORT_PRIORITY in the kernel)
    int, number("COUNT", "the priority of a port", 0, 63, 16, called="the priority of a port ", hint=BOUNDS)
]
BitRate = Annotated[
    int,
    Scalar("RATE", "a rate of bits", p.read_bit_rate, _schema(r"^[0-9.]+ ?[kKmMgG]bit(/s|ps)?$", "100Mbit", "2.5Gbit")),
]
Milliseconds = Annotated[
    int,
    number(
        "COUNT", "a time in milliseconds", 0, 60_000, 100,
        called="time ", hint="a bond's times are some hundred milliseconds",
    ),
]  # fmt: skip
