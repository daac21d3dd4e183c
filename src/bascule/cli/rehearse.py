"""``bascule rehearse``: the whole site in a twin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from bascule.cli.common import host_option, json_option, say, seconds, show, site_argument, table, width, wrapped

if TYPE_CHECKING:
    from bascule.workflow import Rehearsal


@click.command()
@site_argument
@host_option
@json_option
@click.option("--no-picture", is_flag=True, help="Leave the drawing out.")
def command(*, site_file: str, host: str | None, as_json: bool, no_picture: bool) -> int:
    """Build the site in throw-away namespaces, apply the plan there, ask every check and expectation, take it down.

    Changes nothing on this machine; needs no root where user namespaces are allowed.
    Exit status: 0 when everything holds, 1 when something does not.

    Example: bascule rehearse examples/production.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit

    is_watched = sys.stderr.isatty() and not as_json
    seen = workflow.rehearse(site_file, host=host, progress=_progress if is_watched else None)
    if is_watched:
        _progress("")
    if seen.changed:
        say(f"warning: {site_file} changed meanwhile; the verdicts are about what it said at the start")
    if as_json:
        emit("rehearse", _as_json(seen))
    else:
        show(_in_words(seen, picture=not no_picture, columns=width()))
    return 0 if seen.ok else 1


def _progress(step: str) -> None:
    """One line that is written over, and gone at the end."""
    print(f"\r\033[K{step}", end="", file=sys.stderr, flush=True)


def _in_words(seen: Rehearsal, *, picture: bool, columns: int) -> str:
    from bascule.cli.common import speaks_utf8
    from bascule.cli.show_plan import show_plan
    from bascule.cli.show_verdicts import broken, show_checks, show_outcomes, tally
    from bascule.draw import draw

    start = f"{', '.join(seen.observed)} as found on this machine" if seen.observed else "NICs only, nothing set up"
    headline = f"{seen.site.name}: rehearsed in a twin (with the rights of {seen.privilege}; start: {start})"
    parts = [wrapped(headline, indent=0, columns=columns)]
    if picture:
        parts.append(draw(seen.site, width=columns, ascii=not speaks_utf8()).rstrip())
    parts += [show_plan(name, plan, columns=columns) for name, plan in seen.plans.items()]
    if seen.notes:
        notes = [(note.subject, note.text) for note in seen.notes]
        parts.append("\n".join(["in the twin", *table(notes, indent=2, columns=columns)]))
    parts.append(show_checks(seen.checks, columns=columns))
    if seen.outcomes:
        parts.append(show_outcomes(seen.outcomes, columns=columns))
    steps = ", ".join(f"{name} {seconds(value)}" for name, value in seen.timings.items() if name != "total")
    result = ["time    " + wrapped(steps, indent=8, columns=columns)]
    result += broken(seen.checks, seen.outcomes, columns=columns)
    words = f"{tally(seen.checks, seen.outcomes)}, in {seconds(seen.timings['total'])}"
    result.append("result  " + wrapped(words, indent=8, columns=columns))
    return "\n\n".join([*parts, "\n".join(result)])


def _as_json(seen: Rehearsal) -> dict[str, Any]:
    from bascule.cli.show_plan import plan_as_json

    return {
        "ok": seen.ok,
        "site": seen.site.name,
        "privilege": seen.privilege,
        "observed": list(seen.observed),
        "plans": [plan_as_json(name, plan) for name, plan in seen.plans.items()],
        "checks": [check.as_json() for check in seen.checks],
        "expectations": [outcome.as_json() for outcome in seen.outcomes],
        "notes": [{"kind": note.kind, "subject": note.subject, "text": note.text} for note in seen.notes],
        "timings": {name: round(value, 4) for name, value in seen.timings.items()},
        "changed_meanwhile": seen.changed,
    }
