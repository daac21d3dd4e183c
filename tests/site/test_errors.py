"""Wrong files next to the exact words about them: tests/errors/NAME.yaml and NAME.txt.

A new case is a new .yaml file; ``UPDATE=1 pytest tests/site/test_errors.py`` writes (or rewrites) the .txt to be read
and committed. Every code that site/ can give must have a case.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import bascule.site
from bascule.cli import group
from bascule.errors import SiteFault
from bascule.site import parse
from bascule.site.codes import CODES

CASES = Path(__file__).parent.parent / "errors"
NAMES = sorted(path.stem for path in CASES.glob("*.yaml"))


def check(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.chdir(CASES)
    result = CliRunner().invoke(group, ["check", f"{name}.yaml"], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.return_value, result.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = check(name, monkeypatch)
    assert status == 65
    expected = CASES / f"{name}.txt"
    if os.environ.get("UPDATE"):
        expected.write_text(said, encoding="utf-8")
    if not yaml.__with_libyaml__ and name.startswith(("yaml", "tab")):
        pytest.skip("PyYAML without libyaml words its complaints differently")
    assert expected.exists(), f"read this and keep it with UPDATE=1:\n{said}"
    assert said == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_the_form_of_the_words(name: str) -> None:
    with pytest.raises(SiteFault) as caught:
        parse((CASES / f"{name}.yaml").read_bytes(), f"{name}.yaml")
    for problem in caught.value.problems:
        assert problem.code in CODES
        assert problem.place is not None
        assert problem.place.line >= 1
        assert problem.place.column >= 1
        for sentence in filter(None, (problem.message, problem.hint)):
            assert not sentence.endswith("."), sentence
            assert "\n" not in sentence, sentence
            assert len(sentence) < 200, sentence


def test_no_expected_words_without_their_case() -> None:
    assert sorted(path.stem for path in CASES.glob("*.txt")) == NAMES


def test_every_code_has_a_case() -> None:
    covered: set[str] = set()
    for name in NAMES:
        with pytest.raises(SiteFault) as caught:
            parse((CASES / f"{name}.yaml").read_bytes(), name)
        covered |= {problem.code for problem in caught.value.problems}
    assert set(CODES) - covered == set()


def test_every_code_in_the_source_is_declared() -> None:
    used: set[str] = set()
    for file in Path(bascule.site.__file__).parent.rglob("*.py"):
        if file.name == "codes.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"[A-Z-]{3,}", node.value)
            ):
                used.add(node.value)
    assert used - {"NIC", "NUL"} == set(CODES)
