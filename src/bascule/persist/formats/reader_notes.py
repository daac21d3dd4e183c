"""What who reads the files makes otherwise than the site file says, though the dialect has the words."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import Ipv6
from bascule.model.links import Bridge
from bascule.persist.config import NetworkConfig
from bascule.persist.formats.vlans import ADDS_VLANS_ALONE, without_default_vlan


def reader_notes(config: NetworkConfig, dialect: str) -> Iterator[tuple[str, str]]:
    """A link and a sentence for each."""
    for name, manager in _without_default(config, dialect):
        said = "is written without a default VLAN, and a port that no file names is in none after a restart"
        yield name, f"{said}: {manager} would leave it on every port"
    for link in config.links.values():
        if dialect == "ifupdown" and link.ipv6 is Ipv6.DHCP and link.split()[0] and not link.dhcp4:
            yield link.name, "ifupdown2 asks no DHCPv6 server beside a written IPv4 address; ifupdown does"


def _without_default(config: NetworkConfig, dialect: str) -> Iterator[tuple[str, str]]:
    """Bridges that have a default PVID on the host and none in the files, and on whose account."""
    manager = ADDS_VLANS_ALONE.get(dialect)
    written = without_default_vlan(config) if manager else config
    for name, link in written.links.items():
        if manager and isinstance(link.options, Bridge) and not link.options.vlan_default_pvid:
            before = config.links[name].options
            if isinstance(before, Bridge) and before.vlan_default_pvid:
                yield name, manager
