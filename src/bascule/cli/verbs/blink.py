"""``bascule blink``: find the port with its LED."""

from __future__ import annotations

import click

from bascule.cli.common import json_option


@click.command()
@click.argument("nics", metavar="[NIC]...", nargs=-1)
@click.option(
    "--seconds",
    metavar="SECONDS",
    type=click.IntRange(1, 600),
    default=10,
    show_default=True,
    help="How long each blinks.",
)
@click.option("--all", "every", is_flag=True, help="Every NIC of the host, one after the other.")
@json_option
def command(*, nics: tuple[str, ...], seconds: int, every: bool, as_json: bool) -> int:
    """Let the LED at a NIC's port blink, one NIC after the other.

    It needs eyes at the rack, and a driver that can; where it cannot, this says so and goes on with the next.
    Exit status: 1 if one could not blink.

    Example: bascule blink --all --seconds 5
    """
    from bascule import workflow
    from bascule.cli.common import say, say_fine
    from bascule.cli.entry import emit
    from bascule.errors import BasculeError, UsageFault

    if every == bool(nics):
        message = "name the NICs to blink, or use --all" if not nics else "name NICs or use --all, not both"
        raise UsageFault.of("USAGE", message, hint="name one, like bascule blink eth4")
    found = workflow.blink(nics, seconds, remark=say, begun=lambda nic: say_fine(f"{nic}: blinking for {seconds} s …"))
    problems = [problem for problem in found.values() if problem is not None]
    if as_json:
        rows = [{"nic": nic, "ok": x is None, **({"problem": x.as_json()} if x else {})} for nic, x in found.items()]
        emit("blink", {"ok": not problems, "nics": rows})
    elif problems:
        raise BasculeError(*problems)
    return 1 if problems else 0
