"""Expectations with what was observed of them, in words and as ways through a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.draw.scene.elements import Path, Scene
from bascule.draw.scene.highlight import Highlight, witnessed_path
from bascule.model.site_place import NOWHERE

if TYPE_CHECKING:
    from bascule.verify.expectations import Outcome

REACHED = {"reach": True, "no-reach": False}


class AnsweredExpectation(Struct, frozen=True, kw_only=True):
    """An expectation in words, with its witness; ``hops`` are the (node, link) places where the frame was seen."""

    source: str
    target: str
    service: str
    wanted: str  # reach, no-reach
    observed: str
    ok: bool | None
    sentence: str
    seen_as: str = ""
    control: str = ""
    because: str = ""
    place: str = ""
    hops: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The question in short."""
        return f"{self.source} → {self.target} {self.service}"

    @property
    def highlight(self) -> Highlight:
        """The way of its frame, for a picture."""
        reached = REACHED.get(self.observed)
        return Highlight(
            source=self.source, target=self.target, hops=self.hops, reached=reached, sentence=self.sentence
        )


def answers(outcomes: Iterable[Outcome]) -> tuple[AnsweredExpectation, ...]:
    """Expectations with what was observed, in words."""
    return tuple(
        AnsweredExpectation(
            source=one.expectation.source,
            target=one.expectation.target,
            service=str(one.expectation.service),
            wanted=str(one.expectation.verdict),
            seen_as=one.expectation.seen_as or "",
            observed=one.observed,
            ok=one.ok,
            sentence=one.witness.sentence,
            control=one.witness.control,
            because=one.witness.because,
            place="" if one.expectation.place == NOWHERE else str(one.expectation.place),
            hops=one.witness.way,
        )
        for one in outcomes
    )


def ways_of(scene: Scene, answered: Sequence[AnsweredExpectation]) -> dict[str, Path]:
    """The way of each question's frame, by key; those that nobody asked or saw have none."""
    return {f"w{place}": witnessed_path(scene, one.highlight) for place, one in enumerate(answered) if one.hops}


def as_expected(answered: Sequence[AnsweredExpectation]) -> dict[str, bool | None]:
    """Whether each question came out as it should, by the key of its way."""
    return {f"w{place}": one.ok for place, one in enumerate(answered)}


def chain(scene: Scene, path: Path) -> list[str]:
    """The names of the elements on a way, in order."""
    return [scene.nodes[key].label for key in path.nodes]
