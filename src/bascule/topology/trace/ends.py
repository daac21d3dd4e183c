"""Who stands on the wires of a host."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from bascule.topology.trace.network import HostNetwork, WireEnd


class Owner(Struct, frozen=True):
    """Who has an address on a segment: the port that leads there (empty: the host itself) and the MAC."""

    port: str
    mac: int
    end: WireEnd | None = None


class Ends:
    """Who stands on the wires of a host, by address and by port."""

    def __init__(self, network: HostNetwork, ends: Sequence[WireEnd]) -> None:
        self.network = network
        self.ends = tuple(ends)
        self._by_address: dict[tuple[int, int], list[WireEnd]] = {}
        for end in ends:
            for number, version, _ in (*end.addresses, *end.router):
                self._by_address.setdefault((version, number), []).append(end)

    def at(self, link: str, version: int, number: int) -> WireEnd | None:
        """Who has an address behind a link: on a bridge behind any of its ports."""
        for end in self._by_address.get((version, number), ()):
            if link in {end.port, self.network.bridge_of(end.port)}:
                return end
        return None
