"""Which of several configuration systems a host goes by, where more than one has files; the others' lines are told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from bascule.errors import BasculeError, UsageFault
from bascule.importer.running import running_config
from bascule.model.state import HostState
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import Dialect, dialect, dialects
from bascule.persist.files import read_from_below, read_tree
from bascule.persist.manager import Managers
from bascule.persist.parsed import LONGEST, Parsed, Unparsed, UnparsedLines

OF_DISTRIBUTION = {  # ID or ID_LIKE of os-release(5): what its installer writes
    "ubuntu": ("netplan",),
    "debian": ("ifupdown",),
    "suse": ("wicked", "keyfile"),
    "rhel": ("keyfile", "ifcfg"),
    "fedora": ("keyfile", "ifcfg"),
    "arch": ("networkd",),
}
BEFORE = {  # by their own rules: the first has a part of what the second says made, or the second keeps off
    ("netplan", "networkd"): "netplan writes for networkd",
    ("netplan", "keyfile"): "netplan writes for NetworkManager",
    ("netplan", "ifupdown"): "netplan replaces ifupdown",
    ("ifupdown", "keyfile"): "NetworkManager does not manage what /etc/network/interfaces names",
    ("keyfile", "ifcfg"): "NetworkManager uses its own profiles first",
}
COMMENT = re.compile(r"\s*(?:[#;].*)?")


class Chosen(Struct, frozen=True, kw_only=True):
    """The dialect that is read, why, and what the others' files say."""

    dialect: str | None
    why: str = ""
    told: tuple[Unparsed, ...] = ()


def choose_system(root: str, managers: Managers, state: HostState | None) -> Chosen:
    """The dialect of a host.

    Raises UsageFault, or BasculeError on a running host, where nothing shows which of several it goes by.
    """
    active = list(dict.fromkeys(each.dialect for each in managers.candidates))
    there = with_files(root, active)
    rivals = [each for each in there if each in active] or there if len(active) != 1 else active
    if not rivals:
        return Chosen(dialect=active[0] if active else None)
    if len(rivals) == 1:
        name = rivals[0]
        why = next((str(each) for each in managers.candidates if each.dialect == name), "")
    else:
        name, why = _decide(root, rivals, state)
        if not name:
            raise _undecided(root, rivals, managers)
    others = [each for each in there if each != name]
    return Chosen(dialect=name, why=why if others else "", told=tuple(_lines_of_others(root, name, others)))


def with_files(root: str, active: Sequence[str] = ()) -> list[str]:
    """The dialects that have files of their own below a root which say something; a stub claims nothing.

    The one that is ``active`` need not be looked into where no other has any.
    """
    owners = [each for each in dialects() if each.own and read_tree(root, each.own).files]
    if not owners:
        return [each.name for each in dialects() if each.below and _of_packages(root, each).links]
    if [each.name for each in owners] == [*active]:
        return [*active]
    found = []
    for each in owners:
        parsed = _parsed(root, each)
        if parsed.config.links or parsed.left:
            found.append(each.name)
    return found


def _of_packages(root: str, each: Dialect) -> NetworkConfig:
    """What files of packages and generators say by themselves."""
    tree = read_tree(root, each.reads, each.includes)
    return each.parse(each.in_effect({}, read_from_below(root, each.below, each.reads, tree))).config


def _decide(root: str, rivals: Sequence[str], state: HostState | None) -> tuple[str, str]:
    """By what runs, by how the systems deal with each other, by the distribution; nothing where none of it tells."""
    ways: tuple[Callable[[], tuple[str, str]], ...] = (
        lambda: _by_kernel(root, rivals, state) if state is not None else ("", ""),
        lambda: _by_rank(rivals),
        lambda: _by_distribution(root, rivals),
    )
    return next((found for way in ways if (found := way())[0]), ("", ""))


def _by_kernel(root: str, rivals: Sequence[str], state: HostState) -> tuple[str, str]:
    """The one whose files say more of what the kernel has than the others'."""
    kernel = running_config(state, ()).config
    scores = {name: _agreement(_parsed(root, dialect(name)).config, kernel) for name in rivals}
    best = max(scores.values())
    first = [name for name, score in scores.items() if score == best]
    return (first[0], "its files agree with the kernel") if len(first) == 1 and best > 0 else ("", "")


def _agreement(files: NetworkConfig, kernel: NetworkConfig) -> int:
    """How many facts of files are so in the kernel, less those that are not."""
    score = 0
    for name, say in files.links.items():
        have = kernel.links.get(name)
        facts = [have is not None and (have.options.kind, have.master) == (say.options.kind, say.master)]
        facts += [have is not None and address in have.addresses for address in say.addresses]
        facts += [have is not None and have.dhcp4] if say.dhcp4 else []
        score += sum(1 if fact else -1 for fact in facts)
    return score


def _parsed(root: str, each: Dialect) -> Parsed:
    """What its files say."""
    return each.parse(read_tree(root, each.reads, each.includes).files)


def _by_distribution(root: str, rivals: Sequence[str]) -> tuple[str, str]:
    tree = read_tree(root, ("etc/os-release", "usr/lib/os-release")).files
    text = tree.get("etc/os-release") or tree.get("usr/lib/os-release") or ""
    words = " ".join(re.findall(r"^ID(?:_LIKE)?=(.*)$", text, re.MULTILINE)).replace('"', " ").lower().split()
    for word in words:
        usual = OF_DISTRIBUTION.get(word.partition("-")[0], ())
        if name := next((each for each in usual if each in rivals), ""):
            return name, f"it is the default of {word}"
    return "", ""


def _by_rank(rivals: Sequence[str]) -> tuple[str, str]:
    for name in rivals:
        reasons = [BEFORE.get((name, other), "") for other in rivals if other != name]
        if all(reasons):
            return name, "; ".join(dict.fromkeys(reasons))
    return "", ""


def _lines_of_others(root: str, name: str, others: Sequence[str]) -> Iterator[Unparsed]:
    """Every line of the other systems' own files."""
    left = UnparsedLines()
    for other in others:
        each = dialect(other)
        files = read_tree(root, each.reads, each.includes).files
        for path in each.own_files(files):
            for lines in _together(files[path]):
                left.add_all(path, lines, f"of {other}, and the host uses {name} ('--dialect {other}' reads it)")
    yield from left.done()


def _together(text: str) -> Iterator[list[tuple[int, str]]]:
    """The lines that say something, so many at once as a note shows."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if COMMENT.fullmatch(line):
            continue
        if lines and sum(len(each) + 2 for _, each in (*lines, (number, line))) > LONGEST:
            yield lines
            lines = []
        lines.append((number, line))
    if lines:
        yield lines


def _undecided(root: str, rivals: Sequence[str], managers: Managers) -> BasculeError:
    if managers.rivals:
        try:
            managers.choose()
        except BasculeError as error:
            return error
    return UsageFault.of(
        "DIALECT",
        f"below '{root}' are files of several configuration systems: {', '.join(rivals)}",
        hint=f"nothing there shows which one the host uses: name it with --dialect {rivals[0]}",
    )
