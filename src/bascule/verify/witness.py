"""What was seen, as data for machines and a sentence for people."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bascule.errors import Place
from bascule.model.values import IpAddress

Direction = Literal["in", "out"]


class Hop(Struct, frozen=True):
    """A link that a frame passed: ``node`` is the endpoint, host or network that the link belongs to.

    ``sender`` and ``receiver`` are the addresses in its packet there, ``port`` the one that it goes to: a router on
    the way may have put others in.
    """

    node: str
    link: str
    direction: Direction
    bridge: str = ""  # of which the link is a port
    sender: IpAddress | None = None
    receiver: IpAddress | None = None
    port: int = 0


class Witness(Struct, frozen=True, kw_only=True):
    """Why a verdict is believed.

    ``hops`` are the links that the question's frame passed, in order; ``control`` is the question that passed where
    it should (or the words why none did); ``because`` names what in the site file opened the way, at ``place``.
    """

    sentence: str
    hops: tuple[Hop, ...] = ()
    reply: str = ""
    seen_as: str = ""
    control: str = ""
    because: str = ""
    place: Place | None = None

    @property
    def way(self) -> tuple[tuple[str, str], ...]:
        """The hops as (node, link), for drawing."""
        return tuple((hop.node, hop.link) for hop in self.hops)

    def as_json(self) -> dict[str, object]:
        """The witness for ``--json``; what is empty is left out."""
        data: dict[str, object] = {
            "sentence": self.sentence,
            "hops": [{"node": hop.node, "link": hop.link, "direction": hop.direction} for hop in self.hops],
        }
        for name in ("reply", "seen_as", "control", "because"):
            if getattr(self, name):
                data[name] = getattr(self, name)
        if self.place is not None:
            data |= {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return data
