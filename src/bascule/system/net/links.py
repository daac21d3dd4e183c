"""Quick questions about links, by ioctl (netdevice(7)): for one fact a process or a dump would be too much."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bascule.model.values import Mac
from bascule.system.net import netlink
from bascule.system.net.netns import Namespace

_GET_FLAGS, _GET_MAC = 0x8913, 0x8927  # SIOCGIFFLAGS, SIOCGIFHWADDR
_ETHTOOL = 0x8946  # SIOCETHTOOL
_GET_DRIVER, _SET_CHECKSUM = 0x3, 0x17  # ETHTOOL_GDRVINFO, ETHTOOL_STXCSUM
_UP, _RUNNING = 0x1, 0x40
_RTM_NEWNSID, _RTM_GETNSID, _NETNSA_FD = 88, 90, 3


def index_of(namespace: Namespace, link: str) -> int:
    """The index of a link, 0 if there is none."""
    with namespace.entered():
        try:
            return socket.if_nametoindex(link)
        except OSError:
            return 0


def link_indexes(namespace: Namespace | None = None) -> dict[str, int]:
    """The index of each link by its name, of a namespace or of the one that we are in."""
    with namespace.entered() if namespace else contextlib.nullcontext():
        return {name: index for index, name in socket.if_nameindex()}


def link_names(namespace: Namespace | None = None) -> frozenset[str]:
    """The names of all links, of a namespace or of the one that we are in."""
    return frozenset(link_indexes(namespace))


def wireless_links(root: Path = Path("/")) -> frozenset[str]:
    """The wireless NICs of the namespace that we are in, by sysfs; ``root`` is for another tree, in tests."""
    found = (root / "sys/class/net").glob("*/wireless"), (root / "sys/class/net").glob("*/phy80211")
    return frozenset(path.parent.name for paths in found for path in paths)


def mac_of(namespace: Namespace, link: str) -> Mac | None:
    """The MAC of a link, None if there is none (SIOCGIFHWADDR of netdevice(7))."""
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = _ask(sock, _GET_MAC, link)
    return Mac(answer[18:24].hex(":")) if answer else None


def _ask(sock: socket.socket, question: int, link: str) -> bytes:
    try:
        return fcntl.ioctl(sock, question, struct.pack("16s24x", link.encode()[:15]))
    except OSError:
        return b""


def _flags(answer: bytes) -> int:
    flags: int = struct.unpack_from("=H", answer, 16)[0]
    return flags


def idle(namespace: Namespace, links: Iterable[str]) -> frozenset[str]:
    """Those that are up and do not run yet: no carrier, or the kernel has not taken note of it."""
    found = set()
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for link in links:
            if answer := _ask(sock, _GET_FLAGS, link):
                flags = _flags(answer)
                if flags & _UP and not flags & _RUNNING:
                    found.add(link)
    return frozenset(found)


def is_up(namespace: Namespace, link: str) -> bool:
    """Whether a link is there and was set up."""
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = _ask(sock, _GET_FLAGS, link)
    return bool(answer) and bool(_flags(answer) & _UP)


CARRIER_S = 2.0


def wait_until_running(links: Mapping[Namespace, Iterable[str]]) -> list[tuple[str, str]]:
    """Wait for all links that are up to run; those that do not in time, each as (namespace, link).

    The kernel takes note of a carrier in the background; until then a bridge does not forward to the port.
    """
    end = time.monotonic() + CARRIER_S
    left = {namespace: frozenset(names) for namespace, names in links.items()}
    while left := {namespace: rest for namespace, names in left.items() if (rest := idle(namespace, names))}:
        if time.monotonic() > end:
            break
        time.sleep(0.002)
    return sorted((namespace.name, link) for namespace, names in left.items() for link in names)


def ethtool_ioctl(sock: socket.socket, link: str, told: ctypes.Array[ctypes.c_char]) -> None:
    """One question or order of ethtool(8) by a socket, whose number ``told`` begins with. Raises OSError."""
    fcntl.ioctl(sock, _ETHTOOL, struct.pack("@16sP16x", link.encode(), ctypes.addressof(told)))


def drivers(namespace: Namespace) -> frozenset[str]:
    """The drivers of a namespace's links, as ``veth`` and ``macvlan``, asked without a program (ethtool.h)."""
    found = set()
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            told = ctypes.create_string_buffer(struct.pack("=I192x", _GET_DRIVER), 196)
            with contextlib.suppress(OSError):  # loopback has none
                ethtool_ioctl(sock, name, told)
                found.add(told.raw[4:36].split(b"\0", 1)[0].decode("ascii", "replace"))
    return frozenset(found)


def write_checksums(namespace: Namespace) -> None:
    """Have the kernel itself write the checksums of what it sends by the links of a namespace (ethtool.h).

    A veth pair hands frames on without, and whoever reads them from a packet socket gets them so.
    """
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        told = ctypes.create_string_buffer(struct.pack("=II", _SET_CHECKSUM, 0), 8)
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # a link that never leaves it to others
                ethtool_ioctl(sock, name, told)


def namespace_id(known_in: Namespace, of: Namespace) -> int | None:
    """The number by which one namespace knows another (RTM_GETNSID, linux/net_namespace.h); None if it does not."""
    with of.entered():
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with known_in.entered(), netlink.open_netlink() as sock:
            sock.send(netlink.message(_RTM_GETNSID, 0, struct.pack("=BxxxHHI", 0, 8, _NETNSA_FD, fd)))
            kind, _, body = next(netlink.messages(sock.recv(4096)))
    finally:
        os.close(fd)
    number = struct.unpack_from("=i", body, 8)[0] if kind == _RTM_NEWNSID and len(body) >= 12 else -1
    return number if number >= 0 else None
