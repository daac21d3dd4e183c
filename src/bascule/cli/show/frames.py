"""What real frames said beside the model: a line of ``bascule why --probe``, and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bascule.cli.common import show, width, wrapped

if TYPE_CHECKING:
    from bascule.verify.reachability.frames import FrameVerdict
    from bascule.verify.reachability.live import WhyAnswer

AGREEMENT = {True: "agree with the model", False: "DISAGREE with the model", None: "prove nothing"}


def show_frames(seen: FrameVerdict | None, found: WhyAnswer) -> None:
    """One line; a disagreement says what it means."""
    if seen is None:
        return
    verdict = AGREEMENT[seen.agrees]
    show("frames  " + wrapped(f"{verdict}: {seen.words}", indent=8, columns=width()))
    if seen.agrees is False:
        words = (
            f"the model says {found.result.value.upper()}, the frames say {seen.result.value.upper()}: one of them is "
            "wrong, and until it is known which, believe the frames"
        )
        show("        " + wrapped(words, indent=8, columns=width()))


def frames_as_json(seen: FrameVerdict | None) -> dict[str, Any]:
    """``frames``, where they were asked."""
    if seen is None:
        return {}
    return {
        "frames": {
            "response": str(seen.response),
            "result": seen.result.value,
            "words": seen.words,
            "agrees": seen.agrees,
        }
    }
