"""The page docs/reference/api.md, from the functions: ``python -m tests.docs.api_page > docs/reference/api.md``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

from bascule import api

VALUES = (  # what the functions give, by the module where each stands
    "bascule.plan.change:Plan", "bascule.plan.change:Change", "bascule.apply.prepare:PreparedPlan",
    "bascule.apply.request:ApplyRequest", "bascule.rehearsal:Rehearsal", "bascule.verify.live:Verified",
    "bascule.verify.checks:Check", "bascule.verify.expectations:Outcome", "bascule.persist.rendering:Rendered",
    "bascule.verify.reachability.live:WhyAnswer", "bascule.verify.reachability.matrix:Matrix",
    "bascule.guests.inventory:Inventory", "bascule.guests.inventory:GuestRow", "bascule.model.site:Site",
    "bascule.model.state:HostState", "bascule.errors:Problem",
)  # fmt: skip


def page() -> str:
    lines = [
        "# Bascule for programs",
        "",
        "Made from `bascule.api` by `python -m tests.docs.api_page > docs/reference/api.md`; a test holds them equal.",
        "",
    ]
    head, _, example = (api.__doc__ or "").partition("::\n")
    code, _, rest = example.partition("\n\nA site is given")
    lines += [head.strip(), "", "```python", *(line[4:] for line in code.strip("\n").splitlines()), "```", ""]
    lines += [f"A site is given{rest}".strip(), "", "## Functions", ""]
    lines += _functions()
    lines += ["## What they give", ""]
    lines += _values()
    return re.sub(r"(?<!`)``(?!`)", "`", "\n".join(lines)).rstrip() + "\n"


def _functions() -> Iterator[str]:
    for name in api.__all__:
        thing = getattr(api, name)
        if inspect.isfunction(thing):
            signature = re.sub(r"'([^']*)'", r"\1", str(_readable(inspect.signature(thing))).replace("Ellipsis", "..."))
            yield from (
                f"### {name}",
                "",
                "```python",
                f"{name}{signature}",
                "```",
                "",
                inspect.getdoc(thing) or "",
                "",
            )


def _readable(signature: inspect.Signature) -> inspect.Signature:
    """A default that is a function shows as an ellipsis."""
    parameters = signature.parameters.values()
    return signature.replace(
        parameters=[one.replace(default=...) if inspect.isroutine(one.default) else one for one in parameters]
    )


def _values() -> Iterator[str]:
    for where in VALUES:
        module, _, name = where.partition(":")
        kind = getattr(importlib.import_module(module), name)
        yield from (f"### {name}", "", f"`from {module} import {name}`", "", inspect.getdoc(kind) or "", "")
        yield from (f"* `{field}`: `{kind.__annotations__[field]}`" for field in kind.__annotations__)
        yield ""


if __name__ == "__main__":
    print(page(), end="")
