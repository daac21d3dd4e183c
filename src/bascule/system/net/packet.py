"""AF_PACKET: one opener for all who listen on a link behind a kernel filter, and the sender of a raw frame."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Iterator, Sequence

from bascule.errors import MissingTool, NotPermitted, Problem, UsageFault
from bascule.system.net.netns import call
from bascule.system.process import rights

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h; Python has no names for these
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 1, 6, 8, 23
PACKET_MR_PROMISC = 1
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
ETH_P_ALL = 0x0003
TP_STATUS_VLAN_VALID = 1 << 4
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid

SNAPLEN = 2048  # no control frame is longer
BUFFER = 16 * 1024 * 1024  # bytes of receive buffer: bursts are kept while the reader is busy
SENT_WITHIN_S = 1.0  # a full queue of a link empties, or the link does not work
NO_FAMILY = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOSYS}

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant (linux/filter.h: sock_filter)


def open_packet(
    link: str | None,
    program: Sequence[Instruction] = (),
    *,
    protocol: int = ETH_P_ALL,
    timestamps: bool = False,
    buffer_bytes: int = 0,
) -> socket.socket:
    """A non-blocking socket on the frames of one link, or of all links, of the namespace that one is in.

    It hears nothing before its filter is in place; with ``protocol`` 0 it hears nothing at all and only sends. Raises
    NotPermitted, MissingTool where the kernel has no packet sockets, OSError for a link that is not there.
    """
    sock = _open()
    try:
        if program:
            attach_filter(sock, program)
        if timestamps:
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        if buffer_bytes:
            try:
                sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
            except OSError:  # without CAP_NET_ADMIN the kernel gives what net.core.rmem_max allows
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        index = socket.if_nametoindex(link) if link else 0  # Python's bind() knows no "all links"
        address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(protocol), index, 0, 0, 0)  # sockaddr_ll
        call("bind", sock.fileno(), address, len(address))
    except BaseException:
        sock.close()
        raise
    return sock


def open_sender() -> socket.socket:
    """A socket that hears nothing and sends by any link (``sendto(frame, (link, 0))``), which it waits for a moment."""
    sender = open_packet(None, protocol=0)
    sender.settimeout(SENT_WITHIN_S)
    return sender


def _open() -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    except PermissionError as error:
        problem = Problem(
            code="RAW-SOCKET", message=f"no packet socket: {error.strerror}", hint=rights.hint(["NET_RAW"])
        )
        raise NotPermitted(problem) from error
    except OSError as error:
        if error.errno not in NO_FAMILY:
            raise
        problem = Problem(code="NO-AF-PACKET", message=f"the kernel has no packet sockets: {error.strerror}")
        raise MissingTool(problem) from error


def attach_filter(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Let the kernel keep from the socket what a classic BPF program refuses."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HP", len(program), ctypes.addressof(code))  # struct sock_fprog, padded as the compiler does
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)


class Listener:
    """Listens on one link: promiscuous, behind a filter, without what the host itself sends there.

    Raises NotPermitted, MissingTool, UsageFault for a link that is not there.
    """

    def __init__(self, link: str, program: Sequence[Instruction]) -> None:
        self.link = link
        try:
            index = socket.if_nametoindex(link)
        except OSError as error:
            problem = Problem(code="NO-LINK", message=f"there is no link '{link}'")
            raise UsageFault(problem) from error
        try:
            self._socket = open_packet(link, program, buffer_bytes=BUFFER)
        except NotPermitted as refusal:
            raise NotPermitted.of(
                "NOT-PERMITTED",
                f"listening on '{link}' was refused: it needs CAP_NET_RAW",
                hint=f"{rights.hint(['NET_RAW'])}, or judge captures with --pcap NIC=FILE",
            ) from refusal
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            with contextlib.suppress(OSError):  # kernels before 4.20; the filter drops them as well
                self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            membership = struct.pack("=iHH8s", index, PACKET_MR_PROMISC, 0, b"")
            self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        except BaseException:
            self._socket.close()
            raise

    def clear_error(self) -> None:
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


def send_frame(link: str, data: bytes) -> None:
    """Send one frame as it is. Raises NotPermitted, MissingTool, OSError."""
    with open_packet(link, protocol=0) as raw:
        raw.send(data)
