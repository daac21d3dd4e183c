"""``bascule import``: a site file from what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bascule.cli.common import json_option, put, say
from bascule.model.dialects import readable
from bascule.model.values import count

if TYPE_CHECKING:
    from bascule.importer.importing import Imported


@click.command()
@json_option
@click.option("--root", metavar="DIR", help="Read the files below DIR (DIR/etc/...) alone, not this host's kernel.")
@click.option("--dialect", metavar="DIALECT", help=f"One of {', '.join(readable())}; found if not given.")
@click.option("--host", metavar="NAME", help="The host's name in the site file.")
@click.option("--site", "site_name", metavar="NAME", help="The site's name; the host's if not given.")
@click.option(
    "--bridge", metavar="NIC", help="Put this NIC, bond or VLAN under a new bridge, which takes over its address."
)
@click.option("--as", "bridge_name", metavar="NAME", help="What that bridge is called; br0 if that is free.")
@click.option("--strict", is_flag=True, help="Exit with 1 if anything that was found is left out.")
def command(
    *,
    as_json: bool,
    root: str | None,
    dialect: str | None,
    host: str | None,
    site_name: str | None,
    bridge: str | None,
    bridge_name: str | None,
    strict: bool,
) -> int:
    """Print a site file that says what is there already: its plan is empty.

    Reads the kernel's state, the host's configuration files and libvirt's definitions; with --root the files alone.
    Where kernel and files disagree, both are told in comments at the head of the file; so is everything that was
    left out, with its file and line.

    With --bridge the file says one thing more: that NIC under a bridge, which takes over its address. So the way from
    a host as it was installed to guests on its network is import, plan, apply.

    Example: bascule import --bridge eno1 > site.yaml; bascule plan site.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.importer.put_under_bridge import NewBridge

    if bridge_name is not None and bridge is None:
        raise click.UsageError("'--as' names the bridge that '--bridge NIC' makes")
    imported = workflow.import_host(
        root=root,
        dialect_name=dialect,
        host=host,
        site_name=site_name,
        bridge=NewBridge(bridge, bridge_name) if bridge is not None else None,
    )
    fine = not (strict and imported.left_out)
    if as_json:
        emit("import", {"ok": fine, **_document(imported)})
        return 0 if fine else 1
    put(imported.text)
    clashes, left_out = len(imported.conflicts), imported.left_out
    counts = [f"{count(clashes, 'conflict')} between kernel and files"] * bool(clashes)
    counts += [f"{count(left_out, 'thing')} left out"] * bool(left_out)
    if counts:
        say(f"{', '.join(counts)}: see the comments at the head of the file")
    return 0 if fine else 1


def _document(imported: Imported) -> dict[str, object]:
    """All of it, for machines."""
    return {
        "left_out": imported.left_out,
        "dialect": imported.dialect,
        "site": imported.document,
        "text": imported.text,
        "conflicts": list(imported.conflicts),
        "left": [{"file": each.file, "line": each.line, "text": each.text, "why": each.why} for each in imported.left],
        "notes": list(imported.notes),
        "others": list(imported.others),
    }
