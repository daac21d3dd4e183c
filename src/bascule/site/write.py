"""YAML as a person would write it: short things on one line, long things in blocks, quotes only where they matter.

A reader that follows YAML 1.1 takes ``52:54:00:12:34:56`` for a number and ``off`` for False; such words are quoted,
so that every YAML reader sees text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import yaml

WIDTH = 118

_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./~+:*@-]*(?: [A-Za-z0-9_./~+@-]+)*")
_HALVES = re.compile("[\ud800-\udfff]")  # of pairs of UTF-16, which alone are no character of any YAML
_RESOLVER = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"


class PlainScalar(str):
    """A word that stands without quotes because it is meant as a number or a boolean."""

    __slots__ = ()


@lru_cache(maxsize=65536)
def _quoted(text: str) -> str:
    plain = (
        _PLAIN.fullmatch(text)
        and not text.endswith(":")
        and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT  # type: ignore[no-untyped-call]
    )
    if plain:
        return text
    text = _HALVES.sub("\N{REPLACEMENT CHARACTER}", text)
    # YAML has \U and no pairs of surrogates, by which JSON escapes what lies beyond U+FFFF
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))


def scalar(value: object) -> str:
    """A scalar; numbers and booleans stand bare."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float | PlainScalar):
        return str(value)
    return _quoted(str(value))


def flow(value: object) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def block(value: Mapping[str, Any], indent: int = 0, open_to: int = 0) -> Iterator[str]:
    """The lines of a mapping. Down to depth ``open_to`` mappings are blocks even where they would fit on a line."""
    pad = "  " * indent
    for key, item in value.items():
        name = f"{pad}{scalar(key)}:"
        nested = isinstance(item, Mapping | list | tuple) and item
        if nested and isinstance(item, Mapping) and open_to > 0:
            yield name
            yield from block(item, indent + 1, open_to - 1)
            continue
        line = f"{name} {flow(item)}"
        if not nested or len(line) <= WIDTH:
            yield line
        elif isinstance(item, Mapping):
            yield name
            yield from block(item, indent + 1, 0)
        else:
            yield name
            yield from _items(item, pad + "  ")


def _items(values: Sequence[object], pad: str) -> Iterator[str]:
    """A list with one entry on each line."""
    for value in values:
        line = f"{pad}- {flow(value)}"
        if len(line) <= WIDTH or not isinstance(value, Mapping):
            yield line
            continue
        lines = list(block(value, 0, 0))
        yield f"{pad}- {lines[0]}"
        yield from (f"{pad}  {text}" for text in lines[1:])


def headed(text: str, notes: Sequence[str]) -> str:
    """A site file with ``notes`` as comments at its head."""
    lines = [f"# {line}".rstrip() for note in notes for line in note.splitlines() or [""]]
    return "\n".join([*lines, "", text])


def site_text(document: Mapping[str, Any]) -> str:
    """A whole site file."""
    lines: list[str] = []
    depth = {"networks": 1, "hosts": 3, "guests": 2, "machines": 2}
    for key, value in document.items():
        if lines and isinstance(value, Mapping | list):
            lines.append("")
        lines += block({key: value}, 0, depth.get(key, 0))
    return "\n".join(lines) + "\n"
