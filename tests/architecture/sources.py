"""The program's own files, each read and taken apart once for all that is asked of them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/bascule"


@cache
def files() -> tuple[Path, ...]:
    return tuple(sorted(SOURCE.rglob("*.py")))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax; the first is the module."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def module(path: Path) -> ast.Module:
    found = nodes(path)[0]
    assert isinstance(found, ast.Module)
    return found
