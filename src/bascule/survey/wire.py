"""A wire: what two or more NICs hang on. Apart from how it is found, so that a plan does not import the decoders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

from bascule.survey.frame import Tags
from bascule.survey.words import tag_words

Kind = Literal["plain", "trunk", "LAG"]


class Foot(NamedTuple):
    """One segment of one NIC: a place where a broadcast domain reaches the host."""

    nic: str
    tags: Tags

    def __str__(self) -> str:
        return self.nic if not self.tags else f"{self.nic} ({tag_words(self.tags)})"


class Wire(Struct, frozen=True, kw_only=True):
    """Two or more NICs on one wire, and the reasons. ``domains`` are the broadcast domains that they share.

    ``proven`` are those of them, or parts of them, for which more speaks than a spanning tree without a VLAN: two quiet
    access ports of one switch look alike to that, so what is heard on the one says nothing about the other.
    """

    nics: tuple[str, ...]
    kind: Kind
    domains: tuple[frozenset[Foot], ...]
    reasons: tuple[str, ...]
    proven: tuple[frozenset[Foot], ...] = ()

    @property
    def segments(self) -> tuple[Tags, ...]:
        """The tags under which the domains arrive, untagged first."""
        return tuple(sorted({foot.tags for domain in self.domains for foot in domain}))

    @property
    def presumed(self) -> bool:
        """Whether some of its NICs are on it only because nothing speaks against it."""
        return self.kind != "LAG" and not any({foot.nic for foot in domain} >= set(self.nics) for domain in self.proven)


def join(groups: Iterable[frozenset[Foot]]) -> list[frozenset[Foot]]:
    """Broadcast domains from groups of feet: two that share a foot are one."""
    home: dict[Foot, set[Foot]] = {}
    for group in groups:
        merged = max((home[foot] for foot in group if foot in home), key=len, default=set())
        for foot in group:
            if foot not in merged:
                more = home.get(foot, {foot})
                merged |= more
                home.update(dict.fromkeys(more, merged))
    return list({id(domain): frozenset(domain) for domain in home.values()}.values())
