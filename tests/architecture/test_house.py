"""What a reader may rely on in the whole tree: one meaning for each name, and nothing larger than a head holds."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import SOURCE as ROOT
from tests.architecture.sources import files, nodes

FILE_LINES, FUNCTION_LINES, ROOM_FILES = 400, 60, 16
# folders in which every file is one entry of one list
LISTS = {"cli/verbs"}
# one concept at its stages: as the file's schema has it, as the site means it, as the kernel knows it
STAGES = {
    *(
        "Bond",
        "Bridge",
        "DeclaredPort",
        "Flow",
        "Forward",
        "Guest",
        "GuestNic",
        "Host",
        "Machine",
        "MachineNic",
        "Masquerade",
        "Mirror",
        "Network",
        "OpenVSwitch",
        "Patch",
    ),
    *("HostLink", "HostRoute", "Nic", "PolicyRule", "Route", "RouteHop", "StaticRoute", "VirtualNetwork", "VlanLink"),
}

# class names that neither an administrator nor a kernel document nor another project of the field would say
RIDDLES = {
    *("Alike", "Asked", "Asker", "Back", "Bare", "Begun", "Beside", "Cast", "Crew", "Done", "Doubt"),
    *("Doubted", "Ends", "Foot", "FramesSaid", "GuestPart", "Heard", "Hit", "Keeper", "Left", "Leftovers"),
    *("Look", "Looker", "Misled", "Missing", "Mixed", "Moment", "Narrows", "NothingLeft", "OrAllOrNone"),
    *("OrAlone", "OrLinkAlone", "Orphanage", "OwnLine", "PacketBox", "PassedOn", "Planned", "Players", "Rail"),
    *("Ready", "Realm", "Said", "Seen", "Spot", "Stamp", "Stand", "Standing", "Stops", "Story", "Strays"),
    *("Surroundings", "Tie", "Told", "Undone", "Unmet", "UnsaidRouters", "Untold", "Voice", "WayOut", "Why"),
    *("Wish", "Woken", "World", "Writing", "Wrong"),
}

# what the rebuilding has not come to; it only gets shorter
NOT_YET: set[str] = set()


def trees() -> Iterator[tuple[str, Path, tuple[ast.AST, ...]]]:
    """Each file: its name, its path, and all of its syntax."""
    return ((str(path.relative_to(ROOT)), path, nodes(path)) for path in files())


def test_a_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for name, _, tree in trees():
        for node in tree:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    twice = {name: where for name, where in places.items() if len(where) > 1 and name not in STAGES}
    assert {name: where for name, where in twice.items() if name not in NOT_YET} == {}
    for name in STAGES:
        rooms = {where.partition("/")[0] for where in places[name]}
        assert len(rooms) > 1 or len(places[name]) > 1, f"{name} has one stage only: take it out of STAGES"
        assert rooms <= {"site", "model", "persist"}, f"{name} is no stage of one concept in {rooms}"


def test_a_class_name_is_no_riddle() -> None:
    """Names that a reader could not guess were replaced by the field's own, and stay away."""
    names = {node.name: name for name, _, tree in trees() for node in tree if isinstance(node, ast.ClassDef)}
    assert {name: names[name] for name in RIDDLES & names.keys()} == {}


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path, _ in trees()}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES and name not in NOT_YET} == {}
    functions = {
        f"{name}:{node.name}": lines
        for name, _, tree in trees()
        for node in tree
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }
    assert {name: lines for name, lines in functions.items() if name not in NOT_YET} == {}


def test_no_room_has_more_files_than_one_takes_in_at_a_glance() -> None:
    counts = {
        str(folder.relative_to(ROOT)): len([x for x in folder.glob("*.py") if x.name != "__init__.py"])
        for folder in (ROOT, *ROOT.rglob("*"))
        if folder.is_dir()
    }
    assert {name: count for name, count in counts.items() if count > ROOM_FILES and name not in LISTS | NOT_YET} == {}


