"""``bascule plan``: what would change on this host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bascule.cli.common import (
    driver_options,
    here_option,
    host_option,
    json_option,
    put,
    root_option,
    say,
    sentence,
    show,
    site_argument,
    width,
)
from bascule.cli.listening import progress, survey_options
from bascule.cli.show.colours import painted

if TYPE_CHECKING:
    from bascule.apply.prepare import PreparedPlan


@click.command()
@site_argument
@host_option
@here_option
@json_option
@survey_options
@click.option("--commands", is_flag=True, help="Print the exact commands instead, ready to paste.")
@click.option("--diff", "as_diff", is_flag=True, help="Print how the configuration files will change, as a diff.")
@root_option
@click.option("--exit-code", is_flag=True, help="Exit with 2 when there are changes.")
@click.option("--observed", metavar="FILE", help="Plan against a saved state instead of this host.")
@driver_options
@click.option("--save-observed", metavar="FILE", help="Save this host's state as it was observed, as JSON.")
def command(
    *,
    site_file: str,
    host: str | None,
    here: bool,
    as_json: bool,
    commands: bool,
    as_diff: bool,
    root: str | None,
    exit_code: bool,
    observed: str | None,
    save_observed: str | None,
    survey: bool,
    survey_seconds: float,
    driver: str | None,
    connect: str | None,
) -> int:
    """Show what would change on this host, in order, why, at what risk, and which guests it touches.

    Lists every configuration file that an apply would write, move aside or remove.
    Reads only; --survey also brings NICs that are down up quietly, and puts them back.
    Exit status: 0, or 2 with --exit-code when there are changes.

    Example: bascule plan site.yaml --commands
    """
    from bascule import workflow
    from bascule.apply.options import DriverChoice
    from bascule.errors import UsageFault
    from bascule.providers.state_file import read_state, save_state

    choice = DriverChoice(driver=driver or "", uri=connect)
    if survey and observed:
        raise UsageFault.of("USAGE", "--survey listens on this host; --observed is about another")
    state = read_state(observed) if observed else None
    planned = workflow.plan(site_file, host=host, here=here, root=root, observed=state, choice=choice)
    if save_observed:
        save_state(save_observed, planned.observed)
    if survey:
        tell = progress(survey_seconds, as_json=as_json)
        for remark in workflow.gate(planned, seconds=survey_seconds, progress=tell):
            say(f"warning: {remark}")
    _print(planned, as_json=as_json, commands=commands, as_diff=as_diff, observed=bool(observed), root=root)
    return 2 if exit_code and (planned.plan or planned.plan.files) else 0


def _print(
    planned: PreparedPlan, *, as_json: bool, commands: bool, as_diff: bool, observed: bool, root: str | None
) -> None:
    from bascule.apply.plan_preview import no_files
    from bascule.cli.entry import emit
    from bascule.cli.show.plan import plan_as_json, show_diff, show_own_line, show_plan
    from bascule.plan.batch import script

    if as_json:
        emit("plan", {"ok": True, **plan_as_json(planned.host.name, planned.plan)})
    elif commands:
        put(script(planned.plan))
    elif as_diff:
        put(painted(show_diff(planned.plan), sys.stdout))
        if not planned.plan.files:
            why = "" if observed else no_files(planned, root)
            words = f"no file would be written, moved or removed{why and f': {why}'}"
            say(sentence(words))
    else:
        parts = (
            show_plan(planned.host.name, planned.plan, columns=width()),
            show_own_line(planned.plan, columns=width()),
        )
        show("\n\n".join(part for part in parts if part))
