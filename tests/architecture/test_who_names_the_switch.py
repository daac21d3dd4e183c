"""Who outside of its provider and the dialects names Open vSwitch: each file stands here, with the reason.

`python -m tests.architecture.test_who_names_the_switch` prints the count. Words in comments and docstrings do not
count. A room that needs to know what a bridge can do asks the kind of its link (``bascule.model.links``), and whoever
keeps it (``SWITCH_PROVIDERS``).
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src/bascule"
OWN = ("providers/ovs/", "persist/")
NAMES = re.compile(r"\bOVS\b|\bovs|openv_?switch|open vswitch|switchstate", re.IGNORECASE)

KNOW = {
    "the kind of its links, and the entry": {
        "model/links/__init__.py",
        "model/links/openvswitch.py",
        "providers/registry.py",
    },
    "words of the site file and of its mistakes": {
        "model/host_links.py",
        "site/build.py",
        "site/checks/plugs.py",
        "site/checks/switches.py",
        "site/codes.py",
        "site/document/__init__.py",
        "site/document/bonds.py",
        "site/document/links.py",
    },
    "what the file wants of it": {"plan/target/switches.py"},
    "its programs and their sockets": {
        "system/openvswitch.py",
        "system/run.py",
    },
    "whoever runs guests, and makes or calls their ports": {
        "importer/libvirt/networks.py",
        "providers/libvirt/domain_xml.py",
        "providers/qemu/state.py",
    },
    "what others have put there": {"topology/foreign_links.py"},
    "a daemon of its own in the twin": {
        "twin/switches.py",
        "twin/test_guest/libvirtd.py",
    },
}


def files() -> Iterator[tuple[str, list[str]]]:
    """Each file that names it, with the lines."""
    for path in sorted(ROOT.rglob("*.py")):
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if name.startswith(OWN) or not NAMES.search(text):
            continue
        told = _docstrings(ast.parse(text))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        numbers = {one.start[0] for one in tokens if one.type != tokenize.COMMENT and NAMES.search(one.string)} - told
        if numbers:
            lines = text.splitlines()
            yield name, [lines[number - 1].strip() for number in sorted(numbers)]


def _docstrings(tree: ast.Module) -> set[int]:
    """The first lines of strings that are statements."""
    return {
        one.lineno
        for one in ast.walk(tree)
        if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str)
    }


def test_who_names_the_switch_has_a_reason() -> None:
    known = {name for names in KNOW.values() for name in names}
    named = dict(files())
    assert {name: lines for name, lines in named.items() if name not in known} == {}, "ask what its kind can do"
    assert known - named.keys() == set(), "these name it no more: take them out"


if __name__ == "__main__":
    found = dict(files())
    for why, names in KNOW.items():
        print(f"{len(names):3} {why}")
        for name in sorted(names):
            print(f"      {name} ({len(found.get(name, ()))})")
    print(f"{len(found):3} files outside of {' and '.join(OWN)} name Open vSwitch")
