"""``bascule render``: a host's configuration files."""

from __future__ import annotations

import click

from bascule.cli.common import host_option, json_option, put, say, say_fine, show, site_argument
from bascule.cli.show.output_style import output_style
from bascule.model.dialects import writable
from bascule.model.values import count


@click.command()
@site_argument
@host_option
@json_option
@click.option("--dialect", required=True, metavar="DIALECT", help=f"One of {', '.join(writable())}.")
@click.option("-o", "--output", metavar="DIR", help="Write the files below DIR (DIR/etc/...) instead of printing them.")
@click.option("--here", is_flag=True, help="This machine is the host: pin bridges to the MACs of its NICs.")
def command(*, site_file: str, host: str | None, as_json: bool, dialect: str, output: str | None, here: bool) -> int:
    """Write a host's network in the words of its configuration system.

    Dialects: ifcfg (network-scripts), keyfile (NetworkManager), networkd, netplan, ifupdown (and ifupdown2), and
    commands (ip, and the classic brctl: to read or to paste). What a dialect does not support is an error that names
    it, before anything is written.

    Example: bascule render site.yaml --host vmserver --dialect keyfile -o /tmp/new
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.persist.rendering import write_below

    rendered = workflow.render(site_file, dialect, host=host, here=here)
    if output is not None:
        write_below(output, rendered.files)
    if as_json:
        files = dict(rendered.files)
        emit(
            "render",
            {
                "ok": True,
                "host": rendered.host.name,
                "dialect": dialect,
                "written_to": output,
                "files": files,
                "unpinned": list(rendered.unpinned),
                "unsaid": list(rendered.unsaid),
            },
        )
        return 0
    if output is not None:
        for path in () if output_style().quiet else sorted(rendered.files):
            show(f"{output.rstrip('/')}/{path}")
        say_fine(f"{count(len(rendered.files), 'file')} for {rendered.host.name}, dialect {dialect}")
    else:
        for path, text in sorted(rendered.files.items()):
            put(f"==> {path} <==\n{text}\n")
    if rendered.unpinned:
        names = ", ".join(rendered.unpinned)
        say(f"note: the MAC of {names} is not pinned: give the uplink's 'mac:' in the site file, or render with --here")
    for words in rendered.unsaid:
        say(f"note: {words}")
    return 0
