"""No parameter is there for nobody: each is given by some call in the tree, its tests or its examples.

A parameter that all callers leave at its default is a constant with a longer name.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.sources import ROOT, module

# what others call: programs by the API, and click
OTHERS = ("api.py", "workflow.py")


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, module(path) if folder == "src" else ast.parse(path.read_text())


class Calls:
    """How often each name is called, with which keywords and how many places; and which are handed on uncalled."""

    def __init__(self, trees: Iterator[tuple[Path, ast.Module]]) -> None:
        self.keywords: dict[str, set[str]] = defaultdict(set)
        self.places: dict[str, int] = defaultdict(int)
        self.open: set[str] = set()  # called with * or **, or handed on: nobody knows with what
        for _, tree in trees:
            self._read(tree)

    def _read(self, tree: ast.Module) -> None:
        nodes = list(ast.walk(tree))
        renamed = {x.asname: x.name for node in nodes if isinstance(node, ast.ImportFrom) for x in node.names}
        called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
        for node in nodes:
            if isinstance(node, ast.Call):
                name = _name(node.func)
                name = renamed.get(name, name)
                self.keywords[name] |= {x.arg for x in node.keywords if x.arg}
                self.places[name] = max(self.places[name], len(node.args))
                if any(isinstance(x, ast.Starred) for x in node.args) or any(x.arg is None for x in node.keywords):
                    self.open.add(name)
            elif isinstance(node, ast.ClassDef):
                self.keywords["__init_subclass__"] |= {x.arg for x in node.keywords if x.arg}
            elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in called:
                self.open.add(renamed.get(_name(node), _name(node)))


def _name(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def optional(tree: ast.Module) -> Iterator[tuple[str, str, int | None]]:
    """Each parameter with a default: whose it is, its name, and its place among the arguments."""
    inside = {id(x): each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef) for x in each.body}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or any("click" in ast.unparse(x) for x in node.decorator_list):
            continue
        name = inside[id(node)] if node.name == "__init__" else node.name
        static = any(ast.unparse(x) == "staticmethod" for x in node.decorator_list)
        first = 1 if id(node) in inside and not static else 0
        places = (*node.args.posonlyargs, *node.args.args)
        for place in range(len(places) - len(node.args.defaults), len(places)):
            yield name, places[place].arg, place - first
        for keyword, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if default is not None:
                yield name, keyword.arg, None


def unused(given: Calls, tree: ast.Module) -> list[str]:
    return [
        f"{name}({word})"
        for name, word, place in optional(tree)
        if name in given.places and name not in given.open and word not in given.keywords[name]
        if place is None or given.places[name] <= place
    ]


def test_every_parameter_is_given_by_somebody() -> None:
    given = Calls(modules("src", "tests", "benchmarks", "examples"))
    found = {
        str(path.relative_to(ROOT)): names
        for path, tree in modules("src")
        if path.name not in OTHERS and (names := unused(given, tree))
    }
    assert found == {}


def test_this_finds_what_it_looks_for() -> None:
    tree = ast.parse("""
def one(a, b=1, *, c=2, d=3): ...
class Two:
    def __init__(self, a=1, *, b=2): ...
def handed_on(a=1): ...
def spread(a=1): ...
one(1, d=4)
Two(1)
map(handed_on, [])
handed_on()
spread(*())
""")
    assert unused(Calls(iter([(Path(), tree)])), tree) == ["one(b)", "one(c)", "Two(b)"]
