"""bascule schema: the JSON schema of the site file."""

from __future__ import annotations

import click

from bascule.cli.common import json_option, put


@click.command()
@json_option
def command(*, as_json: bool) -> int:
    """The JSON schema of the site file (draft 2020-12), for editors. Reads only.

    With --json it has 'ok' and 'schema' as well, like the output of every verb; validators pass over both.

    Example: bascule schema > bascule.schema.json
    """
    import json

    from bascule.cli.entry import emit
    from bascule.site.schema import json_schema

    if as_json:
        emit("schema", {"ok": True, **json_schema()})
    else:
        put(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
