"""What who reads the files makes otherwise than the site file says, though the dialect has the words."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import Ipv6
from bascule.persist.config import NetworkConfig
from bascule.persist.formats.vlans import unwanted_vlan


def reader_notes(config: NetworkConfig, dialect: str) -> Iterator[tuple[str, str]]:
    """A link and a sentence for each."""
    for link in config.links.values():
        bridge = config.links.get(link.master) if link.master else None
        default = unwanted_vlan(link, bridge)
        if default and dialect in {"networkd", "netplan", "keyfile"}:
            manager = "NetworkManager" if dialect == "keyfile" else "systemd-networkd before 256"
            yield link.name, f"VLAN {default} leaves it untagged as well after a restart: {manager} takes no VLAN away"
        if dialect == "ifupdown" and link.ipv6 is Ipv6.DHCP and link.split()[0] and not link.dhcp4:
            yield link.name, "ifupdown2 asks no DHCPv6 server beside a written IPv4 address; ifupdown does"
