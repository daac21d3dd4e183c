"""Checks and expectations in words: first what does not hold, then what does in a line, or each with -v."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bascule.cli.common import table, wrapped
from bascule.cli.show.folding import MOST_PIECES, alike_ways, folded, folded_by_place, ranges, without_numbers
from bascule.cli.show.output_style import output_style
from bascule.model.values import count, grouped, natural, series
from bascule.verify.checks import Check
from bascule.verify.expectations import UNPROVEN, Outcome
from bascule.verify.words import WORDS

MARKS = {True: "ok", False: "FAIL", None: "-"}
SUBJECTS = {  # the check that each subject of a kind has
    "bridge-up": "bridge",
    "nic-up": "NIC",
    "running": "guest",
    "mac-on-own-port": "guest",
}
MOST_APART = 8  # checks that failed from which on those that differ in names of the same places are one
SHOWN = 20  # lines of expectations that hold


def show_failures(checks: Iterable[Check], outcomes: Iterable[Outcome], *, columns: int) -> str:
    """What does not hold, once, each with what was seen; of an expectation also the line of the file that says so."""
    failed = [(check.subject, WORDS.get(check.id, check.id), check.detail) for check in checks if check.ok is False]
    rows = folded(failed, most=MOST_PIECES)
    if len(rows) > MOST_APART and not output_style().verbose:
        rows = min(rows, [row for row, _ in folded_by_place(failed, most=MOST_PIECES)], key=len)
    lines = [
        "FAIL  " + wrapped(f"{subject}, {words}: {detail}", indent=6, columns=columns)
        for subject, words, detail in rows
    ]
    outcomes = list(outcomes)
    for some in _failed_alike(one for one in outcomes if one.ok is False):
        expected = some[0].expectation
        sources, targets = (_names(getattr(one.expectation, end) for one in some) for end in ("source", "target"))
        words = f"{sources} → {targets} {expected.service} must be {expected.verdict} ({_places(some)})"
        lines.append("FAIL  " + wrapped(words, indent=6, columns=columns))
        first = f"{expected.source} → {expected.target}: " if len(some) > 1 else ""
        lines.append("      " + wrapped(first + some[0].witness.sentence, indent=6, columns=columns))
    apart = [outcome for outcome in outcomes if outcome.disagrees]
    lines += ["FAIL  " + wrapped(f"{_asked(one)}: {_both(one)}", indent=6, columns=columns) for one in apart]
    return "\n".join(lines)


def _failed_alike(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    """Those that failed in the same way, from one to many or from many to one."""

    def kind(one: Outcome) -> tuple[str, ...]:
        return str(one.expectation.service), one.expectation.verdict, without_numbers(_reason(one))

    return alike_ways(outcomes, ends=lambda one: (one.expectation.source, one.expectation.target), kind=kind)


def _names(names: Iterable[str]) -> str:
    return ranges(sorted(set(names), key=natural))


def _reason(outcome: Outcome, source: str = "…", target: str = "…") -> str:
    """Why, with these words for the two whom it is about."""
    ends = {outcome.expectation.source: source, outcome.expectation.target: target}
    either = "|".join(re.escape(name) for name in sorted(ends, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])({either})(?![\w-])", lambda found: ends[found[1]], outcome.witness.sentence)


def _open_alike(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """Those that could not be shown for the same reason, told of all of them: of the same one, or of alike ones."""
    verbatim = grouped((one.witness.sentence, one) for one in outcomes)
    alike: dict[tuple[str, ...], list[Outcome]] = {}
    for reason, some in verbatim.items():
        kinds = {_reason(one, "\0source", "\0target") for one in some}
        alike.setdefault((*kinds,) if len(kinds) == 1 else (reason, ""), []).extend(some)
    for (text, *_), some in alike.items():
        sentence = text
        for mark, names in (("\0source", {one.expectation.source for one in some}),
                            ("\0target", {one.expectation.target for one in some})):  # fmt: skip
            sentence = sentence.replace(f"{mark} is ", f"{mark} {'are' if len(names) > 1 else 'is'} ")
            sentence = sentence.replace(mark, ranges(sorted(names, key=natural), most=MOST_PIECES))
        yield sentence, some


def _places(outcomes: Sequence[Outcome]) -> str:
    places = [outcome.expectation.place for outcome in outcomes]
    lines = [place.line for place in places]
    last = f"-{max(lines)}" if min(lines) != max(lines) else f":{places[0].column}"
    return f"{places[0].file}:{min(lines)}{last}"


def show_checks(checks: Sequence[Check], *, columns: int) -> str:
    """How many are ok on what, what each guard stopped, and what could not be asked; with -v a line for each."""
    fine = [check for check in checks if check.ok]
    rest = [check for check in checks if check.ok is None]
    lines = []
    if output_style().verbose:
        lines += ["checks", *table(_each([*fine, *rest]), indent=2, columns=columns)] if fine or rest else []
        return "\n".join(lines)
    if fine:
        lines.append("checks: " + wrapped(f"{len(fine)} ok{_on(fine)}", indent=8, columns=columns))
    for mark, some in ((True, [check for check in fine if check.id == "guard"]), (None, rest)):
        cells = ((check.subject, WORDS.get(check.id, check.id), check.detail) for check in some)
        rows = folded(cells, most=MOST_PIECES)
        lines += table(((MARKS[mark], *row) for row in rows), indent=2, columns=columns)
    return "\n".join(lines)


def _on(checks: Sequence[Check]) -> str:
    """``on 2 bridges, 4 NICs and 60 guests``."""
    kinds: dict[str, set[str]] = {}
    for check in checks:
        if check.id in SUBJECTS:
            kinds.setdefault(SUBJECTS[check.id], set()).add(check.subject)
    counted = [count(len(kinds[kind]), kind) for kind in dict.fromkeys(SUBJECTS.values()) if kind in kinds]
    if not counted:
        return ""
    return f" on {series(counted)}"


def _each(checks: Sequence[Check]) -> Iterator[tuple[str, ...]]:
    """A row for each check; what it is about stands in the first row of its kind."""
    order = {subject: i for i, subject in enumerate(dict.fromkeys(check.subject for check in checks))}
    last = ""
    for check in sorted(checks, key=lambda check: order[check.subject]):
        subject = "" if check.subject == last else check.subject
        yield MARKS[check.ok], subject, WORDS.get(check.id, check.id), check.detail
        last = check.subject


def show_outcomes(outcomes: Sequence[Outcome], *, columns: int, model: bool = False) -> str:
    """Who reached whom, in a line each, alike ones in one; with -v each with its witness.

    The witness names the question that proves that the other side lives. ``model`` says of each what the model said.
    """
    if output_style().verbose:
        return "\n".join(["expectations", *_witnessed(outcomes, columns=columns, model=model)])
    fine = [outcome for outcome in outcomes if outcome.ok]
    lines = [f"expectations: {len(fine)} {'holds' if len(fine) == 1 else 'hold'}"] if fine else []
    rows = _alike(fine)
    for source, target, service, verdict in rows[:SHOWN]:
        lines.append("  ok  " + wrapped(f"{source} → {target} {service}: {verdict}", indent=8, columns=columns))
    if len(rows) > SHOWN:
        lines.append(f"      and {len(rows) - SHOWN} more like these (-v shows each)")
    for sentence, some in _open_alike(one for one in outcomes if one.is_open):
        asked = [f"{source} → {target} {service}" for source, target, service, _ in _alike(some)]
        if len(asked) == 1:
            lines.append("  -   " + wrapped(f"{asked[0]}: {sentence}", indent=8, columns=columns))
        else:
            lines.append("  -   " + wrapped(f"{count(len(some), 'question')}: {sentence}", indent=8, columns=columns))
            lines.append("        " + wrapped(", ".join(asked), indent=8, columns=columns))
    return "\n".join(lines)


def _alike(outcomes: Sequence[Outcome]) -> list[tuple[str, str, str, str]]:
    """Source, target, service and verdict; one row for those that differ in the target alone, or the source alone."""
    by_target: dict[tuple[str, str, str], list[str]] = {}
    for outcome in outcomes:
        expected = outcome.expectation
        seen_as = f", seen as {expected.seen_as}" if expected.seen_as else ""
        key = (expected.source, str(expected.service), f"{expected.verdict}{seen_as}")
        by_target.setdefault(key, []).append(expected.target)
    by_source = grouped(
        ((tuple(targets), service, verdict), source) for (source, service, verdict), targets in by_target.items()
    )
    return [
        (ranges(sources, most=MOST_PIECES), ranges(targets, most=MOST_PIECES), service, verdict)
        for (targets, service, verdict), sources in by_source.items()
    ]


def _witnessed(outcomes: Sequence[Outcome], *, columns: int, model: bool) -> Iterator[str]:
    for outcome in outcomes:
        expected = outcome.expectation
        if outcome.ok is False:
            continue
        if outcome.ok is None:
            line = f"{_asked(outcome)}: {outcome.witness.sentence}"
            yield f"  {MARKS[None]:<4}  {wrapped(line, indent=8, columns=columns)}"
            continue
        seen_as = f", seen as {expected.seen_as}" if expected.seen_as else ""
        yield f"  ok    {wrapped(f'{_asked(outcome)}: {expected.verdict}{seen_as}', indent=8, columns=columns)}"
        yield " " * 8 + wrapped(outcome.witness.sentence, indent=8, columns=columns)
        if outcome.witness.control:
            yield " " * 8 + wrapped(f"while {outcome.witness.control}", indent=8, columns=columns)
        if outcome.model is not None and model and not outcome.disagrees:
            yield " " * 8 + wrapped(_both(outcome), indent=8, columns=columns)


def _asked(outcome: Outcome) -> str:
    expected = outcome.expectation
    return f"{expected.source} → {expected.target} {expected.service}"


def _both(outcome: Outcome) -> str:
    """``model said yes, frames said reach``, and aloud where the two contradict each other."""
    model = outcome.model
    words = f"model said {model.result.value}" if model is not None else ""
    if model is not None and model.words and model.result.value != "yes":
        words += f" ({model.words})"
    apart = ": they DISAGREE, so one of the two is wrong" if outcome.disagrees else ""
    return f"{words}, frames said {outcome.observed}{apart}"


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
    rows = [row for row, some in zip(zip(bad, counted, strict=True), asked, strict=True) if some]
    if not rows:
        return f"nothing was checked{rest}"
    if any(bad):
        rows.sort(key=lambda row: row[0] == 0)
        return " and ".join(f"{number} of {words}" for number, words in rows) + f" did not hold{rest}"
    hold = "holds" if len(asked[0]) + len(asked[1]) == 1 else "hold"
    return f"{' and '.join(words for _, words in rows)} {hold}{rest}"


def not_proven(checks: Sequence[Check], outcomes: Sequence[Outcome], off: Mapping[str, str], *, columns: int) -> str:
    """What --strict takes for a failure though nothing does not hold: guests that are off, and all that is unproven."""
    words = []
    for word in sorted(set(off.values())):
        guests = sorted(name for name in off if off[name] == word)
        words.append(f"{ranges(guests)} {'is' if len(guests) == 1 else 'are'} {word}")
    words += [f"{one.subject}, {WORDS.get(one.id, one.id)}" for one in checks if one.ok is None and one.unproven]
    words += [_asked(one) for one in outcomes if one.is_open]
    return "not proven (--strict): " + wrapped("; ".join(words), indent=8, columns=columns)
