"""A YAML file that is none for a few of its lines: what is left of it without them."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from msgspec import Struct

MOST = 8  # lines that are passed over before a file is given up

LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class RecoveredYaml(Struct, frozen=True):
    """The tree, and the lines that it does without: the number from 1, and why."""

    root: yaml.Node | None
    without: tuple[tuple[int, str], ...] = ()


def compose(text: str) -> RecoveredYaml:
    """The tree of a file, without the lines that are no YAML.

    A line is found to be wrong where it ends, or behind it: of the line that is named and the one before it, each alone
    or with what is indented below it, that goes without which most of the file can be read. Raises YAMLError with the
    first fault where too many are wrong.
    """
    lines = text.split("\n")
    first: yaml.YAMLError | None = None
    without: list[tuple[int, str]] = []
    for _ in range(MOST + 1):
        root, fault = _tried(lines)
        if fault is None:
            return RecoveredYaml(root, tuple(sorted(without)))
        first = first or fault
        tried = list(_without_a_suspect(lines, fault))
        if not tried:
            break
        left = max(tried, key=lambda each: _worth(each, lines, _line(fault)))
        without += [(n + 1, _words(fault)) for n, line in enumerate(left) if line != lines[n] and lines[n].strip()]
        lines = left
    assert first is not None  # the loop ends with a tree or a fault
    raise first


def _tried(lines: list[str]) -> tuple[yaml.Node | None, yaml.YAMLError | None]:
    try:
        return yaml.compose("\n".join(lines), Loader=LOADER), None
    except yaml.YAMLError as wrong:
        return None, wrong


def _line(fault: yaml.YAMLError | None) -> int:
    """Where a fault was seen, counted from 0; -1 where nobody says it."""
    mark = getattr(fault, "problem_mark", None)
    return mark.line if mark is not None else -1


def _worth(left: list[str], lines: list[str], fault: int) -> tuple[bool, bool, bool, int, int]:
    """Whether all can be read now, what is gone had odd characters, more can be read; how much is there, how far."""
    _, still = _tried(left)
    gone = next((line for line, now in zip(lines, left, strict=True) if line != now), "")
    odd = "\ufffd" in gone or not gone.isprintable()
    return still is None, odd, _line(still) > fault, sum(map(bool, left)), _line(still)


def _without_a_suspect(lines: list[str], fault: yaml.YAMLError) -> Iterator[list[str]]:
    """Without the line of a fault, the one before it, or the one in which what is wrong began.

    Where one of them begins a mapping, without all of it as well.
    """
    at = min(_line(fault), len(lines) - 1)
    said = [n for n in range(at, -1, -1) if lines[n].strip(" \t") and not _is_comment(lines[n])][:2]
    began = getattr(fault, "context_mark", None)
    for at in dict.fromkeys([*said, *([began.line] if began is not None else [])]):
        if 0 < at < len(lines):  # all hangs on the first line
            yield _cut(lines, at, at + 1)
            if ": " not in lines[at]:
                yield _cut(lines, at, _end(lines, at))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _cut(lines: list[str], at: int, end: int) -> list[str]:
    return [*lines[:at], *("" for _ in lines[at:end]), *lines[end:]]


def _end(lines: list[str], at: int) -> int:
    """Behind what is indented below a line."""
    depth = _depth(lines[at])
    below = range(at + 1, len(lines))
    return next((n for n in below if lines[n].strip() and _depth(lines[n]) <= depth), len(lines))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _words(fault: yaml.YAMLError) -> str:
    said = getattr(fault, "problem", None) or getattr(fault, "context", None) or str(fault).splitlines()[0]
    return f"not YAML: {said}; netplan takes nothing of a file with such a line"
