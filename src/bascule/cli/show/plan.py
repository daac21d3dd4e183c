"""A plan in words: what will happen, why, at what risk, and what it means for which guest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from bascule.cli.common import table, wrapped
from bascule.cli.show.folding import MOST_PIECES, folded, folded_by_place, ranges, shorter_lists, shortest
from bascule.cli.show.output_style import output_style
from bascule.model.values import count, duration, grouped, natural
from bascule.plan.change import Change, Plan, Risk
from bascule.plan.file_change import FileChange
from bascule.plan.step import Phase

LEAST = 30  # columns for words beside a name
SCREEN = 24  # lines of changes from which on those that differ in names of the same places are one, too

NOTE_WORDS = {
    "foreign": "left alone",
    "waiting": "waits",
    "unsupported": "not done by this plan",
    "along": "moves with the addresses",
    "extra": "not in the file",
    "warning": "warnings",
}

WRONG = {"unsupported", "warning"}  # the kinds of notes that -q shows


def show_plan(host: str, plan: Plan, *, columns: int) -> str:
    """The plan of one host for people; with -q what it warns of alone."""
    names = _guests(plan)
    lines = [] if output_style().quiet else [wrapped(headline(host, plan), indent=0, columns=columns)]
    if plan and not output_style().quiet:
        lines += ["", *_changes(plan.changes, names, columns)]
        outages = folded(outages_of(plan.changes), names)
        if outages:
            lines += ["", "lost frames, expected", *table(outages, indent=2, columns=columns)]
    if plan.files and not output_style().quiet:
        lines += ["", "files", *_files(plan.files, columns)]
    for kind, words in NOTE_WORDS.items():
        if output_style().quiet and kind not in WRONG:
            continue
        shorter = str if output_style().verbose else shorter_lists
        rows = [(subject, shorter(text)) for subject, text in note_rows(plan, kind)]
        if rows:
            lines += ["", words, *table(shortest(rows, names), indent=2, columns=columns)]
    return "\n".join(lines).lstrip("\n")


def _guests(plan: Plan) -> set[str]:
    """The names of guests in a plan: of those that it touches, and of those whose taps wait."""
    touched = {guest for change in plan.changes for guest in change.guests}
    return touched | {note.guest for note in plan.notes if note.guest}


def show_diff(plan: Plan) -> str:
    """What each file will say otherwise, as one unified diff."""
    return "".join(file.diff for file in plan.files)


def file_rows(files: Iterable[FileChange]) -> Iterator[tuple[str, str, str]]:
    """Each file, what happens to it, and why."""
    for file in files:
        words = f"aside, to {file.place}: {file.reason}" if file.action == "move" else file.reason
        yield file.path, file.action, words


def _files(files: Iterable[FileChange], columns: int) -> Iterator[str]:
    """A line for each file, and below it why, and where a foreign one is kept."""
    rows = list(file_rows(files))
    width = max([len("remove"), *(len(action) for _, action, _ in rows)])
    for path, action, words in rows:
        yield f"  {action:<{width}}  {path}"
        if words:
            yield " " * 10 + wrapped(words, indent=10, columns=columns)


def note_rows(plan: Plan, kind: str) -> Iterator[tuple[str, str]]:
    """The notes of a kind; what nobody takes over of a file is a warning."""
    yield from ((note.subject, note.text) for note in plan.notes if note.kind == kind)
    for file in plan.files if kind == "warning" else ():
        yield from ((file.path, f"not carried over: {words}") for words in file.lost)


def show_own_line(plan: Plan, *, columns: int, waits: bool = True) -> str:
    """Why the change asks for a confirmation whoever makes it; empty where the host's own connection stays as it is.

    It ``waits`` unless somebody said that nobody needs to confirm it.
    """
    if not plan.own_line:
        return ""
    rows = table([(words,) for words in plan.own_line], indent=2, columns=columns)
    consequence = ", so this waits for 'bascule confirm'" if waits else ""
    return "\n".join([f"the host's own connection changes{consequence}", *rows])


def headline(host: str, plan: Plan) -> str:
    """The plan in a line: how many changes, their risk, and what it means for the guests."""
    if not plan:
        files = f" but to keep it: {count(len(plan.files), 'file')}" if plan.files else ""
        return f"{host}: nothing to do{files}"
    worst = max((change.outage_s for change in plan.changes), default=0.0)
    lost = sorted({guest for change in plan.changes if change.for_good for guest in change.cuts})
    loss = f"a guest loses frames for up to {duration(worst)}" if worst else "no running guest loses a frame"
    if lost:
        loss = f"{ranges(lost)} {'loses its' if len(lost) == 1 else 'lose their'} connection permanently"
    return f"{host}: {count(len(plan.changes), 'change')}; risk: {plan.risk.words}; {loss}"


_BORDERS = (Phase.DETACH, Phase.ROUTE, Phase.LOWER)
_STAGES: dict[int, int] = {phase: sum(phase >= border for border in _BORDERS) for phase in Phase}


def _stage(change: Change) -> int:
    """Changes of one link that follow each other closely are told in one line."""
    return _STAGES[change.stage]


class PlanLine(Struct, frozen=True):
    """What happens to one link in one go, and the ``guests`` that it carries. ``risk`` is nothing for an addition."""

    subject: str
    action: str
    risk: str
    reason: str
    guests: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The reason with the guests that it does not name."""
        if not self.guests:
            return self.reason
        names = ", ".join(self.guests) if output_style().verbose else ranges(self.guests, most=MOST_PIECES)
        return f"{self.reason}; carries {names}"


