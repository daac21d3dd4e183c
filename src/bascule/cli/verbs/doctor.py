"""``bascule doctor``: what causes trouble on this host."""

from __future__ import annotations

import click

from bascule.cli.common import connect_option, host_option, json_option, show, width, wrapped
from bascule.cli.show.output_style import output_style
from bascule.model.values import count


@click.command()
@click.argument("site_file", metavar="[SITE]", required=False, type=click.Path(dir_okay=True))
@host_option
@json_option
@connect_option
@click.option("--all", "everything", is_flag=True, help="Also show what is in order.")
def command(*, site_file: str | None, host: str | None, as_json: bool, connect: str | None, everything: bool) -> int:
    """Look for what causes trouble: packages, KVM, modules, firewalls, colliding networks, duplicate MACs.

    Each finding comes with its evidence and a fix. Changes nothing; a probe guest of five bytes is started to
    see whether KVM works. Exit status: 0, or 1 when there is a problem.

    Example: bascule doctor site.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit

    findings = workflow.doctor(site_file, host=host, uri=connect)
    bad = [finding for finding in findings if finding.severity == "problem"]
    if as_json:
        emit("doctor", {"ok": not bad, "findings": [finding.as_json() for finding in findings]})
        return 1 if bad else 0
    columns = width()
    kept = {"problem", "warning"} if output_style().quiet else {"problem", "warning", "note"}
    shown = [finding for finding in findings if everything or output_style().verbose or finding.severity in kept]
    lines = []
    for finding in shown:
        words = wrapped(f"{finding.subject}: {finding.text}", indent=9, columns=columns)
        lines.append(f"{finding.severity.value:<8} {words}")
        lines += [f"         seen: {wrapped(words, indent=15, columns=columns)}" for words in finding.evidence]
        if finding.fix:
            lines.append(f"         fix:  {wrapped(finding.fix, indent=15, columns=columns)}")
    found = {kind: sum(f.severity == kind for f in findings) for kind in ("problem", "warning", "note")}
    kinds = [count(number, kind) for kind, number in found.items() if number or kind == "problem"]
    if output_style().quiet and not lines:
        return 0
    lines.append(f"result   {', '.join(kinds)}, {sum(f.severity == 'ok' for f in findings)} ok")
    show("\n".join(lines))
    return 1 if bad else 0
