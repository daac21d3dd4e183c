"""networkd's words for the options of links, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from bascule.model.dhcp.identity import parse_duid
from bascule.model.host_links import Ipv6Privacy, PolicyRule
from bascule.model.state import PortVlans
from bascule.model.values import parse_mac, parse_vid
from bascule.persist.formats.bonding import parse_bond_option
from bascule.persist.formats.builder import LinkDraft, option_setter, setter
from bascule.persist.formats.ini import Item, Section
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.values import (
    is_false,
    parse_bool,
    parse_flag,
    parse_mtu,
    parse_number,
    parse_tagging,
    parse_vids,
    up_to,
    words,
)

TUNING = words(  # of a [Route]: how packets go by it, not where
    """
    MTUBytes InitialCongestionWindow InitialAdvertisedReceiveWindow QuickAck FastOpenNoCookie TTLPropagate HopLimit
    TCPAdvertisedMaximumSegmentSize TCPRetransmissionTimeoutSec TCPCongestionControlAlgorithm IPv6Preference Protocol
    """
)
TIMES = {
    "forward_delay": "ForwardDelaySec",
    "hello_time": "HelloTimeSec",
    "max_age": "MaxAgeSec",
    "ageing_time": "AgeingTimeSec",
}
BOND = {
    "miimon": "MIIMonitorSec",
    "updelay": "UpDelaySec",
    "downdelay": "DownDelaySec",
    "xmit_hash_policy": "TransmitHashPolicy",
    "ad_lacp_rate": "LACPTransmitRate",
    "ad_select": "AdSelect",
    "min_links": "MinLinks",
    "primary_reselect": "PrimaryReselectPolicy",
    "arp_interval": "ARPIntervalSec",
    "arp_ip_target": "ARPIPTargets",
    "arp_validate": "ARPValidate",
    "arp_all_targets": "ARPAllTargets",
    "fail_over_mac": "FailOverMACPolicy",
    "num_peer_notif": "GratuitousARP",
    "resend_igmp": "ResendIGMP",
    "all_slaves_active": "AllSlavesActive",
    "packets_per_slave": "PacketsPerSlave",
    "lp_interval": "LearnPacketIntervalSec",
}
BOND_TIMES = frozenset({"miimon", "updelay", "downdelay", "arp_interval"})  # in milliseconds
PORT_FLAGS = {  # field of a port: key, and whether the key says the opposite
    "hairpin": ("HairPin", False),
    "guard": ("UseBPDU", True),
    "root_block": ("AllowPortToBeRoot", True),
    "fastleave": ("FastLeave", False),
    "learning": ("Learning", False),
    "flood": ("UnicastFlood", False),
    "mcast_flood": ("MulticastFlood", False),
    "mcast_to_unicast": ("MulticastToUnicast", False),
    "neigh_suppress": ("NeighborSuppression", False),
    "isolated": ("Isolated", False),
    "proxy_arp": ("ProxyARP", False),
}
FLAG_FIELD = {key: (name, inverse) for name, (key, inverse) in PORT_FLAGS.items()}

PRIVACY = {
    "no": Ipv6Privacy.OFF,
    "prefer-public": Ipv6Privacy.PREFER_PUBLIC,
    "yes": Ipv6Privacy.PREFER_TEMPORARY,
}

SILENT = words(
    "RequiredForOnline ConfigureWithoutCarrier KeepMaster IgnoreCarrierLoss Description KeepConfiguration LLDP EmitLLDP"
)

DHCP4 = frozenset({"DHCPv4", "DHCP"})  # the second is what it was called at first
DUID_TYPES = {"link-layer-time": 1, "vendor": 2, "link-layer": 3, "uuid": 4}  # RFC 8415 section 11

_SPAN = re.compile(r"([0-9]+\.?[0-9]*|(?<![0-9.])\.[0-9]+)\s*([a-zµμ]*)")
_SPAN_MS = {  # the units that systemd takes (src/basic/time-util.c), those of days and more left aside
    **dict.fromkeys(("us", "usec", "µs", "μs"), 0.001),
    **dict.fromkeys(("ms", "msec"), 1.0),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1000.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600_000.0),
}


def span_ms(text: str) -> float:
    """A time span of systemd.time(7) in milliseconds; a bare number counts seconds."""
    found = _SPAN.findall(text)
    is_span = found and not re.sub(r"\s", "", _SPAN.sub("", text)) and len(text) <= 40
    if not is_span or any(unit not in _SPAN_MS for _, unit in found):
        raise ValueError(f"'{text}' is not a span of time")
    return sum(float(number) * _SPAN_MS[unit] for number, unit in found)


def parse_networkd_privacy(text: str) -> Ipv6Privacy | None:
    """IPv6PrivacyExtensions=, of which ``kernel`` says nothing."""
    if text.lower() in PRIVACY or text.lower() == "kernel":
        return PRIVACY.get(text.lower())
    return Ipv6Privacy.PREFER_TEMPORARY if parse_bool(text) else Ipv6Privacy.OFF


def span_ticks(text: str) -> int:
    """A time span in the kernel's ticks."""
    return parse_number(str(round(span_ms(text) / 10)))


