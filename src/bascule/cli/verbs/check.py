"""bascule check: every problem of the site file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bascule.cli.common import sentence, show
from bascule.cli.entry import emit
from bascule.cli.show.output_style import output_style

if TYPE_CHECKING:
    from bascule.model.site import Site


@click.command()
@click.argument("site", metavar="SITE")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(site: str, *, as_json: bool) -> int:
    """Every problem of the site file SITE ('-': standard input), with its place and a hint. Reads only.

    Example: bascule check site.yaml
    """
    from bascule.cli.show.problems import show_problems, show_remarks
    from bascule.errors import SiteFault
    from bascule.questions import contradictions
    from bascule.site import parse
    from bascule.site.remarks import remarks
    from bascule.system.disk.files import read_bytes

    data, name = read_bytes(site), "standard input" if site == "-" else site
    try:
        right = parse(data, "stdin" if site == "-" else site)
        if problems := contradictions(right):
            raise SiteFault(*problems)
    except SiteFault as fault:
        if as_json:
            emit("check", {"ok": False, "problems": [problem.as_json() for problem in fault.problems]})
        else:
            show(f"{show_problems(fault.problems)}\n\n{_count(len(fault.problems), 'problem')} in {name}")
        return fault.exit_status
    if as_json:
        minded = [remark.as_json() for remark in remarks(right)]
        emit("check", {"ok": True, "site": right.name, "counts": _counts(right), "problems": [], "mind": minded})
        return 0
    if not output_style().quiet:
        told = ", ".join(_count(number, _noun(key)) for key, number in _counts(right).items() if number)
        words = f"{name} is valid: site '{right.name}'" + (f" with {told}" if told else ", empty so far")
        show(sentence(words))
    if warned := show_remarks(remarks(right), right.guests):
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


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
