"""A verb is one file and one entry: it is listed, run, and its errors and exit statuses are the command line's."""

from __future__ import annotations

import sys
from types import ModuleType

import click
import pytest

from bascule import cli
from bascule.errors import BasculeError


@click.command()
@click.option("--wrong", is_flag=True)
def ponder(*, wrong: bool) -> int:
    """Think."""
    if wrong:
        raise BasculeError.of("HOST", "nothing came to mind", hint="wait")
    click.echo("a thought")
    return 1


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("bascule.cli.verbs.ponder")
    module.command = ponder  # type: ignore[attr-defined]  # what a verb's file has
    monkeypatch.setitem(sys.modules, "bascule.cli.verbs.ponder", module)
    monkeypatch.setitem(cli.VERBS, "ponder", "Think. Changes nothing.")


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["bascule", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.usefixtures("registered")
def test_one_entry_makes_a_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    assert "ponder" in capsys.readouterr().out
    assert run(monkeypatch, "ponder") == 1
    assert capsys.readouterr().out == "a thought\n"
    assert run(monkeypatch, "ponder", "--wrong") == 1
    assert capsys.readouterr().err == "error[HOST]: nothing came to mind\nhint: wait\n"
    assert run(monkeypatch, "ponder", "--wrnog") == 64
