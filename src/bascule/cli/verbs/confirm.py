"""``bascule confirm``: keep the change that waits."""

from __future__ import annotations

import click

from bascule.cli.common import json_option


@click.command()
@json_option
def command(*, as_json: bool) -> int:
    """Keep the change that `bascule apply` made; without it the change is taken back.

    Exit status: 0 kept, 1 nothing waits for it (taken back already, or confirmed before).

    Example: bascule confirm
    """
    from bascule import workflow
    from bascule.cli.common import say, show, steps
    from bascule.cli.entry import emit
    from bascule.cli.show.output_style import output_style

    number = workflow.confirm(say, steps(as_json=as_json))
    if as_json:
        emit("confirm", {"ok": True, "change": number})
    elif not output_style().quiet:
        show(f"change {number} is confirmed; 'bascule undo' still takes it back until the next restart")
    return 0
