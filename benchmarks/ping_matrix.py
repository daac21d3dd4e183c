"""Everybody asks everybody: all ordered pairs of many attachments, by ARP and by ICMP.

What is asked. Each attachment first broadcasts one ARP request, for the next in the row: so broadcasts of all of
them are known to pass, and the switches learn where everybody is. Then, for each ordered pair, the source sends the
target an ARP request to the target's own MAC (the unicast poll of RFC 1122, 2.3.2.1, which the kernel's neighbour probe
uses as well) and an ICMP echo request. Both are answered by the target's own kernel. A broadcast for each pair would
prove no more about the wires, and would be copied to every port each time.

What is expected of the attachments: all in one subnet, each with an IPv4 address, in namespaces of ours.

The kernel's neighbour table holds 1,024 entries for all namespaces together (net.ipv4.neigh.default.gc_thresh3), and
refuses to forget what is younger than 5 s; a target without room for the asker does not answer. So a few targets at a
time are asked by all, and what they learned is taken back before the next are asked.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address

from msgspec import Struct

from bascule.frames import bpf
from bascule.frames.codecs import arp, ethernet, icmp, ip
from bascule.probe.domain import ProbeAttachment
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import open_packet
from bascule.system.net.sockets import close_all
from benchmarks.parallel import cores, side_by_side

LEARNED_AT_ONCE = 400  # neighbour entries that the targets of one round may make; below gc_thresh2 (512)
WORKERS, SOURCES_PER_WORKER = 4, 25  # processes at most, and what makes one worth its start
PATIENCE_S = 1.0
TRIES = 4
BUFFER_BYTES = 1 << 20


def arp_replies_to(address: bytes) -> bpf.Block:
    """ARP replies for one IPv4 address (in the field of the target)."""
    wanted = int.from_bytes(address, "big")
    return [
        *bpf.loads((bpf.LD_H, 12, ethernet.ARP), (bpf.LD_H, 20, arp.REPLY)),
        (bpf.LD_W, 38, "", ""),
        *bpf.one_of([wanted]),
    ]


def echo_replies(identifier: int) -> bpf.Block:
    """ICMP echo replies over IPv4 with our identifier."""
    return [
        *bpf.loads((bpf.LD_H, 12, ethernet.IPV4), (bpf.LD_B, 23, ip.ICMP)),
        (bpf.LDX_MSH, 14, "", ""),
        *bpf.loads((bpf.LD_B_X, 14, icmp.ECHO_REPLY)),
        (bpf.LD_H_X, 18, "", ""),
        *bpf.one_of([identifier]),
    ]


class Miss(Struct, frozen=True):
    """A pair that failed, and what did not come back: ``arp``, ``icmp``, or both. ``other_mac``: who answered ARP."""

    source: str
    target: str
    arp: bool
    icmp: bool
    other_mac: str = ""

    def __str__(self) -> str:
        lost = " and ".join(name for name, ok in (("ARP", self.arp), ("ICMP", self.icmp)) if not ok)
        words = f"{self.source} → {self.target}: no answer to {lost}"
        return f"{self.source} → {self.target}: {self.other_mac} answers ARP in its place" if self.other_mac else words


class Matrix(Struct, frozen=True, kw_only=True):
    """Who reaches whom. ``misses`` are the pairs that failed, ``broadcasts`` those whose broadcast got no answer."""

    names: tuple[str, ...]
    misses: tuple[Miss, ...] = ()
    broadcasts: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def pairs(self) -> int:
        """How many ordered pairs were asked, each by ARP and by ICMP."""
        return len(self.names) * (len(self.names) - 1)

    @property
    def ok(self) -> bool:
        """Whether every pair passed."""
        return not self.misses

    def __str__(self) -> str:
        passed = self.pairs - len(self.misses)
        return f"{passed:,} of {self.pairs:,} ordered pairs answer ARP and ICMP, asked in {self.seconds:.2f} s"


def ask_pairs(attachments: Sequence[ProbeAttachment], *, patience_s: float = PATIENCE_S) -> Matrix:
    """Ask all ordered pairs; what is not answered is asked again until the patience is over.

    The sources are shared out among the cores, one process for each. Raises ValueError where an attachment has no IPv4
    address, NotPermitted where the kernel allows no packet sockets.
    """
    start = time.perf_counter()
    addresses = [_address(attachment) for attachment in attachments]
    workers = max(1, min(cores(), WORKERS, len(attachments) // SOURCES_PER_WORKER))
    learned = LEARNED_AT_ONCE // workers  # the table is one for all

    def work(number: int) -> tuple[list[Miss], list[str]]:
        asking = _Asking(attachments, addresses, range(number, len(attachments), workers), learned)
        try:
            asking.open()
            silent = asking.broadcast(patience_s)
            asking.all_pairs(patience_s)
        finally:
            asking.close()
        return asking.misses(), silent

    results = side_by_side(work, range(workers))
    misses = sorted((miss for found, _ in results for miss in found), key=lambda miss: (miss.source, miss.target))
    return Matrix(
        names=tuple(attachment.endpoint for attachment in attachments),
        misses=tuple(misses),
        broadcasts=tuple(sorted(name for _, silent in results for name in silent)),
        seconds=time.perf_counter() - start,
    )


class _Asking:
    """One process's share: some sources, all targets. Pairs are numbered source * count + target."""

    def __init__(
        self, attachments: Sequence[ProbeAttachment], addresses: Sequence[IPv4Address], sources: range, learned: int
    ) -> None:
        self.attachments = tuple(attachments)
        self.count = len(attachments)
        self.sources = sources
        self.step = max(1, learned // max(1, len(sources)))  # targets at a time
        self.macs = [ethernet.mac_bytes(attachment.mac) for attachment in attachments]
        self.addresses = tuple(addresses)
        self.packed = [address.packed for address in addresses]
        self.number = {packed: number for number, packed in enumerate(self.packed)}
        self.identifier = int.from_bytes(os.urandom(2), "big")
        self.sockets: dict[int, socket.socket] = {}
        self.arp_ok = bytearray(self.count * self.count)
        self.icmp_ok = bytearray(self.count * self.count)
        self.others: dict[int, bytes] = {}

    def open(self) -> None:
        for source in self.sources:
            attachment = self.attachments[source]
            mine = arp_replies_to(self.packed[source])
            program = bpf.any_of(mine, echo_replies(self.identifier), refuse_outgoing=True, snaplen=64)
            with attachment.namespace.entered():
                self.sockets[source] = open_packet(attachment.link, program, buffer_bytes=BUFFER_BYTES)

    def close(self) -> None:
        close_all(list(self.sockets.values()))

    def broadcast(self, patience_s: float) -> list[str]:
        """One broadcast per attachment, for the next in the row; whose got no answer."""
        if self.count < 2:
            return []
        waiting = {source: (source + 1) % self.count for source in self.sources}
        for _ in range(TRIES):
            for source, target in waiting.items():
                request = arp.build(arp.REQUEST, self.macs[source], self.addresses[source], self.addresses[target])
                self._send(source, request)
            end = time.monotonic() + patience_s / TRIES
            while waiting and time.monotonic() < end:
                for source in self._readable(waiting, end):
                    self._read(source, 1 << 16)
                    if self.arp_ok[source * self.count + waiting[source]]:
                        del waiting[source]
            if not waiting:
                break
        self.arp_ok = bytearray(self.count * self.count)  # each pair is still asked on its own
        for source in self.sources:
            self._forget((source + 1) % self.count, [source])
        return [self.attachments[source].endpoint for source in waiting]

    def all_pairs(self, patience_s: float) -> None:
        """Some targets at a time, each asked by everybody; then again what was lost."""
        for first in range(0, self.count, self.step):
            targets = range(first, min(first + self.step, self.count))
            self._round([(target, self.sources) for target in targets])
        for number in range(1, TRIES):
            missing = self._missing()
            if not missing:
                return
            time.sleep(patience_s / (TRIES - 1) if number > 1 else 0.01)
            lost = sorted(missing)
            for first in range(0, len(lost), self.step):
                self._round([(target, missing[target]) for target in lost[first : first + self.step]], last=True)

    def _round(self, wanted: Sequence[tuple[int, Sequence[int]]], *, last: bool = False) -> None:
        expected: dict[int, int] = {}
        for target, sources in wanted:
            ask = self._questions(target)
            for source in sources:
                if source != target:
                    arp, icmp = ask(source)
                    self._send(source, arp)
                    self._send(source, icmp)
                    expected[source] = expected.get(source, 0) + 2
        for source, count in expected.items():
            self._read(source, count)
        late = {source for source in expected if self._is_late(source, [target for target, _ in wanted])}
        end = time.monotonic() + (0.2 if last else 0.02)
        while late and time.monotonic() < end:
            for source in self._readable(late, end):
                self._read(source, 1 << 16)
            late = {source for source in late if self._is_late(source, [target for target, _ in wanted])}
        for target, sources in wanted:
            self._forget(target, sources)

    def _questions(self, target: int) -> Callable[[int], tuple[bytes, bytes]]:
        """Frames for a target: only the source's addresses and the checksums differ, so the rest is made once."""
        mac, packed = self.macs[target], self.packed[target]
        arp_head = struct.pack("!HHHBBH", ethernet.ARP, 1, ethernet.IPV4, 6, 4, arp.REQUEST)
        arp_tail = mac + packed
        echo = icmp.echo(self.identifier, target & 0xFFFF, b"bascule!")
        body = ethernet.IPV4.to_bytes(2, "big") + ip.packet(IPv4Address(0), IPv4Address(packed), ip.ICMP, echo)
        head, rest = body[:12], body[18:]
        total = ~int.from_bytes(body[12:14], "big") & 0xFFFF  # of the header with a source of 0.0.0.0

        def build(source: int) -> tuple[bytes, bytes]:
            own, address = self.macs[source], self.packed[source]
            added = total + (address[0] << 8) + address[1] + (address[2] << 8) + address[3]
            added = (added & 0xFFFF) + (added >> 16)
            added = ~((added & 0xFFFF) + (added >> 16)) & 0xFFFF
            front = mac + own
            return (
                front + arp_head + own + address + arp_tail,
                front + head + added.to_bytes(2, "big") + address + rest,
            )

        return build

    def _send(self, source: int, frame: bytes) -> None:
        try:
            self.sockets[source].send(frame)
        except OSError:
            return  # a full queue, a link that is down: it counts as lost, and is asked again

    def _readable(self, sources: Collection[int], end: float) -> list[int]:
        poll = select.poll()
        by_fd = {self.sockets[source].fileno(): source for source in sources}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        return [by_fd[fd] for fd, _ in poll.poll(max(1.0, (end - time.monotonic()) * 1000))]

    def _read(self, source: int, count: int) -> None:
        """Take at most so many replies."""
        receive, number, row = self.sockets[source].recv, self.number, source * self.count
        try:
            for _ in range(count):
                data = receive(64)
                if data[12:14] == b"\x08\x06":
                    target = number.get(data[28:32])
                    if target is None:
                        continue
                    if data[22:28] == self.macs[target]:
                        self.arp_ok[row + target] = 1
                    else:
                        self.others[row + target] = data[22:28]
                else:
                    target = number.get(data[26:30])
                    if target is not None and data[6:12] == self.macs[target]:
                        self.icmp_ok[row + target] = 1
        except OSError:
            return  # nothing more for now

    def _is_late(self, source: int, targets: Sequence[int]) -> bool:
        row = source * self.count
        return any(t != source and not (self.arp_ok[row + t] and self.icmp_ok[row + t]) for t in targets)

    def _missing(self) -> dict[int, list[int]]:
        """By target: who has not got both answers yet."""
        missing: dict[int, list[int]] = {}
        for source in self.sources:
            row = slice(source * self.count, (source + 1) * self.count)
            for target, (arp_ok, icmp_ok) in enumerate(zip(self.arp_ok[row], self.icmp_ok[row], strict=True)):
                if not (arp_ok and icmp_ok) and source != target:
                    missing.setdefault(target, []).append(source)
        return missing

    def _forget(self, target: int, sources: Sequence[int]) -> None:
        attachment = self.attachments[target]
        _forget_neighbours(
            attachment.namespace, attachment.link, [self.packed[source] for source in sources if source != target]
        )

    def misses(self) -> list[Miss]:
        """The pairs that failed."""
        found = []
        for target, sources in self._missing().items():
            for source in sources:
                pair = source * self.count + target
                other = self.others.get(pair, b"")
                found.append(
                    Miss(
                        self.attachments[source].endpoint,
                        self.attachments[target].endpoint,
                        bool(self.arp_ok[pair]),
                        bool(self.icmp_ok[pair]),
                        other.hex(":"),
                    )
                )
        return found


def _forget_neighbours(namespace: Namespace, link: str, addresses: Sequence[bytes]) -> None:
    """Take IPv4 neighbours of a link out of the kernel's table; those that are not in it do not matter.

    Plain RTM_DELNEIGH messages without acknowledgement, some hundred in one call. Raises OSError.
    """
    with namespace.entered():
        index = socket.if_nametoindex(link)
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    # struct nlmsghdr; struct ndmsg; NDA_DST (1) of 4 bytes
    head = struct.pack("=IHHII", 36, 29, 1, 0, 0) + struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, index, 0, 0, 0)
    head += struct.pack("=HH", 8, 1)
    with sock:
        for start in range(0, len(addresses), 500):
            sock.send(b"".join(head + address for address in addresses[start : start + 500]))


def _address(attachment: ProbeAttachment) -> IPv4Address:
    for address in attachment.addresses:
        if isinstance(address.ip, IPv4Address):
            return address.ip
    raise ValueError(f"{attachment.endpoint} has no IPv4 address on {attachment.link}: no pairs to ask")
