"""A Linux bridge and its ports. Times are in the kernel's clock ticks: 100 are one second (linux/if_link.h)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from msgspec.structs import replace

from bascule.model.links.options import LinkOptions

PORTS_MAX = 1023  # of one bridge: port numbers have 10 bits and 0 is none (BR_PORT_BITS in net/bridge/br_private.h)


class Bridge(LinkOptions, frozen=True, kw_only=True):
    """A bridge's own options; ``unkept`` are those that no file of any configuration system has a word for.

    Of a bridge that is not the root of its spanning tree the kernel shows the root's times: its own are None then.
    """

    kind: ClassVar[str] = "bridge"
    noun: ClassVar[str] = "a bridge"
    said: ClassVar[str] = "linux"  # the word for it in a site file
    native: ClassVar[int] = 1  # the VLAN inside of what bears no tag, where it keeps VLANs apart
    momentary: ClassVar[frozenset[str]] = frozenset({"ageing_time", "forward_delay", "hello_time", "max_age"})
    unkept: ClassVar[frozenset[str]] = frozenset(
        {"mcast_router", "nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables"}
    )

    stp_state: int = 0
    forward_delay: int | None = 1500
    hello_time: int | None = 200
    max_age: int | None = 2000
    ageing_time: int | None = 30000  # None: hidden while the kernel shortens it for a change of the topology
    priority: int = 32768
    vlan_filtering: int = 0
    vlan_default_pvid: int = 1
    mcast_snooping: int = 1
    mcast_querier: int = 0
    no_linklocal_learn: int = 0
    group_fwd_mask: int = 0  # of 01:80:c2:00:00:0x: the bits of those that are forwarded
    mcast_router: int = 1  # 0: none, 1: whoever asks, 2: always (linux/if_bridge.h)
    nf_call_iptables: int = 0  # its frames pass iptables, whatever bridge-nf-call-iptables says
    nf_call_ip6tables: int = 0
    nf_call_arptables: int = 0

    @property
    def traits(self) -> tuple[str, ...]:
        """What tells it from a plain bridge, for people."""
        told = (("VLAN-aware", self.vlan_filtering), ("STP", self.stp_state))
        return tuple(words for words, on in told if on)

    def site_keys(self) -> dict[str, Any]:
        """What a site file says of one that is not the kernel's, beside what it says of all bridges."""
        return {}

    @property
    def time_to_forwarding_s(self) -> float:
        """How long a port that comes up passes no frame: listening and learning, one forward delay each (802.1D)."""
        return 2 * (self.with_times(Bridge()).forward_delay or 0) / 100 if self.stp_state else 0.0

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """For a time after a change of the topology the kernel shows two forward delays as ageing time (br_stp.c)."""
        found = super().read(info)
        if info.get("topology_change") and found.ageing_time == 2 * (found.forward_delay or 0):
            found = replace(found, ageing_time=None)
        if info.get("root_port"):  # iproute2 may print the bridge's own ID as the root's
            found = replace(found, forward_delay=None, hello_time=None, max_age=None)
        return found

    def arguments(self, before: Self | None = None) -> tuple[str, ...]:
        """Where STP ends, what the kernel hid is said: it keeps the ageing time that it had shortened (br_stp.c)."""
        if before is not None and before.stp_state and not self.stp_state:
            before = replace(before, **{name: -1 for name in self.momentary if getattr(before, name) is None})
        return super().arguments(before)

    def with_times(self, usual: Bridge) -> Self:
        """The same, with another bridge's times where the kernel hides its own."""
        hidden = {name: getattr(usual, name) for name in self.momentary if getattr(self, name) is None}
        return replace(self, **hidden) if hidden else self


class BridgePort(LinkOptions, frozen=True, kw_only=True):
    """What a bridge keeps for one port (``ip link set … type bridge_slave``); gone when the port leaves."""

    kind: ClassVar[str] = "bridge_slave"
    argument_names: ClassVar[Mapping[str, str]] = {
        "fastleave": "mcast_fast_leave",
        "multicast_router": "mcast_router",
    }

    priority: int = 32
    cost: int | None = None
    hairpin: bool = False
    guard: bool = False
    root_block: bool = False
    fastleave: bool = False
    learning: bool = True
    flood: bool = True
    mcast_flood: bool = True
    bcast_flood: bool = True
    mcast_to_unicast: bool = False
    neigh_suppress: bool = False
    isolated: bool = False
    locked: bool = False
    multicast_router: int = 1
    group_fwd_mask: int = 0
    proxy_arp: bool = False
