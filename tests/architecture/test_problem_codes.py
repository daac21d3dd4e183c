"""Every problem code is provoked by a test that knows what it says, and every code in a test or a page is one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.architecture.sources import ROOT, files, nodes

CODE = re.compile(r"[A-Z][A-Z0-9]*(?:-[A-Z0-9]+)*")
IN_A_TABLE = re.compile(r"[A-Z][A-Z0-9]+(?:-[A-Z0-9]+)+")
TOLD = re.compile(r"error\\?\[([A-Z][A-Z0-9-]*)\\?\]")  # as it is printed, or as a pattern of it
# words in capitals with a hyphen that are no codes: chains of nft, and what the test guest says when it is up
OTHERS = {"DOCKER-USER", "CNI-ADMIN", "NETAVARK-ADMIN", "BASCULE-READY"}
TABLE = "src/bascule/site/codes.py"  # the codes of the site file, with their meaning


def strings(node: ast.AST) -> Iterator[str]:
    """The texts in an expression; of a choice, both."""
    return (x.value for x in ast.walk(node) if isinstance(x, ast.Constant) and isinstance(x.value, str))


def codes_in(tree: Iterable[ast.AST]) -> Iterator[str]:
    """What is handed to a problem as its code, and every word that looks like one: tables hold the rest."""
    for node in tree:
        if isinstance(node, ast.Call):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if isinstance(node.func, ast.Attribute) and node.func.attr == "of" and node.args:
                given.append(node.args[0])
            yield from (text for value in given for text in strings(value) if CODE.fullmatch(text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_A_TABLE.fullmatch(node.value):
            yield node.value


@cache
def of_the_tree() -> dict[str, set[str]]:
    """Each code, and the files that it stands in."""
    found: dict[str, set[str]] = {}
    for path in files():
        name, tree = str(path.relative_to(ROOT)), nodes(path)
        listed = [key for node in tree if isinstance(node, ast.Dict) for key in node.keys if key is not None]
        extra = (text for key in listed for text in strings(key)) if name == TABLE else ()
        for code in (*codes_in(tree), *extra):
            found.setdefault(code, set()).add(name)
    return {code: files for code, files in found.items() if code not in OTHERS}


@cache
def of_the_tests() -> frozenset[str]:
    """The words of every text in the tests, and of what they expect to be printed."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            tree = ast.parse(path.read_text())
            every = [*ast.walk(tree)]
            docs = {id(node.body[0].value) for node in every if _has_docstring(node)}  # type: ignore[attr-defined]  # as it says
            told = (x for x in every if isinstance(x, ast.Constant) and id(x) not in docs)
            found |= {word for x in told if isinstance(x.value, str) for word in CODE.findall(x.value)}
    for path in (ROOT / "tests").rglob("*.txt"):
        found |= set(TOLD.findall(path.read_text()))
    return frozenset(found)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _has_docstring(node: ast.AST) -> bool:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None


def test_every_code_is_provoked_by_a_test() -> None:
    missing = {code: sorted(files) for code, files in of_the_tree().items() if code not in of_the_tests()}
    assert missing == {}, "write a test that provokes it and knows what it says, or delete it: nothing else reaches it"


def test_a_code_of_the_site_file_is_used_by_its_checks() -> None:
    (table,) = (node for node in ast.walk(ast.parse((ROOT / TABLE).read_text())) if isinstance(node, ast.Dict))
    used = {x for path in (ROOT / TABLE).parent.rglob("*.py") if path != ROOT / TABLE for x in strings(_tree(path))}
    assert {text for key in table.keys if key is not None for text in strings(key)} - used == set()


def test_no_test_and_no_page_knows_a_code_that_is_gone() -> None:
    known = of_the_tree().keys()
    for folder, pattern in (("tests", "*.py"), ("tests", "*.txt"), ("docs", "*.md"), (".", "README.md")):
        for path in sorted((ROOT / folder).rglob(pattern) if folder != "." else (ROOT / folder).glob(pattern)):
            told = set(TOLD.findall(path.read_text())) - {
                "CODE",
                "X",
                "PYTHON",
                "UNPACK",
            }  # the last is the zipapp's, before there is a tree
            assert told <= known, f"{path.relative_to(ROOT)} speaks of {', '.join(sorted(told - known))}"


def test_this_finds_what_it_looks_for() -> None:
    """A code in each shape in which one is given; and enough of them that none of the shapes was lost."""
    text = "Problem(code='ONE-A' if x else 'ONE', message='NO'); E.of('TWO', 'NO it is'); add('NEW-X', 'NO'); 'no-X'"
    assert set(codes_in(ast.walk(ast.parse(text)))) == {"ONE-A", "ONE", "TWO", "NEW-X"}
    assert len(of_the_tree()) > 150