def rows_of(changes: Iterable[Change]) -> list[PlanLine]:
    """The changes as they are told: those of one link that follow each other closely together."""
    rows: list[PlanLine] = []
    for _, some in groupby(changes, key=_stage):
        by_subject = grouped((change.subject, change) for change in some)
        for subject, group in by_subject.items():
            risk = max(change.risk for change in group)
            actions = ", ".join(dict.fromkeys(change.action for change in group))
            named = group[0].reason.split()
            unnamed = tuple(guest for guest in group[0].guests if guest not in named)
            words = "" if risk is Risk.ADDITION else risk.words
            rows.append(PlanLine(subject, actions, words, group[0].reason, unnamed))
    return rows


def _changes(changes: Iterable[Change], names: set[str], columns: int) -> list[str]:
    """The numbered changes, in order; alike ones that nothing else must come between are one line."""
    stages = [rows_of(some) for _, some in groupby(changes, key=_stage)]
    by_place: list[str] = []
    most = math.inf  # lines: more are not shown
    if not output_style().verbose:
        by_place = _lines_of([row for stage in stages for row in _folded(stage)], columns)
        most = max(SCREEN, _height(by_place))
    rows: list[PlanLine] = []
    for stage in stages:
        cells = ((row.subject, row.action, row.risk, row.why) for row in stage)
        short = folded(cells, names, most=MOST_PIECES, into=most - len(rows))
        if not short:
            return by_place
        rows += [PlanLine(subject, action, risk, reason) for subject, action, risk, reason in short]
    lines = _lines_of(rows, columns)
    return lines if _height(lines) <= most else by_place


def _height(parts: Iterable[str]) -> int:
    return sum(part.count("\n") + 1 for part in parts)


def _lines_of(rows: Sequence[PlanLine], columns: int) -> list[str]:
    """The changes, numbered, and below each why, where no line before it has said so."""
    digits, longest = len(str(len(rows))), max(len(row.subject) for row in rows)
    longest = min(longest, max(8, columns // 3))  # a longer one has a line of its own
    indent = 2 + digits + 2 + longest + 2
    if columns - indent < LEAST:  # each has a line of its own
        longest, indent = 0, 4 + digits
    lines = []
    because: set[str] = set()
    for number, row in enumerate(rows, 1):
        words = row.action + (f" [{row.risk}]" if row.risk else "")
        subject = f"{row.subject:<{longest}}  "
        if len(row.subject) > longest:
            subject = f"{wrapped(row.subject, indent=4 + digits, columns=columns)}\n{' ' * indent}"
        lines.append(f"  {number:>{digits}}  {subject}{wrapped(words, indent=indent, columns=columns)}")
        if row.why not in because:
            lines.append(" " * indent + wrapped(f"because {row.why}", indent=indent, columns=columns))
        because.add(row.why)
    return lines


def _folded(stage: Sequence[PlanLine]) -> Iterator[PlanLine]:
    """Those that differ in names of the same places in one line."""
    cells = [(row.subject, row.action, row.risk, row.reason) for row in stage]
    for (subject, action, risk, reason), places in folded_by_place(cells, most=MOST_PIECES):
        if len(places) == 1:
            yield stage[places[0]]
            continue
        guests = sorted({guest for place in places for guest in stage[place].guests}, key=natural)
        named = ranges(guests, most=MOST_PIECES)
        carried = count(len(guests), "guest") if named.endswith(" more") else named
        yield PlanLine(subject, action, risk, f"{reason}; carries {carried}" if guests else reason)


def outages_of(changes: Iterable[Change]) -> list[tuple[str, str, str]]:
    """Each guest that loses frames, for how long at most, and by which change."""
    worst: dict[str, Change] = {}
    for change in changes:
        for guest in change.cuts:
            if _loss(change) > (_loss(worst[guest]) if guest in worst else 0.0):
                worst[guest] = change
    return [
        (guest, "permanent" if change.for_good else duration(change.outage_s), f"{change.subject}: {change.action}")
        for guest, change in worst.items()
    ]


def _loss(change: Change) -> float:
    return math.inf if change.for_good else change.outage_s


def plan_as_json(host: str, plan: Plan) -> dict[str, Any]:
    """The plan of one host for machines."""
    return {
        "host": host,
        "risk": plan.risk.words,
        "changes": [
            {
                "subject": change.subject,
                "action": change.action,
                "reason": change.reason,
                "risk": change.risk.words,
                "guests": list(change.guests),
                "cuts": list(change.cuts),
                "outage_s": change.outage_s,
                "for_good": change.for_good,
            }
            for change in plan.changes
        ],
        "commands": [str(command) for command in plan.commands],
        "files": [
            {
                "path": file.path,
                "action": file.action,
                "diff": file.diff,
                "aside": file.place if file.action == "move" else None,
                "reason": file.reason,
                "lost": list(file.lost),
            }
            for file in plan.files
        ],
        "must_be_confirmed": plan.must_be_confirmed,
        "own_line": list(plan.own_line),
        "mind": list(plan.mind),
        "notes": [{"kind": note.kind, "subject": note.subject, "text": note.text} for note in plan.notes],
    }
