"""Names of bridge and port options below /sys/class/net, which network-scripts write to (net/bridge/br_sysfs_*.c)."""

from __future__ import annotations

BRIDGE = {  # field of model.links.Bridge: file in LINK/bridge/
    "hello_time": "hello_time",
    "max_age": "max_age",
    "ageing_time": "ageing_time",
    "priority": "priority",
    "vlan_filtering": "vlan_filtering",
    "vlan_default_pvid": "default_pvid",
    "mcast_snooping": "multicast_snooping",
    "mcast_querier": "multicast_querier",
    "group_fwd_mask": "group_fwd_mask",
}

PORT = {  # field of model.links.BridgePort: file in LINK/brport/
    "priority": "priority",
    "cost": "path_cost",
    "hairpin": "hairpin_mode",
    "guard": "bpdu_guard",
    "root_block": "root_block",
    "fastleave": "multicast_fast_leave",
    "learning": "learning",
    "flood": "unicast_flood",
    "mcast_flood": "multicast_flood",
    "bcast_flood": "broadcast_flood",
    "mcast_to_unicast": "multicast_to_unicast",
    "neigh_suppress": "neigh_suppress",
    "isolated": "isolated",
    "multicast_router": "multicast_router",
    "group_fwd_mask": "group_fwd_mask",
    "proxy_arp": "proxyarp",
}

BRIDGE_FIELD = {file: name for name, file in BRIDGE.items()} | {
    "forward_delay": "forward_delay",
    "stp_state": "stp_state",
}
PORT_FIELD = {file: name for name, file in PORT.items()}
