"""Checks and expectations in words: what holds, what does not, and why that is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bascule.cli.common import count, table, wrapped
from bascule.verify.checks import Check
from bascule.verify.expectations import UNPROVEN, Outcome
from bascule.verify.words import WORDS

MARKS = {True: "ok", False: "FAIL", None: "-"}


def show_checks(checks: Sequence[Check], *, columns: int) -> str:
    """A line per check; what it is about stands in the first line of its kind."""
    rows: list[tuple[str, ...]] = []
    last = ""
    for check in sorted(checks, key=_first_seen(checks)):
        rows.append(
            (
                MARKS[check.ok],
                "" if check.subject == last else check.subject,
                WORDS.get(check.id, check.id),
                check.detail,
            )
        )
        last = check.subject
    return "\n".join(["checks", *table(rows, indent=2, columns=columns)])


def _first_seen(checks: Sequence[Check]) -> Callable[[Check], int]:
    order = {subject: i for i, subject in enumerate(dict.fromkeys(check.subject for check in checks))}
    return lambda check: order[check.subject]


def show_outcomes(outcomes: Sequence[Outcome], *, columns: int, model: bool = False) -> str:
    """Who reached whom, each with its witness and the question that proves that the other side lives.

    ``model`` says of each what the model said; else only where the two contradict each other.
    """
    lines = ["expectations"]
    for outcome in outcomes:
        wish = outcome.expectation
        seen_as = f", seen as {wish.seen_as}" if wish.seen_as else ""
        if outcome.ok is None:
            line = f"{wish.source} → {wish.target} {wish.service}: {outcome.witness.sentence}"
            lines.append(f"  {MARKS[None]:<4}  {wrapped(line, indent=8, columns=columns)}")
            continue
        got = "" if outcome.observed == wish.verdict else f", but it is: {outcome.observed}"
        head = f"{wish.source} → {wish.target} {wish.service}: {wish.verdict}{seen_as}{got}"
        lines.append(f"  {MARKS[outcome.ok]:<4}  {wrapped(head, indent=8, columns=columns)}")
        lines.append(" " * 8 + wrapped(outcome.witness.sentence, indent=8, columns=columns))
        if outcome.witness.control and outcome.ok:
            lines.append(" " * 8 + wrapped(f"while {outcome.witness.control}", indent=8, columns=columns))
        if outcome.model is not None and (model or outcome.disagrees):
            lines.append(" " * 8 + wrapped(_both(outcome), indent=8, columns=columns))
    return "\n".join(lines)


def _both(outcome: Outcome) -> str:
    """``model said yes, frames said reach``, and aloud where the two contradict each other."""
    said = outcome.model
    words = f"model said {said.result.value}" if said is not None else ""
    if said is not None and said.words and said.result.value != "yes":
        words += f" ({said.words})"
    apart = ": they DISAGREE, so one of the two is wrong" if outcome.disagrees else ""
    return f"{words}, frames said {outcome.observed}{apart}"


def broken(checks: Iterable[Check], outcomes: Iterable[Outcome], *, columns: int) -> list[str]:
    """What did not hold, once more at the end, with the line of the file that says so."""
    lines = []
    for check in checks:
        if check.ok is False:
            words = f"{check.subject}, {WORDS.get(check.id, check.id)}: {check.detail}"
            lines.append("broken: " + wrapped(words, indent=8, columns=columns))
    for outcome in outcomes:
        wish = outcome.expectation
        if outcome.disagrees:
            words = f"{wish.source} → {wish.target} {wish.service}: {_both(outcome)}"
            lines.append("broken: " + wrapped(words, indent=8, columns=columns))
        if outcome.ok is not True and not outcome.is_open:
            words = f"{wish.source} → {wish.target} {wish.service} must be {wish.verdict} ({wish.place})"
            lines.append("broken: " + wrapped(words, indent=8, columns=columns))
            lines.append("        " + wrapped(outcome.witness.sentence, indent=8, columns=columns))
    return lines


def tally(checks: Sequence[Check], outcomes: Sequence[Outcome]) -> str:
    """``38 checks and 6 expectations hold``, or how many do not, the worse first, and what could not be told."""
    asked = (
        [check for check in checks if check.ok is not None],
        [outcome for outcome in outcomes if outcome.ok is not None],
    )
    bad = [sum(one.ok is False for one in some) for some in asked]
    counted = [count(len(asked[0]), "check"), count(len(asked[1]), "expectation")]
    unproven = sum(one.ok is None and one.unproven for one in checks)
    unproven += sum(one.ok is None and one.observed == UNPROVEN for one in outcomes)
    unasked = len(checks) + len(outcomes) - len(asked[0]) - len(asked[1]) - unproven
    rest = f"; {unproven} unproven" if unproven else ""
    rest += f"; {unasked} could not be asked from here" if unasked else ""
    if any(bad):
        rows = sorted(zip(bad, counted, strict=True), key=lambda row: row[0] == 0)
        return " and ".join(f"{number} of {words}" for number, words in rows) + f" did not hold{rest}"
    return f"{' and '.join(counted)} hold{rest}"
