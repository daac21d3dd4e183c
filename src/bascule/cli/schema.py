"""bascule schema: the JSON schema of the site file."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", is_flag=True, expose_value=False, help="No difference: the schema is JSON anyway.")
def command() -> int:
    """The JSON schema of the site file (draft 2020-12), for editors. Reads only."""
    import json

    from bascule.site.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
