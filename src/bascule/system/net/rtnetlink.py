"""A small writer of rtnetlink messages, for namespaces that Bascule makes itself and throws away.

A host is changed through iproute2, so that the plan is what runs. A twin has hundreds of namespaces with three or
four settings in each: one ``ip`` process for each takes 3 ms (measured), a message on a socket about 0.02 ms.
Layouts are those of linux/rtnetlink.h, if_link.h, if_addr.h and veth.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from bascule.errors import BasculeError, CommandFailed, NotPermitted, Problem
from bascule.model.values import IpAddress, IpInterface, IpNetwork, Mac
from bascule.system.closing import Closing
from bascule.system.net import netlink
from bascule.system.net.netns import Namespace

NEWLINK, DELLINK, NEWADDR, NEWROUTE, SETLINK = 16, 17, 20, 24, 19  # RTM_*
_NEW = netlink.CREATE | netlink.EXCL
_IFF_UP = 1
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _NET_NS_FD, _AF_SPEC = 1, 3, 4, 10, 18, 28, 26  # IFLA_*
_IFLA_LINK = 5
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER = 1
_BR_FORWARD_DELAY, _BR_STP_STATE, _BR_VLAN_FILTERING, _BR_MCAST_SNOOPING = 1, 5, 7, 23
_VLAN_ID = 1
_BOND_PRIMARY = 11  # IFLA_BOND_PRIMARY
_MACVLAN_MODE, _MACVLAN_BRIDGE = 1, 4
_ADDR_GEN_MODE, _MODE_NONE = 8, 1  # IFLA_INET6_ADDR_GEN_MODE
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_HAS_IPV6 = Path("/proc/net/if_inet6").exists()
_CHUNK = 64  # acknowledgements that surely fit into a socket's default buffer


class Message(Struct, frozen=True):
    """One request; ``what`` says in iproute2's words what it asks for."""

    kind: int
    flags: int
    body: bytes
    what: str


class VethEnd(Struct, frozen=True, kw_only=True):
    """One end of a veth pair, down: the kernel refuses to make one that is up before the other is there.

    ``namespace`` None is the one that the message is sent in; ``master`` is an index.
    """

    name: str
    mac: Mac | None = None
    mtu: int | None = None
    namespace: Namespace | None = None
    master: int | None = None


def _attr(kind: int, data: bytes) -> bytes:
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + b"\0" * (-size % 4)


def _u32(kind: int, value: int) -> bytes:
    return _attr(kind, struct.pack("=I", value))


def _name(name: str) -> bytes:
    return _attr(_IFNAME, name.encode() + b"\0")


def _ifinfo(*, up: bool = False, change: bool = False) -> bytes:
    flags = _IFF_UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, flags, _IFF_UP if up or change else 0)


def _end(end: VethEnd) -> bytes:
    body = _ifinfo() + _name(end.name)
    if end.mac:
        body += _attr(_ADDRESS, bytes.fromhex(end.mac.replace(":", "")))
    if end.mtu:
        body += _u32(_MTU, end.mtu)
    if end.namespace is not None:
        body += _u32(_NET_NS_FD, end.namespace.fd)
    if end.master is not None:
        body += _u32(_MASTER, end.master)
    return body


def _info(kind: str, data: bytes) -> bytes:
    return _attr(_LINKINFO, _attr(_INFO_KIND, kind.encode()) + _attr(_INFO_DATA, data))


def add_veth(here: VethEnd, there: VethEnd) -> Message:
    """A cable; both ends are made at once, each in its namespace."""
    body = _end(here) + _info("veth", _attr(_VETH_PEER, _end(there)))
    return Message(NEWLINK, _NEW, body, f"link add {here.name} type veth peer name {there.name}")


def add_bridge(name: str) -> Message:
    """A switch: no STP, no forward delay, no multicast snooping (DESIGN.md §7)."""
    options = _u32(_BR_FORWARD_DELAY, 0) + _u32(_BR_STP_STATE, 0) + _attr(_BR_MCAST_SNOOPING, b"\0")
    return Message(NEWLINK, _NEW, _end(VethEnd(name=name)) + _info("bridge", options), f"link add {name} type bridge")


def add_other(name: str, kind: str, options: bytes = b"") -> Message:
    """A link of any kind that needs no other link, as the kernel makes it by itself."""
    return Message(NEWLINK, _NEW, _end(VethEnd(name=name)) + _info(kind, options), f"link add {name}")


def add_filtering_bridge(name: str) -> Message:
    """A bridge that filters VLANs."""
    return add_other(name, "bridge", _attr(_BR_VLAN_FILTERING, b"\1"))


def add_vlan(name: str, parent: int, vid: int, master: int | None) -> Message:
    """An 802.1Q link on the link with index ``parent``."""
    body = _end(VethEnd(name=name, master=master)) + _u32(_IFLA_LINK, parent)
    body += _info("vlan", _attr(_VLAN_ID, struct.pack("=H", vid)))
    return Message(NEWLINK, _NEW, body, f"link add {name} type vlan id {vid}")


def add_macvlan(here: VethEnd, parent: int) -> Message:
    """A link in bridge mode on the link with index ``parent``, which stays in the namespace of the socket."""
    body = _end(here) + _u32(_IFLA_LINK, parent) + _info("macvlan", _u32(_MACVLAN_MODE, _MACVLAN_BRIDGE))
    return Message(NEWLINK, _NEW, body, f"link add {here.name} type macvlan mode bridge")


