"""A bond: several NICs as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bascule.model.links.options import LinkOptions

LOSES_GUESTS = {  # under a bridge, by mode, from Documentation/networking/bonding.rst of the kernel
    "balance-alb": "it sends under its members' own MACs, and loses the guests'",
    "balance-tlb": "the switch learns a guest's MAC on two ports alternately",
    "balance-rr": "the switch learns a guest's MAC on two ports alternately",
}

WORDS: Mapping[str, tuple[str, ...]] = {  # of the driver, in the order of their numbers (bond_options.c)
    "mode": ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
    "xmit_hash_policy": ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"),
    "ad_lacp_rate": ("slow", "fast"),
    "ad_select": ("stable", "bandwidth", "count"),
    "primary_reselect": ("always", "better", "failure"),
    "arp_validate": ("none", "active", "backup", "all", "filter", "filter_active", "filter_backup"),
    "arp_all_targets": ("any", "all"),
    "fail_over_mac": ("none", "active", "follow"),
}


class Bond(LinkOptions, frozen=True, kw_only=True):
    """The mode, how members are watched and which of them carries what; times but ``lp_interval`` (s) are in ms."""

    kind: ClassVar[str] = "bond"
    noun: ClassVar[str] = "a bond"
    said: ClassVar[str] = "linux"  # the word for who makes it in a site file
    alone: ClassVar[tuple[str, ...]] = ()  # modes that the kernel does not have
    # only while it is down, the last while it has no members
    fixed: ClassVar[frozenset[str]] = frozenset({"mode", "ad_lacp_rate", "ad_select", "fail_over_mac"})
    argument_names: ClassVar[Mapping[str, str]] = {"ad_lacp_rate": "lacp_rate", "num_peer_notif": "num_grat_arp"}

    mode: str = "balance-rr"
    miimon: int = 0
    updelay: int = 0
    downdelay: int = 0
    xmit_hash_policy: str = "layer2"
    ad_lacp_rate: str = "slow"
    ad_select: str = "stable"
    min_links: int = 0
    primary: str | None = None  # the kernel tells of none that is no member
    primary_reselect: str = "always"
    arp_interval: int = 0
    arp_ip_target: tuple[str, ...] = ()
    arp_validate: str = "none"
    arp_all_targets: str = "any"
    fail_over_mac: str = "none"
    num_peer_notif: int = 1
    resend_igmp: int = 1
    all_slaves_active: int = 0
    packets_per_slave: int = 1
    lp_interval: int = 1


KEYS = {  # of a site file: the kernel's name
    "miimon": "miimon",
    "updelay": "updelay",
    "downdelay": "downdelay",
    "hash_policy": "xmit_hash_policy",
    "lacp_rate": "ad_lacp_rate",
    "ad_select": "ad_select",
    "min_links": "min_links",
    "primary": "primary",
    "num_grat_arp": "num_peer_notif",
    **{
        name: name
        for name in (
            "primary_reselect",
            "arp_interval",
            "arp_ip_target",
            "arp_validate",
            "arp_all_targets",
            "fail_over_mac",
            "resend_igmp",
            "all_slaves_active",
            "packets_per_slave",
            "lp_interval",
        )
    },
}
