"""``bascule verify``: whether it is so, on this host, now."""

from __future__ import annotations

import click

from bascule.cli.common import host_option, json_option, root_option, show, site_argument, steps, width, wrapped
from bascule.cli.show.output_style import output_style


@click.command()
@site_argument
@host_option
@root_option
@json_option
@click.option("--strict", is_flag=True, help="Exit with 1 also where a guest is off or something is left unproven.")
@click.option(
    "--attack",
    metavar="GUEST",
    help="Ask only whether the guest's guard stops every hostile frame, sent from a port of Bascule's own "
    "beside its tap; no other machine gets one.",
)
def command(
    *, site_file: str, host: str | None, root: str | None, as_json: bool, strict: bool, attack: str | None
) -> int:
    """Check the bridges, NICs, guests and files of this host, and ask the expectations that it can ask.

    Changes nothing; sends probes (ARP, ICMP, TCP, UDP). What only others can ask is listed with the reason.
    A guest that is off is marked '-', and an expectation that needs it is unproven.
    Where a change waits for 'bascule confirm', it says when that goes back.
    Exit status: 0 when everything that could be asked holds, 1 when something does not (or, with --strict, was not
    proven).

    Example: bascule verify site.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.verdicts import not_proven, show_checks, show_failures, show_outcomes, tally

    if attack is not None:
        return _attacked(site_file, host, attack, as_json=as_json)
    doing = steps(as_json=as_json)
    seen = workflow.verify(site_file, host=host, root=root, progress=doing)
    doing("")
    ok = seen.proven if strict else seen.ok
    if as_json:
        document = {
            "ok": ok,
            "host": seen.host.name,
            "waiting": seen.waiting or None,
            "checks": [check.as_json() for check in seen.checks],
            "expectations": [outcome.as_json() for outcome in seen.outcomes],
        }
        emit("verify", document)
        return 0 if ok else 1
    columns = width()
    asked = [outcome for outcome in seen.outcomes if outcome.ok is not None]
    parts = [show_failures(seen.checks, asked, columns=columns)]
    if not output_style().quiet:
        parts.append(show_checks(seen.checks, columns=columns))
        parts += [show_outcomes(seen.outcomes, columns=columns)] if seen.outcomes else []
        parts.append("result  " + wrapped(tally(seen.checks, seen.outcomes), indent=8, columns=columns))
    if seen.ok and not ok:
        parts.append(not_proven(seen.checks, seen.unproven, seen.off, columns=columns))
    if seen.waiting:
        parts.append("warning: " + wrapped(seen.waiting, indent=9, columns=columns))
    show("\n\n".join(part for part in parts if part))
    return 0 if ok else 1


def _attacked(site_file: str, host: str | None, guest: str, *, as_json: bool) -> int:
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.verdicts import show_checks, show_failures

    checks = workflow.attack(site_file, guest, host=host)
    ok = all(check.ok for check in checks)
    if as_json:
        emit("verify", {"ok": ok, "checks": [check.as_json() for check in checks], "expectations": []})
    else:
        parts = [show_failures(checks, (), columns=width())]
        parts += [] if output_style().quiet else [show_checks(checks, columns=width())]
        show("\n\n".join(part for part in parts if part))
    return 0 if ok else 1
