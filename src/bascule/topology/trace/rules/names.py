"""Names of numbers, as nft and iptables write them."""

from __future__ import annotations

CT_STATE = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
CT_STATUS = {
    "expected": 1,
    "seen-reply": 2,
    "assured": 4,
    "confirmed": 8,
    "snat": 16,
    "dnat": 32,
    "dying": 512,
}
TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}
PROTOCOLS = {  # /etc/protocols, by the names that nft and iptables print
    "ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41,
    "ipv6-route": 43, "ipv6-frag": 44, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "ospf": 89, "ipip": 94, "pim": 103, "comp": 108, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
    "sctp": 132, "mobility-header": 135, "udplite": 136, "hip": 139, "shim6": 140,
}  # fmt: skip
ETHER_TYPES = {
    "ip": 0x0800, "ipv4": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "ipv6": 0x86DD, "vlan": 0x8100, "8021q": 0x8100,
    "8021ad": 0x88A8,
}  # fmt: skip
ICMP_TYPES = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18, "pong": 0, "ping": 8,
}  # fmt: skip
ICMP6_TYPES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
    # as iptables and ebtables write them
    "router-solicitation": 133, "router-advertisement": 134, "neighbour-solicitation": 135,
    "neighbour-advertisement": 136, "redirect": 137,
}  # fmt: skip
ICMP_CODES = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
ICMP6_CODES = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
IGMP_TYPES = {
    "membership-query": 17, "membership-report-v1": 18, "membership-report-v2": 22, "leave-group": 23,
    "membership-report-v3": 34,
}  # fmt: skip
ARP_OPERATIONS = {
    "request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10,
}  # fmt: skip
PACKET_TYPES = {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3, "otherhost": 3}
VERSIONS = {"ipv4": 2, "ipv6": 10}  # NFPROTO_*
DIRECTIONS = {"original": 0, "reply": 1}

BY_KEY = {
    "ct state": CT_STATE,
    "ct status": CT_STATUS,
    "ct direction": DIRECTIONS,
    "tcp flags": TCP_FLAGS,
    "meta l4proto": PROTOCOLS,
    "ip protocol": PROTOCOLS,
    "ip6 nexthdr": PROTOCOLS,
    "ct protocol": PROTOCOLS,
    "ether type": ETHER_TYPES,
    "vlan type": ETHER_TYPES,
    "arp ptype": ETHER_TYPES,
    "meta protocol": ETHER_TYPES,
    "icmp type": ICMP_TYPES,
    "icmp code": ICMP_CODES,
    "icmpv6 type": ICMP6_TYPES,
    "icmpv6 code": ICMP6_CODES,
    "igmp type": IGMP_TYPES,
    "arp operation": ARP_OPERATIONS,
    "meta pkttype": PACKET_TYPES,
    "meta nfproto": VERSIONS,
    "ct l3proto": VERSIONS,
}
# fields whose values are names, not numbers
NAMED = frozenset(
    {"meta iifname", "meta oifname", "meta iif", "meta oif", "meta ibrname", "meta obrname", "meta iifkind"}
    | {"meta oifkind", "meta sdifname", "meta sdif"}
)
FLAGS = frozenset({"ct state", "ct status", "tcp flags"})
