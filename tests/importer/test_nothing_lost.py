"""Nothing gets lost: whatever an input says stands in the site file or in a note, also where inputs are spoiled.

A literal of a real file is replaced by one that stands nowhere else; then it must be found in what import writes. So
no other place can stand in for one that was lost.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from bascule.importer.importing import Sources, import_sources
from bascule.model.dialects import readable
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from tests.importer.test_cases import CASES
from tests.persist.test_bad_input import mutated
from tests.persist.test_samples import SAMPLES, dialect_of

ROUNDS = 4000 if os.environ.get("BASCULE_SOAK") else 60

ADDRESS = re.compile(r"(?<![\w.])(?!255\.|127\.|0\.)\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")
MAC = re.compile(r"(?<![\w:])[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![\w:])")
NUMBER = re.compile(r"(?i)(?<=mtu[ =:])\s*\d{4}|(?<=metric[ =:])\s*\d+|(?<=id[ =:])\s*\d+|(?<=vids[ =:])\s*\d+")
NAME = re.compile(r"(?<![\w./-])(?:eno|eth|enp\ds|em|bond|br|vmbr)\d(?![\w.])")
COMMENT = re.compile(r"^\s*[#;]|\s#")


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


def written(name: str, files: dict[str, str]) -> str:
    return import_sources(Sources(host="h", site="s", dialect=name, files=files)).text


def fresh(kind: str, chance: random.Random, line: str) -> str:
    """A literal that stands in no sample."""
    if kind == "address":
        return f"10.{chance.randint(201, 250)}.{chance.randint(1, 250)}.{chance.randint(2, 250)}"
    if kind == "mac":
        return "06:" + ":".join(f"{chance.randint(0, 255):02x}" for _ in range(5))
    if kind == "name":
        return f"q{chance.randint(100, 999)}z{chance.randint(0, 9)}"
    return str(chance.randint(1601, 3999))


def literal_places(files: dict[str, str]) -> list[tuple[str, int, str, int, int]]:
    """Where literals stand that mean something: (path, line, kind, first, end)."""
    found = []
    for path, text in files.items():
        if path.endswith((".bak", "~", ".scpmbackup", "ifcfg-lo")) or path.startswith("etc/systemd/system/"):
            continue
        for number, line in enumerate(text.split("\n")):
            if COMMENT.match(line) or "uuid" in line.lower():
                continue
            for kind, pattern in (("address", ADDRESS), ("mac", MAC), ("number", NUMBER), ("name", NAME)):
                found += [(path, number, kind, *match.span()) for match in pattern.finditer(line)]
    return found


@pytest.mark.parametrize("name", readable())
def test_a_literal_that_stands_once_is_written(name: str) -> None:
    chance = random.Random(f"once {name}")
    trees = corpus(name)
    assert trees
    for _ in range(ROUNDS):
        files = dict(chance.choice(trees))
        places = literal_places(files)
        if not places:
            continue
        path, number, kind, first, end = chance.choice(places)
        lines = files[path].split("\n")
        line = lines[number]
        word = fresh(kind, chance, line)
        lines[number] = f"{line[:first]}{word}{line[end:]}"
        files[path] = "\n".join(lines)
        assert word in written(name, files), f"{path}:{number + 1}: {line} with {word}"


@pytest.mark.parametrize("name", readable())
def test_every_literal_of_a_spoiled_file_is_written(name: str) -> None:
    chance = random.Random(f"spoiled {name}")
    trees = corpus(name)
    for _ in range(ROUNDS):
        files = dict(chance.choice(trees))
        victim = chance.choice(sorted(files))
        files[victim] = mutated(files[victim], chance)
        text = written(name, files)
        for path, number, kind, first, end in literal_places(files):
            word = files[path].split("\n")[number][first:end].strip()
            if kind in {"address", "mac"}:
                assert word.lower().lstrip("0") in text.lower(), f"{path}:{number + 1}: {word}\n{text}"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_every_literal_of_a_case_is_written(case: Path) -> None:
    """Also those of libvirt's XML, which is one word after the other."""
    text = (case / "site.yaml").read_text()
    for path in case.rglob("etc/**/*"):
        for line in path.read_text().splitlines() if path.is_file() else ():
            if not COMMENT.match(line):
                words = [
                    *ADDRESS.findall(line),
                    *MAC.findall(line),
                    *NAME.findall(line),
                    *re.findall(r"\bmtu\D+(\d+)", line),
                ]
                assert [word for word in words if word.lower() not in text.lower()] == [], f"{path}: {line}"
