"""A Linux bridge and its ports. Times are in the kernel's clock ticks: 100 are one second (linux/if_link.h)."""

from __future__ import annotations

from typing import ClassVar

from bascule.model.links.options import LinkOptions, option
from bascule.records import dataclass

PORTS_MAX = 1023  # of one bridge: port numbers have 10 bits and 0 is none (BR_PORT_BITS in net/bridge/br_private.h)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge(LinkOptions):
    """A bridge's own options."""

    kind: ClassVar[str] = "bridge"

    stp_state: int = option(0)
    forward_delay: int = option(1500)
    hello_time: int = option(200)
    max_age: int = option(2000)
    ageing_time: int = option(30000)
    priority: int = option(32768)
    vlan_filtering: int = option(0)
    vlan_default_pvid: int = option(1)
    mcast_snooping: int = option(1)
    mcast_querier: int = option(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgePort(LinkOptions):
    """What a bridge keeps for one port (``ip link set … type bridge_slave``); gone when the port leaves."""

    kind: ClassVar[str] = "bridge_slave"

    priority: int = option(32)
    cost: int | None = option(None)
    hairpin: bool = option(False, flag=True)
    guard: bool = option(False, flag=True)
    root_block: bool = option(False, flag=True)
    fastleave: bool = option(False, arg="mcast_fast_leave", flag=True)
    learning: bool = option(True, flag=True)
    flood: bool = option(True, flag=True)
    mcast_flood: bool = option(True, flag=True)
    bcast_flood: bool = option(True, flag=True)
    mcast_to_unicast: bool = option(False, flag=True)
    neigh_suppress: bool = option(False, flag=True)
    isolated: bool = option(False, flag=True)
    locked: bool = option(False, flag=True)
