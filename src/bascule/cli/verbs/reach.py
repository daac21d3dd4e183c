"""``bascule reach``: who reaches whom by which service."""

from __future__ import annotations

import click

from bascule.cli.common import asked_service, here_option, host_option, json_option, show, state_options, width


@click.command()
@click.argument("site_file", metavar="[SITE]", required=False)
@host_option
@here_option
@json_option
@click.option("--services", metavar="LIST", default="", help="Ask by these services: tcp/22,udp/53,icmp.")
@click.option("--from", "sources", metavar="FROM", multiple=True, help="Ask from this one alone; may be given again.")
@click.option("--to", "targets", metavar="TO", multiple=True, help="Ask for this one alone; may be given again.")
@state_options
def command(
    *,
    site_file: str | None,
    host: str | None,
    here: bool,
    as_json: bool,
    services: str,
    sources: tuple[str, ...],
    targets: tuple[str, ...],
    wanted: bool,
    observed: str | None,
) -> int:
    """Show who reaches whom by which service, by a model of the host; differences against `expect` first.

    Those whom no rule, port or route tells apart are one row. Reads only, and sends nothing. With --wanted, a file
    with several hosts and no --host all of them are asked.
    Exit status: 0, or 1 where the model contradicts an expectation of the file.

    Example: bascule reach site.yaml --services tcp/22,icmp
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.reach import reach_as_json, show_reach
    from bascule.errors import UsageFault
    from bascule.providers.state_file import read_state

    asked = [asked_service(word, "--services") for word in services.split(",") if word]
    if wanted and site_file is None:
        raise UsageFault.of("USAGE", "--wanted needs a site file", hint="name the site file")
    state = read_state(observed) if observed else None
    found = workflow.reach(
        site_file, host=host, here=here, state=state, wanted=wanted, services=asked, sources=sources, targets=targets
    )
    if as_json:
        emit("reach", {"ok": not found.violations, **reach_as_json(found)})
    else:
        show(show_reach(found, columns=width()))
    return 1 if found.violations else 0
