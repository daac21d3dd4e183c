"""``bascule undo``: take the last change back, and prove it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bascule.cli.common import json_option, say, show, steps, table, width
from bascule.cli.show.output_style import output_style, show_questions
from bascule.model.values import count

if TYPE_CHECKING:
    from bascule.apply.commit import UndoResult
    from bascule.apply.rollback.preview import UndoPreview
    from bascule.system.net.netlink import NetlinkMonitor


@click.command()
@json_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--leave", is_flag=True, help="Close the change even where something cannot be brought back.")
def command(*, as_json: bool, yes: bool, leave: bool) -> int:
    """Take the last change back, confirmed or not, and compare the host with the checkpoint.

    It shows what it will do and which guests lose what by it, and asks where it is run on a terminal.
    What other hands changed meanwhile (a guest that started, a lease that was renewed) is kept and named.
    Exit status: 0 the host is as it was before, 1 there is nothing to take back or something still differs.

    Example: bascule undo
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.undo import preview_as_json
    from bascule.system.net.netlink import NetlinkMonitor

    asking = not yes and sys.stdin.isatty()
    if asking:
        show_questions()
    with NetlinkMonitor() as monitor:
        seen = _preview(monitor, as_json=as_json)
        if seen is not None and asking and not click.confirm("\ntake it back?", err=True):
            say("nothing was changed")
            return 1
        undone = workflow.undo(say, leave=leave, progress=steps(as_json=as_json), seen=seen)
    back = undone.back
    if as_json:
        emit(
            "undo",
            {
                "ok": back.ok,
                "change": undone.number,
                "closed": undone.closed,
                "was": str(undone.was),
                "changes": back.changes,
                "files": list(back.files),
                "besides": list(back.besides),
                "kept": list(back.kept),
                "left": list(back.left),
                **(preview_as_json(seen) if seen is not None else {}),
            },
        )
        return 0 if back.ok else 1
    if not output_style().quiet:
        show("\n".join(_done(undone)))
    if not back.ok:
        say(f"change {undone.number} is NOT completely taken back; what still differs from before:")
        say("\n".join(table([(line,) for line in back.left], indent=2, columns=width())))
        hint = "run 'bascule undo' again, or 'bascule undo --leave' to close it anyway; see 'bascule status'"
        say("the change is closed; this stays as it is" if undone.closed else f"hint: {hint}")
    return 0 if back.ok else 1


def _done(undone: UndoResult) -> Iterator[str]:
    back = undone.back
    if back.after_reboot:
        yield f"change {undone.number} went with the restart; its files: {count(len(back.files), 'file')} put back"
    elif back.ok:
        host = "the host is as it was before" if not back.kept else "but for what follows, the host is as it was before"
        yield f"change {undone.number} (it was {undone.was.words}) is taken back; {host}"
    yield from (f"  {name} is as before" for name in back.files)
    yield from (f"  as before: {words}" for words in back.besides)
    if back.kept:
        yield "changed by others meanwhile, or kept by the kernel:"
        yield from table(((line,) for line in back.kept), indent=2, columns=width())


def _preview(monitor: NetlinkMonitor, *, as_json: bool) -> UndoPreview | None:
    """Show what it will do; that it cannot be foreseen keeps nobody from taking it back."""
    from bascule import workflow
    from bascule.cli.show.undo import show_preview
    from bascule.errors import BasculeError

    try:
        seen = workflow.undo_preview(monitor)
    except PermissionError:  # neither may it be taken back, which is said once
        raise
    except (BasculeError, OSError) as error:
        say(f"warning: what this will do could not be determined: {error}")
        return None
    if seen is not None and not output_style().quiet:
        (say if as_json else show)(show_preview(seen, columns=width()) + "\n")
    return seen
