"""The command line: one file per verb, imported on use, so that ``bascule --help`` stays near the bare interpreter."""

from __future__ import annotations

import importlib
import keyword
import os
import sys

import click

from bascule import __version__
from bascule.cli.show.output_style import add_options
from bascule.errors import UsageFault

VARIABLE = "_BASCULE_COMPLETE"  # click's word for: the shell asks
VERBS = {  # verb: what it does, what it changes
    "check": "Every problem of the site file, with its place and a hint. Reads only.",
    "plan": "What would change, in order, why, and which guests it touches. Reads only.",
    "rehearse": "Build the twin, apply the plan in it, test every expectation. Uses temporary namespaces only.",
    "apply": "Change this host; the change is taken back unless it is confirmed.",
    "confirm": "Keep the change that `apply` made.",
    "undo": "Take the last change back, and verify that all is as before.",
    "status": "Pending and unfinished changes, and drift. Reads only.",
    "render": "A host's configuration files in any dialect, or as commands. Writes only where it is told.",
    "import": "Write a site file from this host: kernel, configuration files, libvirt. Reads only.",
    "draw": "Draw the file, the live host or both, with a path highlighted. Reads only.",
    "serve": "The live picture in the browser, expectations on demand. Reads only; sends probes when asked.",
    "verify": "The checks and expectations on the live host. Reads, and sends probes.",
    "reach": "Who reaches whom by which service, by a model of the host. Reads only.",
    "why": "Why one reaches another or not: every rule in the way, its owner, its file, and a fix. Reads only.",
    "guest": "Virtual servers: list, define, start, shut down, stop, plug, watch. Changes guests.",
    "capacity": "Whether the guests fit into the host's memory, and one more. Reads only.",
    "doctor": "Known causes of trouble on this host, each with evidence and a fix. Reads only.",
    "survey": "Which network is on which wire, with the evidence. Listens only.",
    "blink": "Find a NIC's port by its blinking LED. Changes nothing.",
    "completion": "The completion script for bash, zsh or fish: verbs, options and names. Reads only.",
    "schema": "The JSON schema of the site file. Reads only.",
}


class Verbs(click.Group):
    """Loads a verb's file when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are used."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object of ``cli/verbs/<verb>.py``."""
        if cmd_name not in VERBS:
            return None
        name = cmd_name.replace("-", "_") + "_" * keyword.iskeyword(cmd_name)  # import_.py
        module = importlib.import_module(f"bascule.cli.verbs.{name}")
        from bascule.cli.common import refuse_empty  # behind the verb: `bascule --help` needs none of it

        command: click.Command = refuse_empty(add_options(module.command))
        if VARIABLE in os.environ:
            from bascule.cli.complete import add_completions

            return add_completions(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is asked for; of one that is not there, which was meant."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            from difflib import get_close_matches

            close = get_close_matches(args[0], VERBS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "see 'bascule --help' for the verbs"
            if args[0] == "help":  # as some programs have it
                hint = f"say 'bascule {' '.join((*args[1:2], '--help'))}'"
            raise UsageFault.of("USAGE", f"there is no verb '{args[0]}'", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any of them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bascule")
@click.pass_context
def group(ctx: click.Context) -> None:
    """Put KVM guests on real networks: rehearse, change, take back, prove, draw."""
    if ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help() + "\n")


add_options(group)


def main() -> None:
    """Run a verb and turn what goes wrong into words and an exit status: ends with SystemExit."""
    from bascule.cli.entry import run

    # no plug-in has a say in a site file, and to look for one opens the metadata of every package there is
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if VARIABLE in os.environ:
        importlib.import_module("bascule.cli.complete")  # what each shell needs
    run(group)


def program() -> None:
    """The entry point of a process that is nothing else: it ends with the verb."""
    from bascule.cli.entry import end

    try:
        main()
    except SystemExit as stop:
        end(stop.code)
