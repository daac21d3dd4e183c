"""Each verb and the site file have a manual page, which man shows without a warning."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bascule
from bascule.cli import VERBS
from bascule.cli.manual import EXAMPLE, pages
from bascule.cli.verbs.guest import command as guest
from bascule.site import parse


def test_every_verb_has_a_page_with_its_options() -> None:
    found = pages()
    inner = {name for name in found if name.startswith("bascule-guest-")}
    assert set(found) - inner == {"bascule.1", "bascule.yaml.5", *(f"bascule-{verb}.1" for verb in VERBS)}
    assert {f"bascule-guest-{verb}.1" for verb in guest.commands} == inner
    assert "\\-\\-wait SECONDS" in found["bascule-guest-shutdown.1"]
    assert ".B stop\nPower guests off at once, like a power cut." in found["bascule-guest.1"]
    assert not [name for name, page in found.items() if re.search(r"\w {2,}\w", page)]
    assert "\\-\\-confirm\\-within TIME" in found["bascule-apply.1"]
    assert ".B uplink (needed)\n" in found["bascule.yaml.5"]
    assert ".B guard\nstrict:" in found["bascule.yaml.5"]
    assert "GUARD\\-SHARED" in found["bascule.yaml.5"]
    assert "bascule \\- put KVM guests on real networks" in found["bascule.1"]
    assert not [name for name, page in found.items() if re.search(r"^\.SH .*\n\.PP", page, re.MULTILINE)]


def test_each_page_has_an_example_and_that_of_the_site_file_is_valid() -> None:
    assert [name for name, page in pages().items() if "\n.SH EXAMPLES\n" not in page] == [
        "bascule.1",
        "bascule-guest.1",
    ]
    assert parse(EXAMPLE.encode(), "example").name == "first"


def test_they_bear_the_date_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    assert pages()["bascule.1"].startswith('.TH "BASCULE" "1" "2026-09-21" ')


def test_man_shows_them_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("there is no man with groff here")
    subprocess.run([sys.executable, "-m", "bascule.cli.manual", tmp_path], check=True)
    for page in sorted(tmp_path.iterdir()):
        command = ["man", "--warnings", "-l", str(page)]
        env = os.environ | {"MANWIDTH": "80", "LC_ALL": "C"}
        shown = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        assert shown.stderr == "", page.name
        assert "SEE ALSO" in shown.stdout


def test_no_message_names_a_manual_page() -> None:
    """The single file and a checkout have none; those of packages are named by `man`, the units and the documents."""
    named = re.compile(r"\bbascule[\w.-]*\([1-8]\)")
    source = Path(bascule.__file__).parent
    texts = {path: path.read_text() for path in source.rglob("*.py") if path != source / "cli/manual.py"}
    assert len(texts) > 100
    assert {str(path): named.findall(text) for path, text in texts.items() if named.search(text)} == {}