def parse_bridge_vlan(section: Section) -> list[PortVlans]:
    """A [BridgeVLAN]: ranges, the untagged ones among them, and the PVID (``no`` from systemd 256 on)."""
    ranges: dict[tuple[int, int], bool] = {}
    pvid = 0
    for item in section.items:
        if item.key in {"VLAN", "EgressUntagged"}:
            span = parse_vids(item.value)
            ranges[span] = ranges.get(span, False) or item.key == "EgressUntagged"
        elif item.key == "PVID":
            pvid = 0 if is_false(item.value) else int(parse_vid(item.value))
        else:
            raise ValueError(f"'{item.key}' of a VLAN is not supported")
    if pvid and not any(first == pvid for first, _ in ranges):
        ranges[pvid, pvid] = False
    return [
        PortVlans(first=first, last=last, pvid=first == pvid, untagged=untagged)
        for (first, last), untagged in ranges.items()
    ]


def drops_untagged(section: Section) -> bool:
    """Whether a [BridgeVLAN] takes the PVID away, as systemd can from 256 on."""
    return is_false(section.get("PVID"))


def put_client_id(draft: LinkDraft, section: Section, item: Item) -> None:
    """A word of [DHCPv4] on who the link is to its server. Raises ValueError for every other one."""
    said = draft.client_id
    if item.key == "IAID":
        draft.client_id = replace(said, iaid=parse_number(item.value))
    elif item.key == "ClientIdentifier" and item.value in {"mac", "duid"}:
        draft.client_id = replace(said, by_mac=item.value == "mac")
    elif item.key in {"DUIDType", "DUIDRawData"}:
        draft.client_id = replace(said, duid=_duid(section.get("DUIDType"), section.get("DUIDRawData")))
    else:
        raise ValueError("not taken")


def _duid(kind: str, raw: str) -> str:
    if not kind or not raw:
        raise ValueError("a DUID is taken only with both DUIDType= and DUIDRawData=")
    number = DUID_TYPES[kind] if kind in DUID_TYPES else parse_number(kind, 0, 65535)
    return parse_duid(f"{number:04x}{raw}")


def parse_bond_value(field: str, texts: Sequence[str]) -> Any:
    """An option of a bond, whose times are spans of systemd.time(7), a number alone those of the driver's own unit."""
    text = " ".join(texts)
    if field == "lp_interval" or (field in BOND_TIMES and not text.isdigit()):
        text = str(round(span_ms(text) / (1 if field in BOND_TIMES else 1000)))
    return parse_bond_option(field, text)[1]


def _bond(field: str) -> Callable[[LinkDraft, str], None]:
    def put(draft: LinkDraft, text: str) -> None:
        draft.options[field] = parse_bond_value(field, [f"{text}s" if text.isdigit() and field in BOND_TIMES else text])

    return put


def _pvid(text: str) -> int:
    return 0 if text == "none" else parse_number(text, 0, 4094)


NETDEV: dict[tuple[str, str], Callable[[LinkDraft, str], None]] = {
    ("NetDev", "MACAddress"): setter("mac", lambda text: None if text == "none" else parse_mac(text)),
    ("NetDev", "MTUBytes"): setter("mtu", parse_mtu),
    ("Bridge", "STP"): option_setter("stp_state", parse_flag),
    ("Bridge", "Priority"): option_setter("priority", up_to(65535)),
    ("Bridge", "VLANFiltering"): option_setter("vlan_filtering", parse_flag),
    ("Bridge", "DefaultPVID"): option_setter("vlan_default_pvid", _pvid),
    ("Bridge", "MulticastSnooping"): option_setter("mcast_snooping", parse_flag),
    ("Bridge", "MulticastQuerier"): option_setter("mcast_querier", parse_flag),
    ("Bridge", "GroupForwardMask"): option_setter("group_fwd_mask", up_to(65535)),
    ("VLAN", "Id"): option_setter("id", parse_vid),
    ("VLAN", "Protocol"): option_setter("protocol", parse_tagging),
    ("Bond", "Mode"): option_setter("mode", lambda text: parse_bond_option("mode", text)[1]),
    **{("Bridge", key): option_setter(field, span_ticks) for field, key in TIMES.items()},
    **{("Bond", key): _bond(field) for field, key in BOND.items()},
}


_RULE = {  # key of [RoutingPolicyRule]: the word of ip-rule(8)
    "From": "from",
    "To": "to",
    "IncomingInterface": "iif",
    "FirewallMark": "fwmark",
    "OutgoingInterface": "oif",
    "IPProtocol": "ipproto",
    "SourcePort": "sport",
    "DestinationPort": "dport",
    "User": "uidrange",
    "SuppressPrefixLength": "suppress_prefixlength",
    "Table": "table",
    "Priority": "priority",
}
RULE_KEYS = {word: key for key, word in _RULE.items()}


def parse_rule(section: Section) -> PolicyRule:
    """A [RoutingPolicyRule]."""
    words: list[str] = []
    family = section.get("Family").lower()
    for item in section.items:
        if item.key not in _RULE and item.key not in {"Family", "InvertRule", "Type"}:
            raise ValueError(f"'{item.key}' of a rule is not supported")
        words += ["not"] if item.key == "InvertRule" and parse_bool(item.value) else []
        words += [_RULE[item.key], item.value] if item.key in _RULE else []
        words += [item.value] if item.key == "Type" and item.value != "table" else []
    if family == "both":
        raise ValueError("a rule for both address families: a site file has one for each")
    return parse_rule_words(words, ipv6=family == "ipv6")
