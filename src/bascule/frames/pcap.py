"""Capture files: pcap (either byte order, micro- and nanoseconds) and pcapng. Pure: bytes in, frames out.

Written from the formats' descriptions: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import NamedTuple

from msgspec import Struct, field

ETHERNET, COOKED, COOKED2 = 1, 113, 276  # LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL and _SLL2
LINK_TYPES = {  # draft-ietf-opsawg-pcaplinktype
    0: "BSD loopback",
    6: "token ring",
    9: "PPP",
    12: "raw IP",
    50: "PPP over a serial line",
    51: "PPPoE session",
    101: "raw IP",
    105: "802.11",
    108: "OpenBSD loopback",
    119: "802.11 with a Prism header",
    127: "802.11 with a radiotap header",
    163: "802.11 with an AVS header",
    187: "Bluetooth",
    189: "USB",
    195: "802.15.4",
    201: "Bluetooth",
    220: "USB",
    228: "raw IPv4",
    229: "raw IPv6",
    239: "netfilter log",
    249: "USB",
    253: "netlink",
}
PCAP = {  # magic number: byte order, ticks per second
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
}
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDER = 0x1A2B3C4D
OPTION_NAME, OPTION_RESOLUTION, OPTION_FLAGS = 2, 9, 2  # the first two of an interface, the last of a packet
OUTBOUND = 2
ARPHRD_ETHER = b"\0\1"  # linux/if_arp.h; the loopback and tunnels have others
LONGEST = 1 << 18  # bytes; a longer packet or block header is a damaged file


class Record(NamedTuple):
    """One captured frame; ``time_ns`` counts from 1970, 0 where the format has none."""

    data: bytes
    time_ns: int


class NotACapture(ValueError):
    """The file is no capture that can be judged; the message says why."""


class _Interface(NamedTuple):
    """An interface of a pcapng file; one without a name is known by its number."""

    link_type: int
    ticks: int  # per second
    name: str


class Capture(Struct):
    """The frames of a file, of one interface: of several that of the ``nic``.

    ``notes`` are filled while ``frames`` is read: cut short, other link types.
    """

    data: bytes | mmap
    nic: str = ""
    notes: list[str] = field(default_factory=list)
    _snapped: dict[int, int] = field(default_factory=dict)  # frames by the length at which they were cut
    _chosen: str | None = None
    _left_out: dict[str, int] = field(default_factory=dict)

    def frames(self) -> Iterator[Record]:
        """Every Ethernet frame that came in. Raises NotACapture at the first, before any frame."""
        yield from self._all()
        for size, frames in self._snapped.items():
            self.notes.append(f"{frames} frames are cut at {size} bytes: capture with tcpdump -s 0")
        for name, frames in self._left_out.items():
            self.notes.append(f"{frames} frames of the interface {name} were left out")

    def _all(self) -> Iterator[Record]:
        magic = self.data[:4]
        if magic in PCAP:
            yield from self._pcap(*PCAP[magic])
        elif magic == SECTION.to_bytes(4, "big"):
            yield from self._pcapng()
        elif not self.data:
            raise NotACapture("the file is empty")
        elif magic[:2] == b"\x1f\x8b":
            raise NotACapture("it is compressed; unpack it with gunzip first")
        else:
            raise NotACapture(f"it begins with {magic.hex(' ')}, which neither pcap nor pcapng does")

    def _cut(self, what: str) -> None:
        self.notes.append(f"the capture is cut short: {what}")

    def _pcap(self, order: str, ticks: int) -> Iterator[Record]:
        data = self.data
        if len(data) < 24:
            raise NotACapture("it ends inside its header")
        (network,) = struct.unpack_from(order + "I", data, 20)
        read = self._reader(network & 0x0FFFFFFF)
        header = struct.Struct(order + "IIII")
        offset, to_ns = 24, 1_000_000_000 // ticks
        while offset + 16 <= len(data):
            seconds, fraction, size, original = header.unpack_from(data, offset)
            offset += 16
            if size > LONGEST or offset + size > len(data):
                self._cut(f"the last record wants {size} bytes, {len(data) - offset} are left")
                return
            frame = data[offset : offset + size]
            offset += size
            if size < original:
                self._snapped[size] = self._snapped.get(size, 0) + 1
            if read is not None and (frame := read(frame)) == b"":
                continue
            yield Record(frame, seconds * 1_000_000_000 + fraction * to_ns)
        if offset != len(data):
            self._cut("it ends inside a record's header")

    def _reader(self, link_type: int) -> Callable[[bytes], bytes] | None:
        """How a record becomes an Ethernet frame; None where it is one. Raises NotACapture for other link types."""
        if link_type == ETHERNET:
            return None
        if link_type not in (COOKED, COOKED2):
            raise _wrong_link_type(link_type)
        self.notes.append(
            "it was taken on 'any', so frames of other links may be in it; capture on the NIC itself (tcpdump -i eth4)"
        )
        return _without_sll if link_type == COOKED else _Sll2Reader().read

    def _pcapng(self) -> Iterator[Record]:
        data, offset, order = self.data, 0, "<"
        interfaces: list[_Interface] = []
        others: dict[int, int] = {}
        readers: dict[int, Callable[[bytes], bytes] | None] = {}
        any_read = False
        while offset + 12 <= len(data):
            if data[offset : offset + 4] == SECTION.to_bytes(4, "big"):
                order = ">" if data[offset + 8 : offset + 12] == BYTE_ORDER.to_bytes(4, "big") else "<"
                interfaces = []  # numbers start anew with every section
            kind, length = struct.unpack_from(order + "II", data, offset)
            if length < 12 or length % 4 or offset + length > len(data):
                self._cut(f"a block wants {length} bytes, {len(data) - offset} are left")
                break
            body = data[offset + 8 : offset + length - 4]
            offset += length
            try:
                if kind == INTERFACE:
                    interfaces.append(_interface(body, order, len(interfaces)))
                    continue
                found = _packet(kind, body, order, interfaces)
            except (struct.error, IndexError):
                self._cut("a block is shorter than its kind")
                break
            if found is None or not self._is_wanted(found.interface, interfaces):
                continue
            link_type, record = found.interface.link_type, found.record
            if link_type in (COOKED, COOKED2):
                read = readers.get(link_type) or readers.setdefault(link_type, self._reader(link_type))
                record = Record(read(record.data) if read else record.data, record.time_ns)
            elif link_type != ETHERNET:
                others[link_type] = others.get(link_type, 0) + 1
                continue
            any_read = True
            size = len(found.record.data)
            if size < found.original:
                self._snapped[size] = self._snapped.get(size, 0) + 1
            if record.data:
                yield record
        else:
            if offset != len(data):
                self._cut("it ends inside a block's header")
        for link_type, frames in others.items():
            if not any_read:
                raise _wrong_link_type(link_type)
            self.notes.append(f"{frames} frames of link type {link_type} were left out; only Ethernet (1) is read")

    def _is_wanted(self, interface: _Interface, interfaces: list[_Interface]) -> bool:
        """Whether a frame's interface is the one that is judged, which the first frame decides."""
        if self._chosen is None:
            names = list(dict.fromkeys(one.name for one in interfaces if one.link_type == ETHERNET))
            if len(names) > 1 and self.nic not in names:
                raise NotACapture(
                    f"it has the frames of several interfaces ({', '.join(names)}), and none of them is {self.nic}"
                )
            self._chosen = self.nic if len(names) > 1 else names[0] if names else interface.name
        if interface.name == self._chosen or interface.link_type != ETHERNET:
            return True
        self._left_out[interface.name] = self._left_out.get(interface.name, 0) + 1
        return False