@pytest.mark.parametrize("kind", [ast.Module, ast.ClassDef, ast.FunctionDef])
def test_a_docstring_says_what_the_thing_does(kind: type[ast.AST]) -> None:
    """Not "As Players says.", which sends the reader away."""
    empty = [
        f"{name}: {words}"
        for name, _, tree in trees()
        for node in tree
        if isinstance(node, kind)
        and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and (words := ast.get_docstring(node) or "").startswith("As ")
        and " says" in words.partition("\n")[0]
    ]
    assert [words for words in empty if words.partition(":")[0] not in NOT_YET] == []


def test_the_pages_about_the_house_name_what_is_there() -> None:
    """Every room has its line in the design's list, and each file and folder that CONTRIBUTING names is in the tree."""
    repository = ROOT.parents[1]
    listed = (
        (repository / "docs/explanation/design.md").read_text().partition("\nsrc/bascule/\n")[2].partition("```")[0]
    )
    names = {line.split()[0] for line in listed.splitlines()}
    rooms = {f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert {name for name in names if name.endswith("/")} == rooms
    assert {name for name in names if name.endswith(".py")} == {path.name for path in ROOT.glob("[a-z]*.py")}
    assert [name for name in names if not (ROOT / name).exists()] == []
    text = (repository / "CONTRIBUTING.md").read_text()
    paths = {word for word in re.findall(r"`([\w./-]+)`", text) if "/" in word and "NAME" not in word}
    places = (ROOT, repository)
    assert [path for path in sorted(paths) if not any((place / path).exists() for place in places)] == []


def test_the_keys_of_kernel_parameters_are_put_together_in_one_place() -> None:
    keys = re.compile(r"net/(ipv\d/.|bridge/bridge-nf)|net\.ipv\d\.conf\.$")
    loose = [
        f"{name}:{node.lineno}"
        for name, _, tree in trees()
        for node in tree
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and keys.match(node.value)
    ]
    assert [place for place in loose if not place.startswith("model/kernel_parameters.py:")] == []


# what is found by its module's name: the parts of dialects, decoders and drawing formats, and the DHCP clients
BY_MODULE = re.compile(
    r"persist/\w+/(parse|render|detect|takeover|without|plugin|gateways|__init__)\."
    r"|frames/decoders/|draw/formats/|model/dhcp/|cli/verbs/|guests/runtimes/"
)
EFFECTS = re.compile(r"bascule\.providers\.(?:\w+\.)+effects\.\w+Effects")  # found by the provider's name


def test_no_name_of_a_module_is_used_by_nobody() -> None:
    """What the dead-code check overlooks: a name that is dead in one module and alive in another."""
    used: set[tuple[str, str]] = set()
    defined: list[tuple[str, str]] = []
    modules = {_dotted(name) for name, _, _ in trees()}
    for name, _, tree in trees():
        module = _dotted(name)
        used.update(_names_used(module, tree, modules))
        if not BY_MODULE.match(name):
            defined += ((module, one) for one in _names_defined(tree))
    assert sorted(one for one in set(defined) - used if not EFFECTS.fullmatch(".".join(one))) == []


def _dotted(name: str) -> str:
    return f"bascule.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__")


def _names_defined(tree: tuple[ast.AST, ...]) -> Iterator[str]:
    for node in getattr(tree[0], "body", ()):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("__"):
            if not any("click" in (words := ast.unparse(one)) or "command" in words for one in node.decorator_list):
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for one in targets if isinstance(one, ast.Name) and not one.id.startswith("__"))


def _names_used(module: str, tree: tuple[ast.AST, ...], modules: set[str]) -> Iterator[tuple[str, str]]:
    called: dict[str, str] = {}  # modules by the name that they have here
    for node in tree:
        if isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                yield node.module, one.name
                if f"{node.module}.{one.name}" in modules:
                    called[one.asname or one.name] = f"{node.module}.{one.name}"
        elif isinstance(node, ast.Import):
            called |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield module, node.id
    for node in tree:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in called:
            yield called[node.value.id], node.attr
