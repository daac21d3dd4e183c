"""A wire: what two or more NICs hang on. Apart from how it is found, so that a plan does not import the decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from bascule.survey.frame import Tags
from bascule.survey.words import tag_words

Kind = Literal["plain", "trunk", "LAG"]


class Foot(NamedTuple):
    """One segment of one NIC: a place where a broadcast domain reaches the host."""

    nic: str
    tags: Tags

    def __str__(self) -> str:
        return self.nic if not self.tags else f"{self.nic} ({tag_words(self.tags)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Two or more NICs on one wire, and the reasons. ``domains`` are the broadcast domains that they share."""

    nics: tuple[str, ...]
    kind: Kind
    domains: tuple[frozenset[Foot], ...]
    reasons: tuple[str, ...]

    @property
    def segments(self) -> tuple[Tags, ...]:
        """The tags under which the domains arrive, untagged first."""
        return tuple(sorted({foot.tags for domain in self.domains for foot in domain}))