def set_link(
    name: str,
    *,
    up: bool | None = None,
    master: int | None = None,
    mtu: int | None = None,
) -> Message:
    """Change a link; ``master`` is the index of a bridge, 0 takes it off."""
    body = _ifinfo(up=bool(up), change=up is not None) + _name(name)
    words = [f"link set {name}"]
    if mtu is not None:
        body += _u32(_MTU, mtu)
        words.append(f"mtu {mtu}")
    if master is not None:
        body += _u32(_MASTER, master)
        words.append(f"master {master}" if master else "nomaster")
    if up is not None:
        words.append("up" if up else "down")
    return Message(SETLINK, 0, body, " ".join(words))


def no_primary(bond: str) -> Message:
    """A bond without a primary; ip(8) takes none but the name of a link, and the kernel the index 0."""
    body = _ifinfo() + _name(bond) + _info("bond", _u32(_BOND_PRIMARY, 0))
    return Message(NEWLINK, 0, body, f"{bond}: no primary")


def addrgenmode_none(name: str) -> tuple[Message, ...]:
    """No IPv6 address of its own; nothing where the kernel has no IPv6.

    A message by itself, to be sent before ``up``: within one message the kernel brings the link up first.
    """
    if not _HAS_IPV6:
        return ()
    body = (
        _ifinfo() + _name(name) + _attr(_AF_SPEC, _attr(socket.AF_INET6, _attr(_ADDR_GEN_MODE, bytes((_MODE_NONE,)))))
    )
    return (Message(SETLINK, 0, body, f"link set {name} addrgenmode none"),)


def delete_link(name: str) -> Message:
    """Remove a link; of a veth pair both ends."""
    return Message(DELLINK, 0, _ifinfo() + _name(name), f"link del {name}")


def add_address(index: int, address: IpInterface) -> Message:
    """An address; IPv6 without duplicate address detection, so that it can be used at once."""
    six = address.version == 6
    head = struct.pack("=BBBBI", socket.AF_INET6 if six else socket.AF_INET, address.network.prefixlen, 0, 0, index)
    body = head + _attr(_IFA_LOCAL, address.packed) + _attr(_IFA_ADDRESS, address.packed)
    if six:
        body += _u32(_IFA_FLAGS, _NODAD)
    elif address.network.prefixlen < 31:
        body += _attr(_IFA_BROADCAST, address.network.broadcast_address.packed)
    return Message(NEWADDR, _NEW, body, f"addr add {address}")


def add_route(index: int, gateway: IpAddress, dst: IpNetwork | None = None) -> Message:
    """A route through a gateway on a link; ``dst`` None is the default."""
    family = socket.AF_INET6 if gateway.version == 6 else socket.AF_INET
    # rtmsg: family, dst_len, src_len, tos, table main, protocol boot, scope universe, type unicast, flags
    body = struct.pack("=BBBBBBBBI", family, dst.prefixlen if dst else 0, 0, 0, 254, 3, 0, 1, 0)
    if dst is not None:
        body += _attr(_RTA_DST, dst.network_address.packed)
    body += _attr(_RTA_GATEWAY, gateway.packed) + _u32(_RTA_OIF, index)
    return Message(NEWROUTE, _NEW, body, f"route add {dst or 'default'} via {gateway}")


class Rtnetlink(Closing):
    """A socket in one namespace. Every message is acknowledged; all refusals of a call are raised together."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        with namespace.entered():
            self._socket = netlink.open_netlink()
        self._socket.setsockopt(270, 10, 1)  # SOL_NETLINK, NETLINK_CAP_ACK: do not send the request back
        self._socket.settimeout(30)
        self._sequence = 0

    def send(self, messages: Iterable[Message]) -> None:
        """Carry them out in order; one that is refused does not stop those behind it.

        Raises NotPermitted or CommandFailed with one problem per refused message.
        """
        todo = list(messages)
        refused: list[tuple[Message, int]] = []
        for start in range(0, len(todo), _CHUNK):
            refused += self._exchange(todo[start : start + _CHUNK])
        if refused:
            raise _failure(self.namespace, refused)

    def _exchange(self, messages: Sequence[Message]) -> list[tuple[Message, int]]:
        first = self._sequence + 1
        self._sequence += len(messages)
        packet = b""
        for sequence, message in enumerate(messages, first):
            packet += netlink.message(message.kind, netlink.ACK | message.flags, message.body, sequence)
        self._socket.send(packet)
        refused: list[tuple[Message, int]] = []
        waiting = len(messages)
        while waiting:
            for kind, sequence, body in netlink.messages(self._socket.recv(1 << 16)):
                if kind == netlink.ERROR:
                    (status,) = struct.unpack_from("=i", body)
                    waiting -= 1
                    if status:
                        refused.append((messages[sequence - first], -status))
        return refused

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _failure(namespace: Namespace, refused: Sequence[tuple[Message, int]]) -> BasculeError:
    problems = tuple(
        Problem(
            code="NOT-PERMITTED" if number in {errno.EPERM, errno.EACCES} else "KERNEL-REFUSED",
            message=f"'{message.what}' in namespace {namespace.name} was refused: {os.strerror(number)}",
        )
        for message, number in refused
    )
    return (NotPermitted if problems[0].code == "NOT-PERMITTED" else CommandFailed)(*problems)


def change(namespace: Namespace, messages: Iterable[Message]) -> None:
    """Carry out messages in a namespace. Raises as Rtnetlink.send."""
    with Rtnetlink(namespace) as sock:
        sock.send(messages)
