"""What is written down of one packet: its fields as they change, its stations, what stands in its way."""

from __future__ import annotations

from typing import Any

from bascule.topology.trace.answer import UNKNOWN, Blocker, Certainty, Code, Stage
from bascule.topology.trace.packet import Connection, version_of
from bascule.topology.trace.routing import RouteTables
from bascule.topology.trace.wire_ends import WireEnds


class PacketRecord:
    """One packet: what it is now, and what is written down of its way so far."""

    def __init__(self, ends: WireEnds, fields: dict[str, Any], connection: Connection) -> None:
        self.ends, self.network = ends, ends.network
        self.fields = fields
        self.connection = connection
        self.stages, self.unsure = list[Stage](), list[str]()
        self.learned: list[tuple[str, int, str]] = []
        self.piece = 0  # the largest fragment that it was cut into, in bytes; 0 where it was not
        self.in_pieces = False  # whether chains see the fragments, of which the first one alone has ports
        self.whole = False  # whether nobody may cut it (DF)
        self.routed_on = False  # whether the host hands it on for another
        self.routed, self.routed_mark = False, self.fields.get("meta mark", 0)  # by a hook, before its time or anew

    @property
    def version(self) -> int:
        """4 or 6; 0 of a frame that is no IP."""
        return version_of(self.fields)

    def fib(self, version: int) -> RouteTables:
        """The host's routes of an IP version."""
        kept: dict[int, RouteTables] = self.network.__dict__.setdefault("_fibs", {})
        if version not in kept:
            kept[version] = RouteTables(self.network.state, version)
        return kept[version]

    @property
    def result(self) -> Certainty:
        """What stands in the packet's way, in a word."""
        blockers = [one for stage in self.stages for one in stage.blockers]
        certain = [one for one in blockers if one.certain]
        if any(one.code not in UNKNOWN for one in certain):
            return Certainty.PERHAPS if self.unsure else Certainty.NO
        if certain:
            return Certainty.UNKNOWN
        return Certainty.PERHAPS if blockers or self.unsure else Certainty.YES

    # ---- what is written down

    def note(self, name: str, words: str = "", *, where: str = "", verdict: str = "ok") -> None:
        """A station without rules."""
        self.stages.append(Stage(name=name, words=words, where=where, verdict=verdict))

    def stop(self, code: Code, subject: str, text: str, *, name: str, where: str = "", certain: bool = True) -> None:
        """Something that is no rule stands in the way."""
        why = (Blocker(code=code, subject=subject, text=text, certain=certain),)
        verdict = "unknown" if code in UNKNOWN else "no" if certain else "perhaps"
        self.stages.append(Stage(name=name, where=where, verdict=verdict, words=text, blockers=why))
