"""The neighbours that somebody has set, and those for whom links answer (ip-neighbour(8)), by rtnetlink.

Two programs for each look at a host would be too much for what most hosts have none of.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from bascule.system.net import netlink
from bascule.system.net.netns import Namespace

RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30  # linux/rtnetlink.h
NUD_PERMANENT, NUD_NOARP, NTF_PROXY, NDA_DST, NDA_LLADDR = 0x80, 0x40, 0x08, 1, 2  # linux/neighbour.h
NDA_FLAGS_EXT, NTF_EXT_MANAGED = 15, 1
FLAGS = {"router": 0x80, "extern_learn": 0x10}  # NTF_ROUTER, NTF_EXT_LEARNED, as ip-neighbour(8) says them
Neighbour = tuple[str, str, str, bool, tuple[str, ...]]
NDMSG, ATTRIBUTE = struct.Struct("=BxxxiHBB"), struct.Struct("=HH")
FAMILIES = {socket.AF_INET, socket.AF_INET6}
SIZE = 1 << 16  # bytes of one answer


def fixed_neighbours(namespace: Namespace | None = None) -> tuple[Neighbour, ...]:
    """Each one's address, link, MAC, whether the link answers for it, and flags.

    The MAC is empty for one for whom the link answers, and for one that the kernel is to look for (``managed``).
    """
    with namespace.entered() if namespace else contextlib.nullcontext(), netlink.open_netlink() as sock:
        return tuple(one for proxy in (False, True) for one in _dump(sock, proxy=proxy))


def _dump(sock: socket.socket, *, proxy: bool) -> Iterator[Neighbour]:
    words = NDMSG.pack(socket.AF_UNSPEC, 0, 0, NTF_PROXY if proxy else 0, 0)
    sock.send(netlink.message(RTM_GETNEIGH, netlink.DUMP, words))
    for family, index, state, flags, attributes in _answers(sock):
        managed = bool(int.from_bytes(attributes.get(NDA_FLAGS_EXT, b""), sys.byteorder) & NTF_EXT_MANAGED)
        mac = attributes.get(NDA_LLADDR, b"")
        noarp = bool(state & NUD_NOARP) and any(mac) and not mac[0] & 1  # the kernel has its own of groups and of lo
        fixed = (state & NUD_PERMANENT or noarp or managed) and not flags & NTF_PROXY
        if family not in FAMILIES or not (flags & NTF_PROXY if proxy else fixed) or NDA_DST not in attributes:
            continue
        with contextlib.suppress(OSError):  # the link has gone meanwhile
            said = tuple(word for word, bit in FLAGS.items() if flags & bit)
            said += ("managed",) if managed else ("noarp",) if noarp else ()
            at = "" if proxy or managed else mac.hex(":")
            yield str(ip_address(attributes[NDA_DST])), socket.if_indextoname(index), at, proxy, said


def _answers(sock: socket.socket) -> Iterator[tuple[int, int, int, int, dict[int, bytes]]]:
    """Family, link, state, flags and attributes of each entry, until the kernel says that it is done."""
    while True:
        for kind, _, body in netlink.messages(sock.recv(SIZE)):
            if kind in {netlink.DONE, netlink.ERROR}:
                return
            if kind == RTM_NEWNEIGH:
                family, index, state, flags, _ = NDMSG.unpack_from(body)
                yield family, index, state, flags, dict(_attributes(body[NDMSG.size :]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(data)
        if length < ATTRIBUTE.size:
            return
        yield kind, data[ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
