"""``bascule rehearse``: the whole site in a twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bascule.cli.common import (
    here_option,
    host_option,
    json_option,
    say,
    show,
    site_argument,
    steps,
    table,
    width,
    wrapped,
)
from bascule.cli.show.output_style import output_style
from bascule.errors import UsageFault
from bascule.model.values import duration
from bascule.system.disk.files import write_file

if TYPE_CHECKING:
    from bascule.rehearsal import Rehearsal
    from bascule.twin.backend_choice import BackendKind
    from bascule.verify.expectations import Outcome


PICTURE_LINES = 50  # as much as a large terminal shows


@click.command()
@site_argument
@host_option
@here_option
@json_option
@click.option(
    "--guests",
    type=click.Choice(("namespace", "qemu", "libvirt")),
    default="namespace",
    show_default=True,
    help="Who plays the guests: namespaces, or virtual machines by bare QEMU or by a libvirt of the twin's own.",
)
@click.option("--root", metavar="DIR", help="The files of this machine are those below DIR instead of its own /etc.")
@click.option("--no-picture", is_flag=True, help="Leave the drawing out.")
@click.option("--highlight", metavar="A:B", help="Show the way that the frame of this expectation took.")
@click.option("--strict", is_flag=True, help="Exit with 1 also where something is left unproven.")
@click.option("--report", "report_file", metavar="FILE", help="Write all of it as one HTML page, too.")
def command(
    *,
    site_file: str,
    host: str | None,
    here: bool,
    as_json: bool,
    guests: BackendKind,
    root: str | None,
    no_picture: bool,
    highlight: str | None,
    strict: bool,
    report_file: str | None,
) -> int:
    """Build the site in throw-away namespaces, apply the plan there, ask every check and expectation, take it down.

    Changes nothing on this machine; needs no root where user namespaces are allowed.
    Exit status: 0 when everything that could be asked holds, 1 when something does not (or, with --strict, was not
    proven).

    Example: bascule rehearse site.yaml --report rehearsal.html
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.verdicts import not_proven
    from bascule.rehearsal import CHANGED

    _look_ahead(site_file, highlight, report_file)
    progress = steps(as_json=as_json)
    seen = workflow.rehearse(site_file, host=host, here=here, root=root, guests=guests, progress=progress)
    progress("")
    if seen.changed:
        say(f"warning: {site_file} {CHANGED}")
    ok = seen.proven if strict else seen.ok
    chosen = _chosen(seen.outcomes, highlight)
    if as_json:
        pass
    elif output_style().quiet:
        show(_wrong(seen, columns=width()))
    else:  # before the report, whose file may fail
        show(_in_words(seen, picture=not no_picture, columns=width(), chosen=chosen))
    if seen.ok and not ok and not as_json:
        show("\n" + not_proven(seen.checks, seen.outcomes, {}, columns=width()))
    if report_file is not None:
        _write_report(seen, site_file, report_file, chosen)
        if not output_style().quiet:
            say(f"report  {report_file}")
    if as_json:
        emit("rehearse", {**_as_json(seen), "ok": ok})
    return 0 if ok else 1


def _wrong(seen: Rehearsal, *, columns: int) -> str:
    """With -q: what failed, and what the plans warn of, as that apply will refuse one here."""
    from bascule.cli.show.plan import show_plan
    from bascule.cli.show.verdicts import show_failures

    failed = show_failures(seen.checks, seen.outcomes, columns=columns)
    warned = (show_plan(name, plan, columns=columns) for name, plan in seen.plans.items())
    return "\n\n".join(filter(None, (failed.rstrip("\n"), *warned)))


def _look_ahead(site_file: str, highlight: str | None, report_file: str | None) -> None:
    """Say before the work what would fail after it. Raises UsageFault."""
    if report_file is not None:
        target = Path(report_file)
        if report_file == "-":
            message = "the report is a page, and standard output has the words"
            raise UsageFault.of("REPORT", message, hint="name a file, as in: --report report.html")
        if target.is_dir():
            raise UsageFault.of("REPORT", f"'{report_file}' is a directory, not a file")
        if not target.parent.is_dir():
            message = f"there is no directory '{target.parent}' to write the report into"
            raise UsageFault.of("REPORT", message, hint="make it first, or name another")
    if highlight is not None and site_file != "-":  # standard input can be read once
        from bascule import workflow
        from bascule.cli.show.highlight import choose, ends

        site = workflow.load(site_file)
        choose(
            ends(highlight),
            [((expected.source, expected.target, str(expected.service)), None) for expected in site.expectations],
        )


