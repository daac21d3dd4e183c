"""bascule check: every problem of the site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bascule.cli.common import json_option, sentence, show, site_argument, steps
from bascule.cli.entry import emit
from bascule.cli.show.output_style import output_style
from bascule.model.values import count

if TYPE_CHECKING:
    from bascule.model.site import Site


@click.command()
@site_argument
@json_option
def command(*, site_file: str, as_json: bool) -> int:
    """Every problem of the site file SITE ('-': standard input), with its place and a hint. Reads only.

    Example: bascule check site.yaml
    """
    from bascule import workflow
    from bascule.cli.show.problems import show_problems, show_remarks
    from bascule.errors import SiteFault
    from bascule.site import parse
    from bascule.site.remarks import remarks
    from bascule.system.disk.files import STDIN, read_bytes

    data, name = read_bytes(site_file), STDIN if site_file == "-" else site_file
    try:
        site = parse(data, "stdin" if site_file == "-" else site_file)
        doing = steps(as_json=as_json)
        problems = workflow.check(site, doing)
        doing("")
        if problems:
            raise SiteFault(*problems)
    except SiteFault as fault:
        if as_json:
            emit("check", {"ok": False, "problems": [problem.as_json() for problem in fault.problems]})
        else:
            show(f"{show_problems(fault.problems)}\n\n{count(len(fault.problems), 'problem')} in {name}")
        return fault.exit_status
    if as_json:
        mind = [remark.as_json() for remark in remarks(site)]
        emit("check", {"ok": True, "site": site.name, "counts": _counts(site), "problems": [], "mind": mind})
        return 0
    if not output_style().quiet:
        declared = ", ".join(count(number, _noun(key)) for key, number in _counts(site).items() if number)
        words = f"{name} is valid: site '{site.name}'" + (f" with {declared}" if declared else ", empty so far")
        show(sentence(words))
    if warned := show_remarks(remarks(site), site.guests):
        show(f"\n{warned}")
    return 0


def _counts(site: Site) -> dict[str, int]:
    """How many of each the file declares."""
    hosts = site.hosts.values()
    return {
        "networks": len(site.networks),
        "hosts": len(site.hosts),
        "nics": sum(len(host.nics) for host in hosts),
        "bonds": sum(len(host.bonds) for host in hosts),
        "vlans": sum(len(host.vlans) for host in hosts),
        "bridges": sum(len(host.bridges) for host in hosts),
        "virtual_networks": sum(len(host.virtual_networks) for host in hosts),
        "guests": len(site.guests),
        "machines": len(site.machines),
        "expectations": len(site.expectations),
    }


def _noun(key: str) -> str:
    """A counted thing in the singular."""
    return {"nics": "NIC", "vlans": "VLAN link", "virtual_networks": "virtual network"}.get(key, key.removesuffix("s"))
