"""Capture files: pcap (either byte order, micro- and nanoseconds) and pcapng. Pure: bytes in, frames out.

Written from the formats' descriptions: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import NamedTuple

from msgspec import Struct, field

ETHERNET = 1  # LINKTYPE_ETHERNET
PCAP = {  # magic number: byte order, ticks per second
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
}
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6
BYTE_ORDER = 0x1A2B3C4D
OPTION_RESOLUTION, OPTION_FLAGS = 9, 2
OUTBOUND = 2
LONGEST = 1 << 18  # bytes; a longer packet or block header is a damaged file


class Record(NamedTuple):
    """One captured frame; ``time_ns`` counts from 1970, 0 where the format has none."""

    data: bytes
    time_ns: int


class NotACapture(ValueError):
    """The file is no capture that can be judged; the message says why."""


class Capture(Struct):
    """The frames of a file. ``notes`` are filled while ``frames`` is read: cut short, other link types."""

    data: bytes | mmap
    notes: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Record]:
        """Every Ethernet frame that came in. Raises NotACapture at the first, before any frame."""
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
        _only_ethernet(network & 0x0FFFFFFF)
        header = struct.Struct(order + "IIII")
        offset, to_ns = 24, 1_000_000_000 // ticks
        while offset + 16 <= len(data):
            seconds, fraction, size, _ = header.unpack_from(data, offset)
            offset += 16
            if size > LONGEST or offset + size > len(data):
                self._cut(f"the last record wants {size} bytes, {len(data) - offset} are left")
                return
            yield Record(data[offset : offset + size], seconds * 1_000_000_000 + fraction * to_ns)
            offset += size
        if offset != len(data):
            self._cut("it ends inside a record's header")

    def _pcapng(self) -> Iterator[Record]:
        data, offset, order = self.data, 0, "<"
        interfaces: list[tuple[int, int]] = []  # link type, ticks per second
        others: dict[int, int] = {}
        any_ethernet = False
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
                    interfaces.append(_interface(body, order))
                    any_ethernet = any_ethernet or interfaces[-1][0] == ETHERNET
                    continue
                found = _packet(kind, body, order, interfaces)
            except (struct.error, IndexError):
                self._cut("a block is shorter than its kind")
                break
            if isinstance(found, Record):
                yield found
            elif found is not None:
                others[found] = others.get(found, 0) + 1
        else:
            if offset != len(data):
                self._cut("it ends inside a block's header")
        for link_type, frames in others.items():
            if not any_ethernet:
                _only_ethernet(link_type)
            self.notes.append(f"{frames} frames of link type {link_type} were left out; only Ethernet (1) is read")


def _only_ethernet(link_type: int) -> None:
    if link_type != ETHERNET:
        raise NotACapture(
            f"its link type is {link_type}, not Ethernet; capture on the NIC itself (tcpdump -i eth4), not on 'any'"
        )


def _interface(body: bytes, order: str) -> tuple[int, int]:
    (link_type,) = struct.unpack_from(order + "H", body)
    ticks = 1_000_000
    for code, value in _options(body, 8, order):
        if code == OPTION_RESOLUTION and value:
            power = value[0] & 0x7F
            ticks = min(2**power if value[0] & 0x80 else 10 ** min(power, 18), 10**18)
    return link_type, ticks


def _packet(kind: int, body: bytes, order: str, interfaces: list[tuple[int, int]]) -> Record | int | None:
    """A record, the link type of a frame that is not Ethernet, or None for other blocks and for what went out."""
    if kind == SIMPLE_PACKET:
        (original,) = struct.unpack_from(order + "I", body)
        link_type, _ = interfaces[0]
        return Record(body[4 : 4 + original], 0) if link_type == ETHERNET else link_type
    if kind == PACKET:
        number, high, low, size, _ = struct.unpack_from(order + "IIIII", body)
    elif kind == OLD_PACKET:
        number, _, high, low, size, _ = struct.unpack_from(order + "HHIIII", body)
    else:
        return None
    link_type, ticks = interfaces[int(number)]
    if link_type != ETHERNET:
        return link_type
    if 20 + size > len(body):
        raise IndexError(size)
    for code, value in _options(body, 20 + (size + 3) // 4 * 4, order):
        if code == OPTION_FLAGS and len(value) == 4 and struct.unpack(order + "I", value)[0] & 3 == OUTBOUND:
            return None
    return Record(body[20 : 20 + size], (high << 32 | low) * 1_000_000_000 // ticks)


def _options(body: bytes, offset: int, order: str) -> Iterator[tuple[int, bytes]]:
    while offset + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, offset)
        if code == 0 or offset + 4 + size > len(body):
            return
        yield code, body[offset + 4 : offset + 4 + size]
        offset += 4 + (size + 3) // 4 * 4
