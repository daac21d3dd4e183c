"""netplan: YAML below /etc/netplan for networkd (netplan-yaml.md)."""

from __future__ import annotations

from types import MappingProxyType

from bascule.persist.dialect import Dialect
from bascule.persist.formats import LINK_FILES
from bascule.persist.formats.neighbours import PERMANENT, PROXY_NDP

FOLDER = "etc/netplan"
BOND_WORDS = {  # netplan's parameter: field
    "mode": "mode",
    "mii-monitor-interval": "miimon",
    "up-delay": "updelay",
    "down-delay": "downdelay",
    "transmit-hash-policy": "xmit_hash_policy",
    "lacp-rate": "ad_lacp_rate",
    "primary": "primary",
    "min-links": "min_links",
    "ad-select": "ad_select",
    "primary-reselect-policy": "primary_reselect",
    "arp-interval": "arp_interval",
    "arp-ip-targets": "arp_ip_target",
    "arp-validate": "arp_validate",
    "arp-all-targets": "arp_all_targets",
    "fail-over-mac-policy": "fail_over_mac",
    "gratuitous-arp": "num_peer_notif",
    "resend-igmp": "resend_igmp",
    "all-slaves-active": "all_slaves_active",
    "packets-per-slave": "packets_per_slave",
    "learn-packet-interval": "lp_interval",
}
_UNITS = "etc/systemd/network"
# a drop-in for each unit by which netplan speaks with Open vSwitch, netplan-ovs-NAME (systemd.unit(5))
SWITCH_UNITS = "etc/systemd/system/netplan-ovs-.service.d/50-bascule.conf"

DIALECT = Dialect(
    name="netplan",
    reads=(
        f"{FOLDER}/*.yaml",
        f"{_UNITS}/*-bascule-unmanaged.network",
        f"{_UNITS}/10-netplan-*.netdev.d/*.conf",
        f"{_UNITS}/10-netplan-*.network.d/*.conf",
        SWITCH_UNITS,
        *LINK_FILES,
    ),
    own=(f"{FOLDER}/*.yaml",),
    below=MappingProxyType({f"{folder}/netplan/": f"{FOLDER}/" for folder in ("run", "usr/lib", "lib")}),
    shadows=("run/netplan/",),
    files=f"`/{FOLDER}/60-bascule.yaml`, drop-ins for networkd",
    readers="netplan with networkd",
    notes="""\
What it does not support (multicast snooping, VLAN filtering, most port options) stands in drop-ins beside
  the units that it generates, `/etc/systemd/network/10-netplan-NAME.netdev.d/`. They need the renderer networkd.
  netplan's units for Open vSwitch wait for its database alone and end after 10 s; a drop-in lets them wait for
  ovs-vswitchd, whose answer `ovs-vsctl` waits for.""",
    last_leads=True,
    openvswitch=("VLANs", "STP", "datapath", "mirrors", "patch ports"),
    neighbours=frozenset({PERMANENT, PROXY_NDP}),
)
