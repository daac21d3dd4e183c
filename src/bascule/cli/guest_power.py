"""Verbs about the power and the definition of a guest: start, shutdown, stop, autostart, undefine, console."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bascule.cli.common import connect_option, json_option, say, show, steps
from bascule.cli.show.folding import folded, ranges
from bascule.cli.show.output_style import output_style
from bascule.guests.runtimes import RUNTIMES
from bascule.model.values import duration

if TYPE_CHECKING:
    from bascule.guests.chosen import ChosenGuests
    from bascule.plan.change import Note

F = TypeVar("F", bound=Callable[..., Any])

SHUTDOWN_S = 60.0  # a Linux server needs some 10 s, a Windows that installs updates minutes


def runtime_options(function: F) -> F:
    """Which of them runs the guest, and libvirt's connection."""
    driver = click.option(
        "--driver", type=click.Choice(RUNTIMES), help="Default: libvirt where it answers, else bare QEMU."
    )
    return driver(connect_option(function))


def _of_guests(function: F) -> F:
    """GUEST..., and what each of these verbs takes beside."""
    named = click.argument("names", metavar="GUEST...", nargs=-1, required=True)
    return named(runtime_options(json_option(function)))


def _yes(function: F) -> F:
    return click.option("--yes", "--force", "yes", is_flag=True, help="Do not ask.")(function)


@click.command()
@_of_guests
def start(*, names: tuple[str, ...], driver: str | None, connect: str | None, as_json: bool) -> int:
    """Start guests; those that run are left alone.

    Example: bascule guest start web db
    """
    chosen = chosen_guests(names, driver, connect)
    chosen.start()
    report("guest-start", _done("started", chosen.off, "ran already", chosen.running), (), as_json=as_json)
    return 0


@click.command()
@click.option(
    "--wait",
    "wait_s",
    metavar="SECONDS",
    type=click.FloatRange(0, 86400),
    default=SHUTDOWN_S,
    show_default=True,
    help="How long to wait until it is off; 0: do not wait.",
)
@click.option(
    "--mode", type=click.Choice(("acpi", "agent")), help="How the guest is asked; by default the first way that works."
)
@_of_guests
def shutdown(
    *, names: tuple[str, ...], wait_s: float, mode: str | None, driver: str | None, connect: str | None, as_json: bool
) -> int:
    """Ask guests to shut down, and wait until they are off.

    The guest's power button is pressed (ACPI), or its guest agent is asked. A guest may refuse, or ask its user;
    `bascule guest stop` then pulls the plug. Exit status: 0 all are off, 1 one still runs.

    Example: bascule guest shutdown web db --wait 120
    """
    doing = steps(as_json=as_json)
    chosen = chosen_guests(names, driver, connect)
    left = chosen.shutdown(wait_s, mode or "", lambda these: doing(f"waiting for {ranges(these)} to shut down"))
    doing("")
    if left and wait_s:
        from bascule.errors import BasculeError

        hint = f"wait longer (--wait), look at it by 'bascule guest console {left[0]}', or power it off: bascule "
        hint += f"guest stop --force {' '.join(left)}"
        words = f"{ranges(left)} still {'runs' if len(left) == 1 else 'run'} after {duration(wait_s)}"
        raise BasculeError.of("GUEST-STILL-RUNS", words, hint=hint)
    done = "asked to shut down" if left else "shut down"
    report("guest-shutdown", _done(done, chosen.running, "was off already", chosen.off), (), as_json=as_json)
    return 0


@click.command()
@_yes
@_of_guests
def stop(*, names: tuple[str, ...], yes: bool, driver: str | None, connect: str | None, as_json: bool) -> int:
    """Power guests off at once, like a power cut. `bascule guest shutdown` asks them first.

    What a guest has not written to its disk is lost. It asks on a terminal; without one it needs --yes.

    Example: bascule guest stop web --force
    """
    chosen = chosen_guests(names, driver, connect)
    running = ranges(chosen.running)
    if running and not _agrees(f"power off {running} at once? Data that is not on disk yet is lost", yes=yes):
        return 1
    chosen.stop()
    report("guest-stop", _done("stopped", chosen.running, "was off already", chosen.off), (), as_json=as_json)
    return 0


