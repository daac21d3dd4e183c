"""AF_PACKET: listen on a link behind a kernel filter, and send a raw frame."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bascule.errors import MissingTool, NotPermitted, Problem, UsageFault

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 1, 6, 8, 23
PACKET_MR_PROMISC = 1
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
ETH_P_ALL = 3
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid

SNAPLEN = 2048  # no control frame is longer
BUFFER = 16 * 1024 * 1024  # bytes of receive buffer: bursts are kept while the reader is busy


class Instruction(NamedTuple):
    """One instruction of classic BPF (linux/filter.h)."""

    code: int
    jt: int
    jf: int
    k: int


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Listener:
    """An open ear on one link: promiscuous, behind a filter, deaf to what the host itself sends there.

    Raises NotPermitted, UsageFault for a link that is not there.
    """

    def __init__(self, link: str, program: Sequence[Instruction]) -> None:
        self.link = link
        try:
            index = socket.if_nametoindex(link)
        except OSError as error:
            problem = Problem(code="NO-LINK", message=f"there is no link '{link}'")
            raise UsageFault(problem) from error
        self._socket = open_raw(link)
        try:
            raw = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
            buffer = ctypes.create_string_buffer(raw)
            shape = _Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
            # the filter goes in before the bind, so that nothing unwanted is queued in between
            self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(shape))
            self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            with contextlib.suppress(OSError):  # kernels before 4.20; the filter drops them as well
                self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
            except OSError:  # without CAP_NET_ADMIN the system's limit holds
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            membership = struct.pack("=iHH8s", index, PACKET_MR_PROMISC, 0, b"")
            self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
            self._socket.bind((link, ETH_P_ALL))
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def forgive(self) -> None:
        """Forget the error that the kernel notes when one listens on a link that is down."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def frames(self, most: int = 256) -> Iterator[tuple[bytes, int | None]]:
        """The frames that wait, at most so many, each with the tag that the kernel took off (its TCI) or None.

        Raises OSError when the link went away or down.
        """
        for _ in range(most):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(SNAPLEN, 64)
            except BlockingIOError:
                return
            tci = None
            for level, kind, value in ancillary:
                if level == SOL_PACKET and kind == PACKET_AUXDATA and len(value) >= AUXDATA.size:
                    status, _, _, _, _, tag, _ = AUXDATA.unpack_from(value)
                    tci = tag if status & TP_STATUS_VLAN_VALID else None
            yield data, tci

    def drops(self) -> int:
        """Frames that passed the filter but found the buffer full, since the last call."""
        _, dropped = struct.unpack("=II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(dropped)

    def close(self) -> None:
        """Stop listening; the kernel ends promiscuous mode by itself."""
        self._socket.close()


def open_raw(link: str) -> socket.socket:
    """A packet socket that is not bound yet. Raises NotPermitted, MissingTool."""
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        raise NotPermitted(
            Problem(
                code="NOT-PERMITTED",
                message=f"listening on '{link}' was refused: it needs CAP_NET_RAW",
                hint="run it as root, or judge captures with --pcap NIC=FILE",
            )
        ) from error
    except OSError as error:
        problem = Problem(code="NO-AF-PACKET", message=f"the kernel has no packet sockets: {error.strerror}")
        raise MissingTool(problem) from error


def send_frame(link: str, data: bytes) -> None:
    """Send one frame as it is. Raises NotPermitted, OSError."""
    with open_raw(link) as raw:
        raw.bind((link, 0))
        raw.send(data)