def _wrong_link_type(link_type: int) -> NotACapture:
    name = LINK_TYPES.get(link_type, "")
    words = f"{link_type} ({name})" if name else str(link_type)
    return NotACapture(f"its link type is {words}, not Ethernet; capture on the NIC itself (tcpdump -i eth4)")


def _without_sll(record: bytes) -> bytes:
    """An Ethernet frame from a record of LINKTYPE_LINUX_SLL; empty for other links and what the host sent itself."""
    if len(record) < 16 or record[2:4] != ARPHRD_ETHER:
        return b""
    return _ethernet(record[1], record[6:12], record[14:16], record[16:])


class _Sll2Reader:
    """LINKTYPE_LINUX_SLL2, which says from which link a record is: more than one cannot be judged as one NIC."""

    def __init__(self) -> None:
        self._link: bytes | None = None

    def read(self, record: bytes) -> bytes:
        """An Ethernet frame; empty for other links and what the host sent itself."""
        if len(record) < 20 or record[8:10] != ARPHRD_ETHER:
            return b""
        link = record[4:8]
        if self._link is not None and link != self._link:
            raise NotACapture("it was taken on 'any' and has the frames of several links; capture on the NIC itself")
        self._link = link
        return _ethernet(record[10], record[12:18], record[:2], record[20:])


def _ethernet(packet_type: int, src: bytes, protocol: bytes, payload: bytes) -> bytes:
    """With the destination that the kind of packet leaves: host (0), broadcast, multicast, other host; 4 went out."""
    if packet_type >= 4:
        return b""
    if protocol == b"\0\4":  # LINUX_SLL_P_802_2
        protocol = len(payload).to_bytes(2, "big")
    return (bytes(6), b"\xff" * 6, b"\x01" + bytes(5), bytes(6))[packet_type] + src + protocol + payload


def _interface(body: bytes, order: str, number: int) -> _Interface:
    (link_type,) = struct.unpack_from(order + "H", body)
    ticks, name = 1_000_000, f"number {number}"
    for code, value in _options(body, 8, order):
        if code == OPTION_NAME:
            name = "".join(sign if sign.isprintable() else "?" for sign in value.decode("utf-8", "replace"))
        if code == OPTION_RESOLUTION and value:
            power = value[0] & 0x7F
            ticks = min(2**power if value[0] & 0x80 else 10 ** min(power, 18), 10**18)
    return _Interface(link_type, ticks, name)


class _Found(NamedTuple):
    record: Record
    original: int  # bytes on the wire
    interface: _Interface


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> _Found | None:
    """A record, or None for other blocks and for what went out."""
    if kind == SIMPLE_PACKET:
        (original,) = struct.unpack_from(order + "I", body)
        return _Found(Record(body[4 : 4 + original], 0), original, interfaces[0])
    if kind == PACKET:
        number, high, low, size, original = struct.unpack_from(order + "IIIII", body)
    elif kind == OLD_PACKET:
        number, _, high, low, size, original = struct.unpack_from(order + "HHIIII", body)
    else:
        return None
    interface = interfaces[int(number)]
    if 20 + size > len(body):
        raise IndexError(size)
    for code, value in _options(body, 20 + (size + 3) // 4 * 4, order):
        if code == OPTION_FLAGS and len(value) == 4 and struct.unpack(order + "I", value)[0] & 3 == OUTBOUND:
            return None
    time_ns = (high << 32 | low) * 1_000_000_000 // interface.ticks
    return _Found(Record(body[20 : 20 + size], time_ns), original, interface)


def _options(body: bytes, offset: int, order: str) -> Iterator[tuple[int, bytes]]:
    while offset + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, offset)
        if code == 0 or offset + 4 + size > len(body):
            return
        yield code, body[offset + 4 : offset + 4 + size]
        offset += 4 + (size + 3) // 4 * 4
