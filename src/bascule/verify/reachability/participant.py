"""Somebody who may ask or be asked, and the host that is asked about them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from bascule.topology.trace.network import HostNetwork, WireEnd


class Participant(Struct, frozen=True, kw_only=True):
    """Somebody who may ask or be asked. ``ends`` are its NICs on this host's wires; the host itself has none.

    ``addresses`` are those that it can be asked at, by IP version and number. ``note`` says what was assumed of it.
    """

    name: str
    ends: tuple[WireEnd, ...] = ()
    addresses: tuple[tuple[int, int], ...] = ()
    is_host: bool = False
    note: str = ""
    further: frozenset[int] = frozenset()  # versions of addresses that nobody knows, or that are out of sight here
    is_beyond: bool = False  # only on networks that this host has no link on: what stands between is not known
    elsewhere: str = ""  # the other host of the file that it runs on, whose part of the way is not this host's to see

    @property
    def is_outside(self) -> bool:
        """Whether it is no guest of the host, nor the host itself."""
        return bool(self.ends) and all(end.outside for end in self.ends)

    @property
    def versions(self) -> frozenset[int]:
        """The IP versions that it has an address of, known or not."""
        return self.further | {version for version, _ in self.addresses}

    def may_meet(self, other: Participant) -> bool:
        """Whether they may meet at an address that is not known, or not in sight: what is lost elsewhere is no no."""
        return bool(self.further & other.versions or other.further & self.versions)


class HostModel(Struct, frozen=True, kw_only=True):
    """A host that is asked about: what a packet finds there, and who is known."""

    network: HostNetwork
    known: Mapping[str, Participant]
    here: str
    where: str
    declared: Mapping[str, str] = {}

    @property
    def has_pairs(self) -> bool:
        """Whether two of those who are known have an address: else there is nobody to ask for."""
        return sum(1 for party in self.known.values() if party.addresses) > 1
