"""What the verbs share that listen on the NICs: the option, and the line that tells how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bascule.cli.common import say, width
from bascule.cli.show.output_style import output_style

if TYPE_CHECKING:
    from bascule.survey.capture import Progress

F = TypeVar("F", bound=Callable[..., Any])

SURVEY_S = 30.0  # LLDP and CDP speak every 30 s and 60 s, a switch's STP every 2 s
PLAIN_PROGRESS_S = 10.0  # how often a line is printed where there is no terminal


def survey_options(function: F) -> F:
    """``--survey`` and how long it takes; the function is given ``survey`` and ``survey_seconds``."""
    listen = click.option(
        "--survey",
        is_flag=True,
        help="Listen on the NICs first, and refuse when a NIC is on another network than the file says.",
    )
    long = click.option(
        "--survey-seconds",
        metavar="SECONDS",
        type=click.FloatRange(0.5, 3600),
        default=SURVEY_S,
        show_default=True,
        help="How long --survey listens.",
    )
    return listen(long(function))


def progress(seconds: float, *, as_json: bool) -> Progress | None:
    """A line that is rewritten on a terminal, else one now and every ten seconds; none with -q or for a machine."""
    terminal = sys.stderr.isatty()
    if (as_json and not terminal) or output_style().quiet:
        return None
    last = [seconds]
    begun: list[bool] = []

    def tell(left: float, frames: Mapping[str, int]) -> None:
        if not begun:  # whoever may not listen is told so first
            begun.append(True)
            if not terminal:
                say(f"listening for {seconds:g} s …")
        words = f"listening, {left:.0f} s left: " + ", ".join(f"{nic} {number}" for nic, number in frames.items())
        try:
            if terminal:
                sys.stderr.write("\r\x1b[K" + (words[: width() - 1] if left else ""))
                sys.stderr.flush()
            elif left and last[0] - left >= PLAIN_PROGRESS_S:
                last[0] = left
                print(words + " frames", file=sys.stderr, flush=True)
        except OSError:
            pass  # the terminal has gone; the NICs must still be put back

    return tell
