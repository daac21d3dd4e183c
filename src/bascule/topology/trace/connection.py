"""What connection tracking keeps of an exchange, from its first packet on."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bascule.topology.trace.rules.tests import Value


class AddressPort(Struct, frozen=True):
    """An address with a port, or with None where there is none."""

    address: int
    port: Any = None


class Connection(Struct):
    """What connection tracking knows of the exchange: as it was sent, and what NAT made of either end."""

    source: AddressPort | None = None
    target: AddressPort | None = None
    new_source: AddressPort | None = None
    new_target: AddressPort | None = None
    mark: Value = 0
    tracked: bool = False
    is_reply: bool = False

    def answers(self, source: AddressPort, target: AddressPort) -> bool:
        """Whether a packet is of the other direction."""
        ours, theirs = self.new_source or self.source, self.new_target or self.target
        return self.tracked and source == theirs and target == ours

    def concerns(self, source: int, target: int) -> bool:
        """Whether an error of ICMP from one address to another is about it (nf_conntrack_inet_error())."""
        ours, theirs = self.new_source or self.source, self.new_target or self.target
        return self.tracked and None not in {ours, theirs} and (source, target) == (theirs.address, ours.address)  # type: ignore[union-attr]  # neither is None
