"""What the checks are called where people read them."""

from __future__ import annotations

WORDS = {  # the ids of checks as people read them
    "bridge-up": "up",
    "nic-up": "up",
    "no-address": "no address",
    "address": "address",
    "uplink-on-bridge": "uplink",
    "tap-on-bridge": "tap",
    "running": "running",
    "own-route": "the host's own way",
    "gateway": "gateway",
    "foreign-mac": "MACs on the wire",
    "firewall": "firewall",
    "bridge-mac": "MAC of its NIC",
    "stp": "spanning tree",
    "as-declared": "as declared",
    "other-ports": "other ports",
    "mac-on-own-port": "MAC on its own port",
    "arp-from-host": "ARP from the host",
    "in-broadcast-domain": "server (1): on the wire",
    "like-any-nic": "server (2): like any NIC",
    "unrestricted-within": "server (3): unrestricted",
    "rules": "rules",
    "forwarding": "routing",
    "name-server": "name server",
    "names": "names",
    "lease": "lease",
    "traffic-within": "traffic within",
    "nothing-left-to-do": "nothing left to do",
    "way-back": "the way back",
}
