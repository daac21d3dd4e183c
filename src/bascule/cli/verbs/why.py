"""``bascule why``: why one reaches another, or does not."""

from __future__ import annotations

import click

from bascule.cli.common import asked_service, here_option, host_option, json_option, show, state_options, width
from bascule.cli.show.output_style import output_style


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.argument("service", metavar="[SERVICE]", required=False, default="icmp")
@click.option("--site", "site_file", metavar="SITE", help="The site file with the names and addresses.")
@host_option
@here_option
@json_option
@state_options
@click.option("--all", "everything", is_flag=True, help="Show every stage, also where nothing happens.")
@click.option("--brief", is_flag=True, help="Print the verdict alone, in one line.")
@click.option("--probe", "frames", is_flag=True, help="Ask with real frames as well, and say where these disagree.")
@click.option("--root", metavar="DIR", default="/", help="Look for the files of firewalls below DIR.")
def command(
    *,
    source: str,
    target: str,
    service: str,
    site_file: str | None,
    host: str | None,
    here: bool,
    as_json: bool,
    wanted: bool,
    observed: str | None,
    everything: bool,
    brief: bool,
    frames: bool,
    root: str,
) -> int:
    """Follow a packet from FROM to TO and back, and name everything that stops it: rule, owner, file and line.

    FROM and TO are guests, hosts or machines, addresses, MACs, `host` for this host, or `internet`. SERVICE is
    tcp/PORT, udp/PORT (or a range, tcp/8000-8100), icmp, or a name like ssh. Reads only: the kernel is modelled, and
    nothing is sent without --probe.
    Exit status: 0 where one reaches the other, else 1; with --probe 1 as well where model and frames disagree.

    Example: bascule why web db tcp/5432
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.frames import frames_as_json, show_frames
    from bascule.cli.show.why import show_why, why_as_json
    from bascule.errors import UsageFault
    from bascule.providers.state_file import read_state
    from bascule.questions import probed

    asked = asked_service(service, "SERVICE")
    if wanted and site_file is None:
        raise UsageFault.of("USAGE", "--wanted needs a site file", hint="name it with --site SITE")
    if frames and (wanted or observed):
        hint = "leave --wanted and --observed out"
        raise UsageFault.of("USAGE", "--probe asks this host as it is", hint=hint)
    state = read_state(observed) if observed else None
    found = workflow.why(
        source, target, asked, site=site_file, host=host, here=here, state=state, wanted=wanted, root=root
    )
    seen = probed(found) if frames else None
    ok = found.result.value == "yes" and (seen is None or seen.agrees is not False)
    if as_json:
        emit("why", {"ok": ok, **why_as_json(found), **frames_as_json(seen)})
    else:
        quiet = output_style().quiet
        if not (quiet and found.result.value == "yes"):
            show(show_why(found, everything=everything, brief=brief or quiet, columns=width()))
        if not (quiet and ok):
            show_frames(seen, found)
    return 0 if ok else 1