def _chosen(outcomes: Sequence[Outcome], highlight: str | None) -> int | None:
    if highlight is None:
        return None
    from bascule.cli.show.highlight import choose, ends

    asked = [((x.expectation.source, x.expectation.target, str(x.expectation.service)), x.ok) for x in outcomes]
    return choose(ends(highlight), asked)


def _write_report(seen: Rehearsal, site_file: str, report_file: str, chosen: int | None) -> None:
    from datetime import datetime

    from bascule.cli.show.report import show_report

    page = show_report(seen, site_file, now=datetime.now().astimezone(), chosen=chosen)
    write_file(report_file, page)


def _in_words(seen: Rehearsal, *, picture: bool, columns: int, chosen: int | None = None) -> str:
    from bascule.cli.show.folding import MOST_PIECES, folded
    from bascule.cli.show.plan import show_plan
    from bascule.cli.show.verdicts import show_checks, show_failures, show_outcomes, tally

    rights = "root" if seen.privilege == "root" else f"a {seen.privilege}"
    headline = f"{seen.site.name}: rehearsed in a twin (with the rights of {rights}; start: {seen.start})"
    parts = [wrapped(headline, indent=0, columns=columns)]
    if seen.backend.accel is not None:
        parts.append("guests  " + wrapped(seen.backend.words, indent=8, columns=columns))
    parts.append(show_failures(seen.checks, seen.outcomes, columns=columns))
    if picture:
        parts.append(_picture(seen, columns, chosen))
    parts += [show_plan(name, plan, columns=columns) for name, plan in seen.plans.items()]
    if seen.notes:
        notes = folded(((note.subject, note.text) for note in seen.notes), tuple(seen.site.guests), most=MOST_PIECES)
        parts.append("\n".join(["in the twin", *table(notes, indent=2, columns=columns)]))
    parts.append(show_checks(seen.checks, columns=columns))
    if seen.outcomes:
        parts.append(show_outcomes(seen.outcomes, columns=columns, model=True))
    steps = ", ".join(f"{name} {duration(value)}" for name, value in seen.timings.items() if name != "total")
    result = ["time    " + wrapped(steps, indent=8, columns=columns)]
    words = f"{tally(seen.checks, seen.outcomes)}, in {duration(seen.timings['total'])}"
    result.append("result  " + wrapped(words, indent=8, columns=columns))
    return "\n\n".join(part for part in (*parts, "\n".join(result)) if part)


def _picture(seen: Rehearsal, columns: int, chosen: int | None) -> str:
    """The picture with its way, or a word about it where it would be longer than a screen."""
    from bascule.draw import draw
    from bascule.draw.answers import answers

    way = None if chosen is None else answers([seen.outcomes[chosen]])[0].highlight
    text = draw(seen.site, width=columns, ascii=output_style().ascii, highlight=way).rstrip()
    lines = text.count("\n") + 1
    if lines <= PICTURE_LINES or output_style().verbose or way is not None:
        return text
    return wrapped(f"picture: left out, it has {lines} lines; -v and 'bascule draw' show it", indent=9, columns=columns)


def _as_json(seen: Rehearsal) -> dict[str, Any]:
    from bascule.cli.show.plan import plan_as_json

    return {
        "ok": seen.ok,
        "site": seen.site.name,
        "sha256": seen.site.source.digest,
        "privilege": seen.privilege,
        **seen.backend.as_json(),
        "observed": list(seen.observed),
        "plans": [plan_as_json(name, plan) for name, plan in seen.plans.items()],
        "checks": [check.as_json() for check in seen.checks],
        "expectations": [outcome.as_json() for outcome in seen.outcomes],
        "notes": [{"kind": note.kind, "subject": note.subject, "text": note.text} for note in seen.notes],
        "timings": {name: round(value, 4) for name, value in seen.timings.items()},
        "changed_meanwhile": seen.changed,
    }
