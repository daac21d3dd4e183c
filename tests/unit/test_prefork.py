"""A run that is forked does what one that is started does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import Lab, called

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def beside() -> None:
    """Not one of the first runs, which are started as ever."""
    for _ in range(prefork.FIRST):
        prefork.run("--version")
    if not prefork.is_here():
        pytest.skip("a fork that goes into namespaces needs root")


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("check", "examples/production.yaml"),
        ("check", "/nowhere.yaml"),
        ("nonsense",),
        ("draw", "examples/production.yaml", "--width", "20"),
        ("plan", "examples/production.yaml", "--observed", "tests/cases/production-fresh/observed.json", "--json"),
    ],
    ids=" ".join,
)
def test_it_says_the_same_and_ends_in_the_same_way(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    env = {**os.environ, "COLUMNS": "70"}
    started = subprocess.run(
        (sys.executable, "-m", "bascule", *words), env=env, cwd=ROOT, capture_output=True, text=True
    )
    monkeypatch.setattr(subprocess, "run", None)  # what is forked does not need it
    forked = prefork.run(*words, env=env, cwd=ROOT)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)


@pytest.mark.kernel
def test_it_is_where_it_is_told_to_be(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("only-here")
    env = {**os.environ, "BASCULE_STATE_DIR": str(tmp_path)}
    with called("some-name"):
        inside = prefork.run("import", env=env, namespace=host).stdout
        with host.entered():
            assert prefork.run("import", env=env).stdout == inside
    assert "only-here" in inside and "some-name" in inside
    with Namespace.new("empty") as empty:
        assert "only-here" not in prefork.run("import", env=env, namespace=empty).stdout


def test_another_locale_is_started_anew(tmp_path: Path) -> None:
    file = tmp_path / "ü.yaml"
    file.write_text("site: x\n")
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    assert prefork.run("check", str(file), env=env).stdout.isascii()
    assert not prefork.run("check", str(file)).stdout.isascii()


def test_what_one_run_changes_the_next_does_not_see(tmp_path: Path) -> None:
    first = prefork.run("schema", env={**os.environ, "BASCULE_DEBUG": "1"}, cwd=tmp_path)
    assert json.loads(first.stdout) == json.loads(prefork.run("schema").stdout)
