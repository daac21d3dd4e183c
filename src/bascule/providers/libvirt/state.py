"""What one libvirt keeps, as a value: its domains and networks as libvirt writes them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct, field

from bascule.model.domain import DomainText, NetworkText

if TYPE_CHECKING:
    from bascule.model.domain import Domain, LibvirtNetwork


UNKNOWN = "<unknown/>"  # in place of a document that version 0.1.0 made and did not keep


class LibvirtState(Struct, frozen=True, kw_only=True, dict=True):
    """Domains and networks by name. ``uri`` is the connection; ``accel`` what a domain defined now would run on."""

    uri: str
    domains: Mapping[str, DomainText] = field(default_factory=dict)
    networks: Mapping[str, NetworkText] = field(default_factory=dict)
    accel: str = "kvm"

    @cached_property
    def seen_networks(self) -> tuple[LibvirtNetwork, ...]:
        """The networks, parsed."""
        from bascule.providers.libvirt.parse import network

        return tuple(network(text) for text in self.networks.values())

    @cached_property
    def seen_domains(self) -> tuple[Domain, ...]:
        """The domains, parsed, each NIC with the bridge behind its network."""
        from bascule.providers.libvirt.parse import domain

        bridges = {one.name: one.bridge for one in self.seen_networks}
        return tuple(domain(text, bridges) for text in self.domains.values())
