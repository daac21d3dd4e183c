"""Real trees with a literal replaced, or a file spoiled: whatever the result says stands in what import writes.

``python -m tests.importer.random_edits --edits 20000 --seed 7`` asks it of all dialects and prints what was lost.
This judge shares nothing with the net that import has itself; it is strict where a literal is one, and knows the few
values that a site file says by other words.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import yaml
from msgspec import Struct

from bascule.errors import UsageFault
from bascule.importer.importing import Sources, import_sources
from bascule.model.dialects import readable
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from tests.importer.test_cases import CASES
from tests.persist.test_bad_input import mutated
from tests.persist.test_samples import SAMPLES, dialect_of

KINDS = {
    "address": re.compile(r"(?<![\w.])(?!255\.|127\.|0\.)\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"),
    "IPv6 address": re.compile(
        r"(?<![\w:.])(?=[0-9a-fA-F:]*:[0-9a-fA-F:]*:)(?!(?:[\da-fA-F]{2}:){5}[\da-fA-F]{2}\b)[0-9a-fA-F:]{6,39}(?![\w:])"
    ),
    "MAC": re.compile(r"(?<![\w:'])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![\w:])"),
    "number": re.compile(r"(?<![\w.:+/@-])\d{2,6}(?![\w.:/@-])"),
    "name": re.compile(
        r"(?<![\w./:@-])(?:eno|ens|eth|enp\ds|em|bond|br|vmbr|vlan|team|lan|wan)\d{1,4}(?:\.\d{1,4})?(?![\w.:/-])"
    ),
}
GLUED = re.compile(r"""\w["']$|^["']\w""")  # to the shell 'eno1'0 is one word
COMMENT = re.compile(r"^\s*[#;].*|\s#.*")
SETTINGS = ("etc/sysconfig/network/config", "etc/sysconfig/network/dhcp")  # of SUSE: few numbers are the network's
PASSED = (".bak", "~", ".scpmbackup", "ifcfg-lo", ".rpmsave", ".orig")
BESIDE = {
    "ifcfg": ("etc/sysconfig/network-scripts/ifcfg-beside", "DEVICE=beside\n"),
    "ifupdown": ("etc/network/interfaces.d/beside", "auto beside\niface beside inet manual\n"),
    "keyfile": (
        "etc/NetworkManager/system-connections/beside.nmconnection",
        "[connection]\ntype=ethernet\ninterface-name=beside\n",
    ),
    "netplan": ("etc/netplan/beside.yaml", "network: {ethernets: {beside: {}}}\n"),
    "networkd": ("etc/systemd/network/beside.network", "[Match]\nName=beside\n"),
    "wicked": ("etc/sysconfig/network/ifcfg-beside", "STARTMODE=auto\n"),
}
BY_WORDS = re.compile(
    r"wake-on-lan|uuid|hostname|psk|password|timestamp|Key=|\bkey: ?[0-9]", re.IGNORECASE
)  # or a secret, which is never repeated


class Literal(Struct, frozen=True):
    """A literal of a file, and where it stands."""

    path: str
    line: int
    kind: str
    first: int
    end: int
    word: str


def corpus(name: str) -> list[dict[str, str]]:
    """The real trees of a dialect."""
    found = []
    for case in (*CASES, *SAMPLES):
        chosen = dialect(name)
        files = read_tree(case, chosen.reads, chosen.includes).files
        mine = dialect_of(case) == name if case in SAMPLES else bool(read_tree(case, chosen.own).files)
        if files and mine:
            found.append(files)
    return found


def literals(path: str, text: str) -> Iterator[Literal]:
    """Those that mean something."""
    if path.endswith(PASSED) or path.startswith("etc/systemd/system/"):
        return
    for number, line in enumerate(text.split("\n")):
        said = COMMENT.sub("", line)
        for kind, pattern in KINDS.items() if not BY_WORDS.search(line) else ():
            for match in pattern.finditer(said) if kind in ("address", "MAC") or path not in SETTINGS else ():
                if not GLUED.search(said[: match.start()]) and not GLUED.match(said[match.end() :]):
                    yield Literal(path, number, kind, *match.span(), match[0])


def fresh(kind: str, chance: random.Random) -> str:
    """A literal that stands in no sample."""
    if kind == "address":
        return f"10.{chance.randint(201, 250)}.{chance.randint(1, 250)}.{chance.randint(2, 250)}"
    if kind == "IPv6 address":
        return f"2001:db8:{chance.randint(0x1000, 0x9FFF):x}::{chance.randint(0x100, 0x9FF):x}"
    if kind == "MAC":
        return "06:" + ":".join(f"{chance.randint(0, 255):02x}" for _ in range(5))
    if kind == "name":
        return f"q{chance.randint(100, 999)}z{chance.randint(0, 9)}"
    return str(chance.randint(1601, 3999))


def is_said(literal: Literal, line: str, text: str) -> bool:
    """Whether a literal stands in what was written, as a word of its own."""
    word = literal.word.lower()
    if literal.kind == "number" and int(word) < 2:
        return True
    if literal.kind == "number":
        return any(_stands(number, text, r"(?:ms|s|min)?(?!\w|\.\w)") for number in _spellings(word, line))
    if literal.kind == "IPv6 address" and not _stands(word, text):
        with contextlib.suppress(ValueError):
            word = str(ip_address(word))
    link, dot, vid = word.rpartition(".")
    if literal.kind == "name" and dot and _stands(link, text) and _stands(vid, text):
        return True  # a VLAN by its link and its number
    return _stands(word, text)


def _spellings(word: str, line: str) -> Iterator[str]:
    """A number, the seconds that it is where it counts parts of them, and the mark of a rule."""
    yield from (word, str(int(word)))
    if "BRIDGING_OPTS" in line or "/bridge/" in line:
        yield f"{int(word) / 100:g}"
    if "Sec=" in line:
        yield str(int(word) * 1000)
    if f"{word}ms" in line:
        yield f"{int(word) / 1000:g}"
    if "mark" in line:
        yield f"{int(word):#x}"


def _stands(word: str, text: str, behind: str = r"(?!\w)") -> bool:
    return re.search(rf"(?<![\w]){re.escape(word)}{behind}", text) is not None


def written(name: str, files: dict[str, str]) -> str:
    """What import writes."""
    try:
        return import_sources(Sources(host="h", site="s", dialect=name, files=files)).text
    except UsageFault:  # what is spoiled so far that it is none is refused; beside another file it must be told
        path, text = BESIDE[name]
        return import_sources(Sources(host="h", site="s", dialect=name, files={**files, path: text})).text


def replaced(files: dict[str, str], chance: random.Random) -> list[Literal]:
    """Replace one literal by another; which one that is now."""
    places = [each for path, text in sorted(files.items()) for each in literals(path, text)]
    if not places:
        return []
    old = chance.choice(places)
    word = fresh(old.kind, chance)
    lines = files[old.path].split("\n")
    lines[old.line] = lines[old.line][: old.first] + word + lines[old.line][old.end :]
    files[old.path] = "\n".join(lines)
    return [Literal(old.path, old.line, old.kind, old.first, old.first + len(word), word)]


def spoiled(files: dict[str, str], chance: random.Random) -> list[Literal]:
    """Spoil one file; the literals that it has now."""
    victim = chance.choice(sorted(files))
    files[victim] = mutated(files[victim], chance)
    return list(literals(victim, files[victim]))


def lost(name: str, trees: list[dict[str, str]], chance: random.Random) -> list[str]:
    """One edit of one tree, and what of it import does not say."""
    files = dict(chance.choice(trees))
    meant = chance.choice((replaced, spoiled))(files, chance)
    text = written(name, files)
    yaml.load(text, Loader=yaml.CBaseLoader)  # the base loader makes text alone
    text = re.sub(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|[nrt])", " ", text).lower()  # what cannot be printed
    missing = []
    for each in meant:
        line = files[each.path].split("\n")[each.line]
        if not is_said(each, line, text):
            missing.append(f"{each.kind} {each.word}: {each.path}:{each.line + 1}: {line!r}")
    return missing


def main() -> int:
    """Ask it of many edits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=20_000)
    parser.add_argument("--seed", default="0")
    parser.add_argument("dialects", nargs="*", default=list(readable()))
    options = parser.parse_args()
    chance, found = random.Random(options.seed), Counter[str]()
    trees = {name: corpus(name) for name in options.dialects}
    for _ in range(options.edits):
        name = chance.choice(options.dialects)
        found.update(f"{name}: {each}" for each in lost(name, trees[name], chance))
    for each, times in found.most_common():
        print(f"{times} times {each}")
    print(f"{options.edits} edits with seed {options.seed}, in {', '.join(trees)}: {found.total()} literals lost")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
