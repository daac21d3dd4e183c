"""``bascule completion``: what makes the shell complete verbs, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bascule.cli import VARIABLE, group
from bascule.cli.common import json_option, put


@click.command()
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")))
@json_option
def command(*, shell: str, as_json: bool) -> None:
    """Print the completion for a SHELL: bash, zsh or fish.

    For bash: `bascule completion bash > /etc/bash_completion.d/bascule`. It completes verbs, options and files, and
    the hosts, guests, NICs and bridges of the site file on the line.

    Example: bascule completion zsh > ~/.zsh/functions/_bascule
    """
    import bascule.cli.complete  # noqa: F401  # what each shell needs

    made = get_completion_class(shell)
    assert made is not None  # for the three that can be asked for
    script = made(group, {}, "bascule", VARIABLE).source()
    if as_json:
        from bascule.cli.entry import emit

        emit("completion", {"ok": True, "shell": shell, "script": script})
    else:
        put(script)
