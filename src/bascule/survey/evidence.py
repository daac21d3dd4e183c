"""What was heard on one NIC, counted. Pure: frames go in, a frozen summary comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.frames.decoders import dissect
from bascule.frames.envelope import Tags
from bascule.frames.findings import Finding

RAW_LIMIT = 20_000  # distinct frames that wait for being decoded; control frames repeat, so each is decoded once
FACT_LIMIT = 50_000  # distinct facts of one NIC; a flood of made-up addresses must not eat the memory
UNTAGGED: Tags = ()

F = TypeVar("F", bound=Finding)


class CountedFinding(Struct, frozen=True):
    """A finding, who sent it (a MAC), and in how many frames."""

    finding: Finding
    src: str
    frames: int


def _empty() -> Mapping[Tags, tuple[CountedFinding, ...]]:
    return MappingProxyType({})


class NicTraffic(Struct, frozen=True, kw_only=True):
    """Everything that one NIC heard.

    ``facts`` are kept per tag: () is untagged, (30,) came with tag 30, (100, 30) with two; ``sizes`` says how many
    frames each brought. ``carrier`` is None where nobody knows (a capture file). ``raised`` is True for a NIC that was
    brought up to be listened on. ``notes`` say what disturbed the listening.
    """

    nic: str
    facts: Mapping[Tags, tuple[CountedFinding, ...]] = field(default_factory=_empty)
    sizes: Mapping[Tags, int] = field(default_factory=dict)
    frames: int = 0
    ignored: int = 0
    skips: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    carrier: bool | None = None
    driver: str = ""
    raised: bool = False
    own_macs: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def segments(self) -> tuple[Tags, ...]:
        """The tags that were heard, untagged first."""
        return tuple(sorted(self.facts))

    def of(self, kind: type[F], tags: Tags | None = None) -> Iterator[tuple[F, str, int]]:
        """Findings of one type with sender and number of frames, of one segment or of all."""
        for segment in self.segments if tags is None else (tags,):
            for fact in self.facts.get(segment, ()):
                if type(fact.finding) is kind:  # findings have no subclasses, and there are many
                    yield fact.finding, fact.src, fact.frames

    def without(self, macs: Collection[str]) -> NicTraffic:
        """The same, but without what these senders sent."""
        if not any(fact.src in macs for facts in self.facts.values() for fact in facts):
            return self
        kept = {tags: tuple(fact for fact in facts if fact.src not in macs) for tags, facts in self.facts.items()}
        return replace(self, facts=MappingProxyType(kept))


class Collector:
    """Counts frames as they come; ``finish`` makes the summary."""

    def __init__(self, nic: str) -> None:
        self.nic = nic
        self.frames = 0
        self._raw: dict[tuple[Tags, bytes], int] = {}
        self._facts: dict[tuple[Tags, str, Finding], int] = {}
        self._segments: Counter[Tags] = Counter()
        self._skips: Counter[str] = Counter()
        self._ignored = 0
        self._overflow = 0

    def add(self, data: bytes, tags: Tags = ()) -> None:
        """One frame and the tags that the kernel took off it."""
        self.frames += 1
        key = (tags, data)
        self._raw[key] = self._raw.get(key, 0) + 1
        if len(self._raw) >= RAW_LIMIT:
            self._digest()

    def _digest(self) -> None:
        facts = self._facts
        for (tags, data), frames in self._raw.items():
            decoder, src, at, findings, skip = dissect(data, tags)
            if skip:
                self._skips[skip] += frames
                continue
            self._segments[at] += frames  # any tagged frame, control or not, proves that its VLAN is on the wire
            if not decoder:
                self._ignored += frames
            is_used = True
            for finding in findings:
                key = (at, src, finding)
                before = facts.get(key)
                if before is not None:
                    facts[key] = before + frames
                elif len(facts) < FACT_LIMIT:
                    facts[key] = frames
                else:
                    is_used = False
            if not is_used:
                self._overflow += frames
        self._raw.clear()

    def finish(
        self,
        *,
        seconds: float = 0.0,
        carrier: bool | None = None,
        driver: str = "",
        raised: bool = False,
        own_macs: frozenset[str] = frozenset(),
        notes: tuple[str, ...] = (),
    ) -> NicTraffic:
        """The summary of all frames so far."""
        self._digest()
        segments: dict[Tags, list[CountedFinding]] = {tags: [] for tags in sorted(self._segments)}
        for (tags, src, finding), frames in self._facts.items():
            segments[tags].append(CountedFinding(finding, src, frames))
        if self._overflow:
            notes = (
                *notes,
                f"more than {FACT_LIMIT} different facts were heard; {self._overflow} frames were not used",
            )
        return NicTraffic(
            nic=self.nic,
            facts=MappingProxyType({tags: tuple(facts) for tags, facts in segments.items()}),
            sizes=MappingProxyType(dict(self._segments)),
            frames=self.frames - self._ignored,
            ignored=self._ignored,
            skips=MappingProxyType(dict(self._skips.most_common(100))),
            seconds=seconds,
            carrier=carrier,
            driver=driver,
            raised=raised,
            own_macs=own_macs,
            notes=notes,
        )
