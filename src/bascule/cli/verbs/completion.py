"""``bascule completion``: what makes the shell complete verbs, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bascule.cli import VARIABLE, group
from bascule.cli.common import put


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print the completion for a shell.

    For bash: `bascule completion bash > /etc/bash_completion.d/bascule`. It completes verbs, options and files, and
    the hosts, guests, NICs and bridges of the site file on the line.
    """
    made = get_completion_class(shell)
    assert made is not None  # for the three that can be asked for
    put(made(group, {}, "bascule", VARIABLE).source())
