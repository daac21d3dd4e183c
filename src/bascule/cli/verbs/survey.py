"""``bascule survey``: which network is on which wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bascule.cli.common import host_option, json_option, show, width
from bascule.cli.listening import SURVEY_S, progress

if TYPE_CHECKING:
    from mmap import mmap


@click.command()
@click.argument("nics", metavar="[NIC]...", nargs=-1)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.FloatRange(0.5, 3600),
    default=SURVEY_S,
    show_default=True,
    help="How long to listen.",
)
@click.option("--site", "site_file", metavar="SITE", help="Judge against the networks that this file declares.")
@host_option
@click.option("--pcap", metavar="NIC=FILE", multiple=True, help="Judge a capture instead of listening; repeatable.")
@click.option("--active", is_flag=True, help="Also send a harmless frame out of each NIC to prove which share a wire.")
@json_option
def command(
    *,
    nics: tuple[str, ...],
    seconds: float,
    site_file: str | None,
    host: str | None,
    pcap: tuple[str, ...],
    active: bool,
    as_json: bool,
) -> int:
    """Listen on all NICs (or those named) at once, and say which network is on which wire, how sure, and why.

    Sends nothing, unless --active is given. NICs that are down are brought up quietly and put back. Ctrl-C ends the
    listening early and judges what was heard. 30 s hear most things; CDP and some switches speak every 60 s.

    Without --site the networks are proposed as a draft of the file. Exit status: 0, or 1 when a wire is another than
    the file says, or a loop is closed.

    Example: bascule survey --site site.yaml --seconds 60
    """
    import signal

    from bascule import workflow
    from bascule.cli.common import say
    from bascule.cli.entry import emit
    from bascule.cli.show.survey import show_survey, survey_as_json
    from bascule.errors import UsageFault
    from bascule.host.identity import name_for_site
    from bascule.topology.loops import find_loops

    if host is not None and site_file is None:
        raise UsageFault.of("USAGE", "--host names a host of the site file: give --site, too")
    if pcap and active:
        raise UsageFault.of("USAGE", "--active sends frames; a capture cannot answer")
    about = workflow.load_for(site_file, host) if site_file else None
    taken = workflow.survey(
        nics,
        seconds=seconds,
        site=about[0] if about else None,
        host=about[1].name if about else None,
        active=active,
        captures=_captures(pcap, nics) if pcap else None,
        progress=None if pcap else progress(seconds, as_json=as_json),
    )
    loops = find_loops(taken.state, taken.survey.wires) if taken.state is not None else ()
    for remark in taken.remarks:
        say(remark)
    if taken.stopped_by and taken.stopped_by != signal.SIGINT:
        say(f"ended by {signal.Signals(taken.stopped_by).name}; every NIC is as it was")
        raise SystemExit(128 + taken.stopped_by)
    ok = not taken.survey.contradictions and not loops
    name = about[1].name if about else name_for_site()
    if as_json:
        emit("survey", {"ok": ok, **survey_as_json(taken.survey, host=name, loops=loops)})
    else:
        show(show_survey(taken.survey, columns=width(), host=name, loops=loops))
    return 0 if ok else 1


def _captures(pairs: tuple[str, ...], nics: tuple[str, ...]) -> dict[str, list[tuple[str, bytes | mmap]]]:
    from bascule.errors import UsageFault
    from bascule.system.disk.mapped import map_file

    found: dict[str, list[tuple[str, bytes | mmap]]] = {}
    for pair in pairs:
        nic, equals, path = pair.partition("=")
        if not equals or not nic or not path:
            raise UsageFault.of(
                "USAGE", f"--pcap takes NIC=FILE, not '{pair}'", hint="write it like --pcap eth4=a.pcap"
            )
        if nics and nic not in nics:
            continue
        found.setdefault(nic, []).append((path, map_file(path)))
    if missing := [nic for nic in nics if nic not in found]:
        raise UsageFault.of("USAGE", f"there is no capture of {', '.join(missing)} among --pcap")
    return found
