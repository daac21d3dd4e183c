"""Who outside of its provider and the dialects names Open vSwitch: each file stands here, with the reason.

`python -m tests.architecture.test_who_names_the_switch` prints the count. Words in comments and docstrings do not
count. A room that needs to know what a bridge can do asks the kind of its link (``bascule.model.links``).
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
    "what the file wants of it": {
        "plan/target/bonds_and_vlans.py",
        "plan/target/bridges.py",
        "plan/target/openvswitch.py",
        "policy/guards/openflow_gaps.py",
    },
    "its programs and their sockets": {
        "observe/spanning_tree.py",
        "system/net/fdb.py",
        "system/openvswitch.py",
        "system/run.py",
    },
    "its rules: whether they stand, whom they stop, what they do with a packet": {
        "observe/guards.py",
        "observe/packet_path.py",
        "providers/boot_flows/__init__.py",
        "providers/boot_flows/state.py",
        "providers/loaded_guards.py",
        "questions.py",
        "verify/doctor/switches.py",
        "verify/reachability/gather.py",
    },
    "whoever runs guests, and makes or calls their ports": {
        "guests/runtimes/qemu.py",
        "importer/libvirt/networks.py",
        "importer/libvirt/plugs.py",
        "providers/libvirt/domain_xml.py",
        "providers/qemu/diff.py",
        "providers/qemu/effects.py",
        "providers/qemu/state.py",
    },
    "what others have put there": {"importer/running.py"},
    "a daemon of its own in the twin": {
        "rehearsal.py",
        "twin/openvswitch.py",
        "twin/test_guest/libvirtd.py",
        "twin/test_guest/pool.py",
        "twin/twin.py",
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
