"""The page docs/reference/api.md, from the functions: ``python -m tests.docs.api_page > docs/reference/api.md``."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

from bascule import api, questions

LONG = 80  # characters
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
            yield from (
                f"### {name}",
                "",
                "```python",
                f"{name}{_signature(inspect.signature(thing))}",
                "```",
                "",
                inspect.getdoc(thing) or "",
                "",
            )


def _signature(signature: inspect.Signature) -> str:
    """As a person writes it: annotations without quotes, a default that is a function as dots; long ones in lines."""
    words, starred = [], False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        if one.kind is one.VAR_KEYWORD:
            words += [f"{key}: {kind} = ..." for key, kind in _keys(one.annotation).items()]
            continue
        default = "..." if inspect.isroutine(one.default) else repr(one.default)
        words.append(f"{one.name}: {one.annotation}" + ("" if one.default is one.empty else f" = {default}"))
    short = f"({', '.join(words)}) -> {signature.return_annotation}"
    if len(short) <= LONG:
        return short
    return "(\n" + "".join(f"    {word},\n" for word in words) + f") -> {signature.return_annotation}"


def _keys(annotation: str) -> dict[str, str]:
    """The keyword arguments of ``Unpack[OnHost]``."""
    kind = getattr(questions, annotation.removeprefix("Unpack[").removesuffix("]"))
    return {key: value.__forward_arg__ for key, value in kind.__annotations__.items()}


def _values() -> Iterator[str]:
    for where in VALUES:
        module, _, name = where.partition(":")
        kind = getattr(importlib.import_module(module), name)
        yield from (f"### {name}", "", f"`from {module} import {name}`", "", inspect.getdoc(kind) or "", "")
        yield from (f"* `{field}`: `{kind.__annotations__[field]}`" for field in kind.__annotations__)
        yield ""


if __name__ == "__main__":
    print(page(), end="")
