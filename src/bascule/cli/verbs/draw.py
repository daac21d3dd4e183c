"""``bascule draw``: the picture, from the file, from the live host, or from both with the differences marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bascule.cli.common import NARROWEST, asked_service, host_option, json_option, put, root_option, say, width
from bascule.cli.show.output_style import output_style
from bascule.draw.formats import CONVERTED, FORMATS, of_file
from bascule.errors import UsageFault
from bascule.system.disk.files import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bascule.draw import Highlight, SeenHost
    from bascule.model.site import Site


@click.command()
@click.argument("site_file", metavar="[SITE]", required=False, type=click.Path(dir_okay=True))
@host_option
@root_option
@json_option
@click.option("--live", is_flag=True, help="Look at this host, too, and mark what differs. Without SITE: always.")
@click.option(
    "--format",
    "form",
    type=click.Choice([*FORMATS, *CONVERTED]),
    help="What to draw; text, or what the name of the output file says.",
)
@click.option("-o", "--output", metavar="FILE", help="Write there; - is stdout, as without it.")
@click.option("--highlight", metavar="A:B", help="Show the path of a frame from one endpoint to another.")
@click.option(
    "--witness",
    metavar="FILE",
    help="With --highlight: the path that a rehearsal saw; FILE is the output of 'bascule rehearse --json'.",
)
@click.option(
    "--width",
    "columns",
    metavar="COLUMNS",
    type=int,
    help=f"Columns of the text, {NARROWEST} or more; by default the terminal's.",
)
@click.option("--all", "everyone", is_flag=True, help="Draw each guest, also where many are alike.")
@click.option(
    "--date",
    metavar="TEXT",
    help="Put this date into the picture; 'today' for the current day. Without it, the same input gives the same file.",
)
def command(
    *,
    site_file: str | None,
    host: str | None,
    root: str | None,
    as_json: bool,
    live: bool,
    form: str | None,
    output: str | None,
    highlight: str | None,
    witness: str | None,
    columns: int | None,
    everyone: bool,
    date: str | None,
) -> int:
    """Draw guests, taps, bridges, NICs, networks and machines in their layers.

    Reads only. With --live the elements are marked wanted (in the file, not on the host), drifted (different) or
    foreign (not in the file). An SVG needs nothing but a browser and prints on A4. PNG and PDF are made of it by
    rsvg-convert, Inkscape or Chromium, whichever is here.

    Example: bascule draw site.yaml --live -o rack.svg --highlight guest_02:customer
    """
    from bascule.draw import draw

    form = "json" if as_json else form or of_file(output or "")
    output = None if output == "-" and form not in CONVERTED else output
    if form in CONVERTED and output is None:
        raise UsageFault.of("USAGE", f"a {form.upper()} needs a file", hint=f"name one with -o rack.{form}")
    site, observed = _read(site_file, host, root, live=live)
    drawing = draw(
        site,
        format="svg" if form in CONVERTED else form,
        width=_columns(columns),
        observed=observed,
        highlight=_way(site, highlight, witness, host=host, live=bool(observed)),
        ascii=output_style().ascii if output is None else output_style().ascii_said,
        date=_day(date),
        collapse=None if everyone else "auto",
    )
    if output is None:
        put(drawing)
    elif form in CONVERTED:
        from bascule.system.svg import convert

        write_file(output, convert(drawing, form))
    else:
        write_file(output, drawing)
    return 0


def _read(
    site_file: str | None, host: str | None, root: str | None, *, live: bool
) -> tuple[Site, Mapping[str, SeenHost]]:
    """The site, and what was seen of the host that we are on, if it is asked for."""
    from bascule import workflow

    if live or site_file is None:
        return workflow.seen(site_file, host=host, root=root)
    if root is not None:
        raise click.UsageError("--root goes with --live: without it no file of a host is looked at")
    if host is not None:
        return workflow.load_for(site_file, host)[0], {}
    return workflow.load(site_file), {}


def _columns(columns: int | None) -> int:
    if columns is not None and columns < NARROWEST:
        raise UsageFault.of("USAGE", f"--width {columns} is less than {NARROWEST} columns")
    return columns or width()


def _way(site: Site, highlight: str | None, witness: str | None, *, host: str | None, live: bool) -> Highlight | None:
    """What the file promises or the host as it is has, by the model of its rules as well; or what a rehearsal saw."""
    from bascule.cli.show.highlight import ends, from_rehearsal
    from bascule.draw.scene.highlight import Highlight

    if highlight is None:
        if witness is not None:
            hint = "say which: --highlight guest_02:customer"
            raise UsageFault.of("USAGE", "--witness needs a path to show", hint=hint)
        return None
    meant = ends(highlight)
    if witness is None:
        from bascule import workflow
        from bascule.model.values import Service
        from bascule.questions import said_of_way

        service = asked_service(meant[2], "--highlight") if meant[2] else None
        here = workflow.load_for(site, host)[1] if live else None
        modelled = said_of_way(site, meant[0], meant[1], service or Service("icmp"), live=here)
        stopped = modelled.result.value == "no"
        return Highlight(
            source=meant[0],
            target=meant[1],
            service=service,
            reached=False if stopped else None,
            sentence=f"{meant[0]} does not reach {meant[1]}: {modelled.words}",
            stopped_at=modelled.stopped_at if stopped else (),
        )
    way, digest = from_rehearsal(witness, meant)
    if digest != site.source.digest:
        say(f"warning: {witness} is about another version of the site file; the way may have changed")
    return way


def _day(date: str | None) -> str | None:
    if date != "today":
        return date
    from datetime import date as day

    return day.today().isoformat()
