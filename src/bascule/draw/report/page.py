"""A rehearsal as one HTML page that needs nothing else: no network, no script, no font.

The page's own policy forbids scripts and everything from elsewhere, so whatever stands in a site file can do no
harm in it. Radio buttons show the way of each frame in the picture, by mouse, finger or arrow keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from bascule.draw.answers import AnsweredExpectation, as_expected, chain, ways_of
from bascule.draw.formats.embed import embed, way_style
from bascule.draw.formats.style import STYLE
from bascule.draw.report.reach import reach_table
from bascule.draw.report.style import PAGE
from bascule.draw.scene.elements import Path, Scene
from bascule.draw.scene.site import build
from bascule.model.site import Site
from bascule.model.values import duration, grouped

if TYPE_CHECKING:
    from bascule.verify.reachability.matrix import Matrix

COLLAPSE = 12  # from how many alike guests on one box stands for all
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
BESIDE = 860  # px: a picture that is wider gets the whole width of the window, and the expectations stand below
ZOOMS = {"fit": "fit", "full": "100 %", "twice": "200 %"}
SIGNS = {True: "✓", False: "✗", None: "–"}
CLASSES = {True: "ok", False: "bad", None: "open"}


class PlanRow(Struct, frozen=True, kw_only=True):
    """A line of a plan: which link, what happens to it, and why."""

    subject: str
    action: str
    reason: str
    risk: str = ""  # nothing where it is a mere addition


class PlanPart(Struct, frozen=True, kw_only=True):
    """The plan of one host. ``notes`` and ``files`` are a subject, what becomes of it, and the words."""

    headline: str
    rows: tuple[PlanRow, ...] = ()
    outages: tuple[tuple[str, str, str], ...] = ()  # guest, how long, by which change
    files: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[tuple[str, str, str], ...] = ()
    commands: tuple[str, ...] = ()


class CheckRow(Struct, frozen=True, kw_only=True):
    """A check in words; ``ok`` is None where it could not be asked, or what was seen does not tell (``unproven``)."""

    subject: str
    what: str
    ok: bool | None
    detail: str
    unproven: bool = False


class Report(Struct, frozen=True, kw_only=True):
    """All that the page says. ``facts`` are a name and a value each; ``timings`` are seconds by step."""

    site: Site
    ok: bool
    result: str
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    plans: tuple[PlanPart, ...] = ()
    checks: tuple[CheckRow, ...] = ()
    answers: tuple[AnsweredExpectation, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    timings: tuple[tuple[str, float], ...] = ()
    reach: tuple[tuple[str, Matrix], ...] = ()  # of each host, who reaches whom by its model
    chosen: int | None = None  # the expectation whose way is shown first; None for the first that did not hold


def report(page: Report) -> str:
    """The page. Equal input gives equal bytes."""
    scene = build(page.site, None, collapse=COLLAPSE)
    ways = ways_of(scene, page.answers)
    if page.chosen is None:
        first = (place for place, one in enumerate(page.answers) if one.ok is False and f"w{place}" in ways)
        page = replace(page, chosen=next(first, None))
    rules = "".join(way_style(key, f"body:has(#{key}:checked)") for key in ways)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="generator" content="bascule rehearse --report">',
        f"<title>{_e(page.site.name)}: {_e(page.result)}</title>",
        f"<style>{STYLE}{PAGE}{rules}</style>",
        "</head>",
        "<body>",
        *_head(page),
        "<main>",
        *_broken(page),
        *_picture(page, scene, ways),
        *_reach(page.reach),
        *_plans(page.plans),
        *_checks(page.checks),
        *_rest(page),
        "</main>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _e(text: object) -> str:
    return escape(str(text), quote=True)


def _head(page: Report) -> Iterable[str]:
    word = "holds" if page.ok else "does not hold"
    yield '<header class="top">'
    yield f"<h1>{_e(page.site.name)} <small>rehearsal</small></h1>"
    sign = SIGNS[page.ok]
    yield (
        f'<p class="result {CLASSES[page.ok]}"><span class="sig" aria-hidden="true">{sign}</span> '
        f"<strong>{word}</strong> <span>{_e(page.result)}</span></p>"
    )
    for words in page.warnings:
        yield f'<p class="warning" role="note"><strong>warning</strong> {_e(words)}</p>'
    yield '<dl class="facts">'
    for name, value in page.facts:
        long = ' class="digest"' if name == "sha256" else ""
        yield f"<div{long}><dt>{_e(name)}</dt><dd>{_e(value)}</dd></div>"
    yield "</dl>"
    yield "</header>"


def _broken(page: Report) -> Iterable[str]:
    checks = [check for check in page.checks if check.ok is False]
    unmet = [(place, one) for place, one in enumerate(page.answers) if one.ok is not True]
    if not checks and not unmet:
        return
    yield '<section class="broken" aria-labelledby="h-broken"><h2 id="h-broken">What does not hold</h2><ul>'
    for check in checks:
        yield f"<li><strong>{_e(check.subject)}, {_e(check.what)}</strong>: {_e(check.detail)}</li>"
    for place, one in unmet:
        must = f"must be {one.wanted}" + (f", seen as {one.seen_as}" if one.seen_as else "")
        where = f' <span class="place">{_e(one.place)}</span>' if one.place else ""
        yield (
            f'<li><a href="#ask-{place}"><strong>{_e(one.name)}</strong></a> {_e(must)}, '
            f"but it is: {_e(one.observed)}{where}<br>{_e(one.sentence)}</li>"
        )
    yield "</ul></section>"


def _picture(page: Report, scene: Scene, ways: dict[str, Path]) -> Iterable[str]:
    drawing = embed(scene, ways, right=as_expected(page.answers))
    width = int(drawing.partition(' width="')[2].partition('"')[0])  # px
    wide = " wide" if width > BESIDE else ""
    yield f'<section class="stage{wide}" aria-labelledby="h-picture">'
    yield '<div class="look">'
    yield '<h2 id="h-picture">Picture</h2>'
    sizes = "".join(
        f'<input type="radio" name="zoom" id="zoom-{key}"{" checked" * (key == "fit")}>'
        f'<label for="zoom-{key}">{words}</label>'
        for key, words in ZOOMS.items()
    )
    yield f'<div class="zoom" role="group" aria-label="Size of the picture">{sizes}</div>'
    name = "Picture; scrolls where it is larger than its frame"
    yield f'<div class="picture" style="--wide:{width}px" tabindex="0" role="group" aria-label="{name}">'
    yield drawing
    yield "</div></div>"
    yield '<div class="asks">'
    if page.answers:
        yield from _asks(page, scene, ways)
    else:
        yield "<h2>Expectations</h2><p>The site file expects nothing of anybody.</p>"
    yield "</div></section>"


def _asks(page: Report, scene: Scene, ways: dict[str, Path]) -> Iterable[str]:
    yield "<h2>Expectations</h2>"
    yield (
        "<fieldset><legend>Choose one to see the way of its frame in the picture: ✓ it arrived, "
        '✗ it went no further; red where that is not as it should be</legend><ul class="list">'
    )
    none = "" if f"w{page.chosen}" in ways else " checked"
    yield (
        f'<li class="whole"><input type="radio" name="way" id="all"{none}>'
        '<label for="all">the whole picture</label></li>'
    )
    for place, one in enumerate(page.answers):
        key = f"w{place}"
        choice = (" checked" if page.chosen == place else "") if key in ways else " disabled"
        yield f'<li class="ask {CLASSES[one.ok]}" id="ask-{place}">'
        yield f'<input type="radio" name="way" id="{key}" aria-describedby="why-{place}"{choice}>'
        yield f'<label for="{key}">{_question(one)}</label>'
        yield f'<div class="why" id="why-{place}">'
        if key in ways:
            yield _hops(chain(scene, ways[key]), reached=bool(ways[key].reached))
        yield f"<p>{_e(one.sentence)}</p>"
        if one.control and one.ok:
            yield f'<p class="soft-text">while {_e(one.control)}</p>'
        elif one.control:
            yield f'<p class="soft-text">{_e(one.control)}</p>'
        if one.because and one.because not in one.sentence:
            yield f'<p class="soft-text">because {_e(one.because)}</p>'
        yield "</div></li>"
    yield "</ul></fieldset>"


def _question(one: AnsweredExpectation) -> str:
    must = {"reach": "must reach", "no-reach": "must not reach"}.get(one.wanted, one.wanted)
    sign = f'<span class="sig" aria-hidden="true">{SIGNS[one.ok]}</span>'
    words = [f"<b>{_e(one.source)}</b> {must} <b>{_e(one.target)}</b>", f'<span class="svc">{_e(one.service)}</span>']
    if one.seen_as:
        words.append(f"seen as <b>{_e(one.seen_as)}</b>")
    state = {True: "holds", False: f"does not hold: {one.observed}", None: one.observed}[one.ok]
    return f'{sign}<span class="q">{" ".join(words)} <span class="state">{_e(state)}</span></span>'


def _hops(names: Sequence[str], *, reached: bool) -> str:
    items = "".join(f"<li>{_e(name)}</li>" for name in names)
    end, words = ("yes-text", "arrived") if reached else ("no-text", "no further")
    return f'<ol class="hops" aria-label="the way of the frame">{items}<li class="{end}">{words}</li></ol>'


def _reach(hosts: Sequence[tuple[str, Matrix]]) -> Iterable[str]:
    for place, (host, found) in enumerate(hosts):
        yield f'<section aria-labelledby="h-reach-{place}"><h2 id="h-reach-{place}">Who reaches whom '
        yield f"<small>{_e(host)}</small></h2>{reach_table(found)}</section>"


def _plans(plans: Sequence[PlanPart]) -> Iterable[str]:
    for place, plan in enumerate(plans):
        yield f'<section class="plan" aria-labelledby="h-plan-{place}">'
        yield f'<h2 id="h-plan-{place}">Plan <small>{_e(plan.headline)}</small></h2>'
        if plan.rows:
            yield '<table class="rows"><thead><tr><th>#</th><th>link</th><th>what happens, and why</th></tr></thead>'
            yield "<tbody>"
            for number, row in enumerate(plan.rows, 1):
                risk = f' <span class="risk">{_e(row.risk)}</span>' if row.risk else ""
                why = f'<br><span class="soft-text">because {_e(row.reason)}</span>' if row.reason else ""
                yield f"<tr><td>{number}</td><th scope=row>{_e(row.subject)}</th>"
                yield f"<td>{_e(row.action)}{risk}{why}</td></tr>"
            yield "</tbody></table>"
        parts = (("Lost frames, expected", plan.outages), ("Files", plan.files), ("Notes", plan.notes))
        for title, rows in parts:
            if rows:
                yield f"<h3>{title}</h3>{_table(rows)}"
        if plan.commands:
            lines = "\n".join(_e(command) for command in plan.commands)
            yield f"<details><summary>The exact commands ({len(plan.commands)})</summary><pre>{lines}</pre></details>"
        yield "</section>"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    lines = ("<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="plain"><tbody>{"".join(lines)}</tbody></table>'


def _checks(checks: Sequence[CheckRow]) -> Iterable[str]:
    yield '<section aria-labelledby="h-checks"><h2 id="h-checks">Checks</h2>'
    yield '<table class="rows checks"><thead><tr><th>on</th><th><span class="hide">result</span></th>'
    yield "<th>check</th><th>what was seen</th></tr></thead>"
    groups = grouped((check.subject, check) for check in checks)
    for subject, group in groups.items():
        yield "<tbody>"
        for place, check in enumerate(group):
            head = f'<th scope=rowgroup rowspan="{len(group)}">{_e(subject)}</th>' if not place else ""
            unknown = "unproven" if check.unproven else "could not be asked"
            word = {True: "holds", False: "does not hold", None: unknown}[check.ok]
            yield (
                f'<tr class="{CLASSES[check.ok]}">{head}<td><span class="sig" role="img" aria-label="{word}">'
                f"{SIGNS[check.ok]}</span></td><td>{_e(check.what)}</td><td>{_e(check.detail)}</td></tr>"
            )
        yield "</tbody>"
    yield "</table></section>"


def _rest(page: Report) -> Iterable[str]:
    if page.notes:
        yield '<section aria-labelledby="h-notes"><h2 id="h-notes">In the twin</h2>'
        yield _table(page.notes)
        yield "</section>"
    if page.timings:
        longest = max(value for _, value in page.timings) or 1.0
        yield '<section aria-labelledby="h-time"><h2 id="h-time">Time</h2><table class="plain times"><tbody>'
        for name, value in page.timings:
            bar = f'<span class="bar-of" style="width:{100 * value / longest:.1f}%"></span>'
            yield f'<tr><td>{_e(name)}</td><td class="num">{duration(value)}</td><td class="bars">{bar}</td></tr>'
        yield "</tbody></table></section>"
