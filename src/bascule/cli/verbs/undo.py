"""``bascule undo``: take the last change back, and prove it."""

from __future__ import annotations

import click

from bascule.cli.common import count, json_option, say, steps, table, width


@click.command()
@json_option
@click.option("--leave", is_flag=True, help="Close the change even where something cannot be brought back.")
def command(*, as_json: bool, leave: bool) -> int:
    """Take the last change back, confirmed or not, and compare the host with the checkpoint.

    What other hands changed meanwhile (a guest that started, a lease that was renewed) is kept and named.
    Exit status: 0 the host is as it was before, 1 there is nothing to take back or something still differs.
    """
    from bascule import workflow
    from bascule.cli.entry import emit

    undone = workflow.undo(say, leave=leave, progress=steps(as_json=as_json))
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
            },
        )
        return 0 if back.ok else 1
    if back.after_reboot:
        click.echo(
            f"change {undone.number} went with the restart; its files: {count(len(back.files), 'file')} put back"
        )
    elif back.ok:
        words = "is taken back; the host is as it was before"
        click.echo(f"change {undone.number} (it was {undone.was}) {words}")
    for name in back.files:
        click.echo(f"  {name} is as before")
    for words in back.besides:
        click.echo(f"  as before: {words}")
    if back.kept:
        click.echo("changed by other hands meanwhile, and kept:")
        click.echo("\n".join(table([(line,) for line in back.kept], indent=2, columns=width())))
    if not back.ok:
        click.echo(f"change {undone.number} is NOT completely taken back; what still differs from before:", err=True)
        click.echo("\n".join(table([(line,) for line in back.left], indent=2, columns=width())), err=True)
        hint = "run 'bascule undo' again, or 'bascule undo --leave' to close it all the same; see 'bascule status'"
        click.echo("the change is closed; this stays as it is" if undone.closed else f"hint: {hint}", err=True)
    return 0 if back.ok else 1