@click.command()
@click.option("--disable", is_flag=True, help="No longer start them when the host boots.")
@_of_guests
def autostart(*, names: tuple[str, ...], disable: bool, driver: str | None, connect: str | None, as_json: bool) -> int:
    """Start guests when the host boots, by libvirt. Where a site file says `autostart:`, apply follows it.

    Example: bascule guest autostart web
    """
    chosen = chosen_guests(names, driver, connect)
    chosen.autostart(on=not disable)
    words = "do not start" if disable else "start"
    report("guest-autostart", f"{words} with the host: {', '.join(chosen.names)}", (), as_json=as_json)
    return 0


@click.command()
@_yes
@_of_guests
def undefine(*, names: tuple[str, ...], yes: bool, driver: str | None, connect: str | None, as_json: bool) -> int:
    """Remove the definitions of guests. Their disks stay; a guest that runs is refused.

    A guest that the site file still has is defined again by the next apply. It asks on a terminal; without one it needs
    --yes.

    Example: bascule guest undefine web
    """
    chosen = chosen_guests(names, driver, connect)
    chosen.refuse_running()
    if not _agrees(f"remove the definition of {ranges(chosen.names)}? Disks stay", yes=yes):
        return 1
    chosen.undefine()
    report("guest-undefine", f"undefined: {', '.join(chosen.names)}; disks stay", (), as_json=as_json)
    return 0


@click.command()
@click.argument("name", metavar="GUEST")
@runtime_options
def console(*, name: str, driver: str | None, connect: str | None) -> int:
    """Show a guest's serial console.

    With libvirt that is `virsh console`, which gives it the keyboard; Ctrl-] ends it. A guest of bare QEMU writes its
    console into a file: it is shown from the beginning and followed, and Ctrl-C ends that.

    Example: bascule guest console web
    """
    chosen = chosen_guests((name,), driver, connect)
    words = chosen.console()
    if not output_style().quiet:
        end = "Ctrl-] ends it" if chosen.runtime.name == "libvirt" else "read only; Ctrl-C ends it"
        say(f"the console of {name} ({end})")
    sys.stdout.flush()
    os.execv(words[0], words)


POWER = (start, shutdown, stop, autostart, undefine, console)


def chosen_guests(names: Iterable[str], driver: str | None, connect: str | None) -> ChosenGuests:
    """Those that are meant, for the verbs about guests."""
    from bascule import workflow

    return workflow.chosen_guests(names, driver=driver, uri=connect)


def _done(what: str, names: Sequence[str], already: str, others: Sequence[str]) -> str:
    """What was done to whom, and for whom there was nothing to do."""
    parts = ((what, names), (already, others))
    return "; ".join(f"{words}: {', '.join(these)}" for words, these in parts if these)


def _agrees(question: str, *, yes: bool) -> bool:
    """Whether it may go on. Raises UsageFault where nobody can be asked: a script says --yes."""
    from bascule.errors import UsageFault

    if not yes and not sys.stdin.isatty():
        words = f"there is no terminal to ask on: {question}"
        raise UsageFault.of("NOT-ASKED", words, hint="use --yes to do it without a question")
    if yes or click.confirm(question, err=True):
        return True
    say("nothing was changed")
    return False


def report(verb: str, words: str, notes: Iterable[Note], *, as_json: bool) -> None:
    """Say what was done, and what is to be known of it."""
    from bascule.cli.entry import emit

    notes = tuple(notes)
    if as_json:
        listed = [{"kind": note.kind, "subject": note.subject, "text": note.text} for note in notes]
        emit(verb, {"ok": True, "done": words, "notes": listed})
        return
    if not output_style().quiet:
        show(words)
    for subject, text, kind in folded((note.subject, note.text, str(note.kind)) for note in notes):
        say(f"{kind}: {subject}: {text}")
