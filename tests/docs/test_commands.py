"""Every command in the documentation runs, and what it prints is what stands there."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bascule.site import parse
from tests import prefork

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGES = re.compile(  # what differs from run to run and from machine to machine
    r"\b\d+(\.\d+)?\s(ms|s)\b|with\sthe\srights\sof\s(root|a\suser\snamespace)|192\.168\.1\.1[0-9][0-9]\b"
)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text()):
            if found[1] == language:
                line = page.read_text()[: found.start()].count("\n") + 1
                yield f"{page.relative_to(ROOT)}:{line}", found[2]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with what it prints; nothing where the block shows no output."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command.partition("  #")[0].strip(), output


SHOWN = [
    (f"{place} {command}", command, output) for place, text in blocks("console") for command, output in commands(text)
]
RUN = [shown for shown in SHOWN if shown[1].startswith("bascule ")]


def settled(text: str) -> str:
    """Without what changes; lines are joined, because a longer duration may break a line elsewhere."""
    return " ".join(CHANGES.sub("~", re.sub(r"\s+", " ", text)).split())


def renew(page: str, command: str, output: str, printed: str) -> str:
    """UPDATE=1: put what is printed now into the page; look at the difference before you commit it."""
    lines = printed.rstrip("\n").split("\n")
    pieces = re.split(r"^\[…\]\n", output, flags=re.MULTILINE)
    new = []
    for piece in pieces:
        old = piece.rstrip("\n").split("\n")
        if len(pieces) == 1:
            new.append("\n".join(lines) + "\n")
        elif not piece.strip():
            new.append(piece)
        else:
            start = _closest(old[0], lines)
            end = start + _closest(old[-1], lines[start:])
            new.append("\n".join(lines[start : end + 1]) + "\n")
    text = "[…]\n".join(new)
    path = ROOT / page
    path.write_text(path.read_text().replace(f"$ {command}\n{output}", f"$ {command}\n{text}"))
    return text


def _closest(line: str, lines: list[str]) -> int:
    ratios = [difflib.SequenceMatcher(a=line, b=other).ratio() for other in lines]
    return ratios.index(max(ratios))


@pytest.mark.parametrize(("place", "command", "output"), RUN, ids=[x[0] for x in RUN])
def test_command(place: str, command: str, output: str) -> None:
    page = place.partition(":")[0]
    if "--guests" in command and shutil.which("qemu-system-x86_64") is None:
        pytest.skip("QEMU is not installed")
    words = shlex.split(command.partition(" > ")[0])  # where the page keeps the output in a file, the test does not
    status = 0
    if " || " in command or ";" in command:
        pytest.fail("show one command at a time")
    done = prefork.run(*words[1:], cwd=ROOT, env={**os.environ, "COLUMNS": "80"})
    if not output:
        assert done.returncode == status, done.stderr
        return
    printed = done.stdout + done.stderr
    if os.environ.get("UPDATE"):
        output = renew(page, command, output, printed)
    shown = [settled(piece) for piece in re.split(r"^\[…\]$", output, flags=re.MULTILINE)]
    rest = settled(printed)
    for piece in shown:  # […] stands for what the page leaves out
        assert piece in rest, f"'{command}' no longer prints: {piece}\nbut: {printed}"
        rest = rest[rest.index(piece) + len(piece) :]
    if len(shown) == 1:
        assert not rest.strip(), f"'{command}' prints more than the page shows: {rest}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for place, command, _ in SHOWN:
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile, place


@pytest.mark.parametrize(("place", "text"), [b for b in blocks("yaml") if b[1].startswith("site:")])
def test_site_files_in_the_pages_are_right(place: str, text: str) -> None:
    parse(text.encode(), place)


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.name)
def test_examples_are_right(file: Path) -> None:
    parse(file.read_bytes(), str(file))


def test_readme_shows_the_first_example() -> None:
    shown = [text for place, text in blocks("yaml") if place.startswith("README")]
    assert yaml.safe_load(shown[0]) == yaml.safe_load((ROOT / "examples" / "one-nic.yaml").read_text())


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
