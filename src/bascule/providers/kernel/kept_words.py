"""What somebody else made of a link or a rule, in words, where a way back leaves it or overwrites it."""

from __future__ import annotations

from bascule.model.links import BridgePort
from bascule.model.state import PortVlans, RoutingRule
from bascule.providers.kernel.diff.vlans import vlan_words

FACETS = {
    "arp": "ARP",
    "mac": "MAC",
    "mtu": "MTU",
    "master": "bridge",
    "vlans": "VLANs",
    "addrgenmode": "IPv6 addresses",
}


def facet_words(facet: str) -> str:
    """What people call a facet of a link."""
    return FACETS.get(facet, facet.replace("_", " "))


def value_words(value: object, instead_of: object = None) -> str:
    """A value as iproute2 writes it; of a port's options those that differ from what it is ``instead_of``."""
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "on" if value else "off"
        case BridgePort():
            other = instead_of if isinstance(instead_of, BridgePort) else None
            return " ".join(value.arguments(other)) or "the kernel's own"
        case PortVlans():
            return vlan_words(value)
        case RoutingRule():
            return f"{value.name} {' '.join(value.words)}"
        case tuple():
            return ", ".join(map(value_words, value))
    return str(value)
