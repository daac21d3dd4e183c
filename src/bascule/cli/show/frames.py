"""What real frames said beside the model: a line of ``bascule why --probe``, and its JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bascule.cli.common import show, width, wrapped

if TYPE_CHECKING:
    from bascule.verify.reachability.frames import FrameVerdict
    from bascule.verify.reachability.live import WhyAnswer

AGREEMENT = {True: "agree with the model", False: "DISAGREE with the model", None: "prove nothing"}


def show_frames(said: FrameVerdict | None, found: WhyAnswer) -> None:
    """One line; a disagreement says what it means."""
    if said is None:
        return
    verdict = AGREEMENT[said.agrees]
    show("frames  " + wrapped(f"{verdict}: {said.words}", indent=8, columns=width() - 8))
    if said.agrees is False:
        words = (
            f"the model says {found.result.value.upper()}, the frames say {said.result.value.upper()}: one of them is "
            "wrong, and until it is known which, believe the frames"
        )
        show("        " + wrapped(words, indent=8, columns=width() - 8))


def frames_as_json(said: FrameVerdict | None) -> dict[str, Any]:
    """``frames``, where they were asked."""
    if said is None:
        return {}
    return {
        "frames": {
            "response": str(said.response),
            "result": said.result.value,
            "words": said.words,
            "agrees": said.agrees,
        }
    }
