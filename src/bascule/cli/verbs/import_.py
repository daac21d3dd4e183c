"""``bascule import``: a site file from what is there."""

from __future__ import annotations

import click

from bascule.cli.common import count, json_option, say
from bascule.model.dialects import readable


@click.command()
@json_option
@click.option("--root", metavar="DIR", help="Read the files below DIR (DIR/etc/…) alone, not this host's kernel.")
@click.option("--dialect", metavar="DIALECT", help=f"One of {', '.join(readable())}; found if not given.")
@click.option("--host", metavar="NAME", help="What the site file shall call the host.")
@click.option("--site", "site_name", metavar="NAME", help="The site's name; the host's if not given.")
def command(*, as_json: bool, root: str | None, dialect: str | None, host: str | None, site_name: str | None) -> int:
    """Print a site file that says what is there already: its plan is empty.

    Reads the kernel's state, the host's configuration files and libvirt's definitions; with --root the files alone.
    Where kernel and files disagree, both are told in comments at the head of the file; so is every line that was
    not taken, with its file and line.

    Example: bascule import > site.yaml; bascule plan site.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit

    imported = workflow.import_host(root=root, dialect_name=dialect, host=host, site_name=site_name)
    if as_json:
        emit(
            "import",
            {
                "ok": True,
                "dialect": imported.dialect,
                "site": imported.document,
                "text": imported.text,
                "conflicts": list(imported.conflicts),
                "left": [
                    {"file": each.file, "line": each.line, "text": each.text, "why": each.why} for each in imported.left
                ],
                "notes": list(imported.notes),
            },
        )
        return 0
    click.echo(imported.text, nl=False)
    told = [
        count(len(things), noun, plural)
        for things, noun, plural in (
            (imported.conflicts, "conflict", "conflicts"),
            (imported.left, "line not taken", "lines not taken"),
            (imported.notes, "note", "notes"),
        )
        if things
    ]
    if told:
        say(f"{', '.join(told)}: see the comments at the head of the file")
    return 0
