"""Words that no verb can read, and an output that takes nothing: one clear error, and the status that belongs to it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from bascule.cli import VERBS, group
from bascule.cli.entry import report, run
from bascule.cli.show.reach import reach_as_json, show_reach
from bascule.cli.show.survey import show_survey
from bascule.errors import BasculeError, Problem
from bascule.guests.runtimes.detect import find_domain
from bascule.model.values import Service
from bascule.survey.verdicts import judge
from bascule.topology.trace.answer import Certainty
from bascule.verify.reachability.matrix import Cell, Matrix
from tests import prefork
from tests.survey.hearing import hear

EXAMPLE = Path(__file__).parents[2] / "examples/one-nic.yaml"


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["bascule", *words])
    with pytest.raises(SystemExit) as stop:
        run(group)
    taken = capsys.readouterr()
    return stop.value.code, taken.err or taken.out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("chek x", "there is no verb 'chek'", "did you mean 'check'?"),
        ("apply x --yse", "No such option '--yse'", "did you mean '--yes'?"),
        ("check x --jsn", "No such option '--jsn'", "did you mean '--json'?"),
        ("guest stat web", "No such command 'stat'", "did you mean 'start' or 'autostart'?"),
        ("guest zzz", "No such command 'zzz'", "see 'bascule guest --help'"),
        ("check", "Missing argument 'SITE'", "see 'bascule check --help'"),
        ("help plan", "there is no verb 'help'", "say 'bascule plan --help'"),
        ("plan x --host", "Option '--host' requires an argument", "see 'bascule plan --help'"),
        ("completion", "Missing argument 'SHELL': one of bash, zsh, fish", "see 'bascule completion --help'"),
        (
            "survey --seconds 0",
            "Invalid value for '--seconds': 0.0 is not between 0.5 and 3600",
            "see 'bascule survey --help'",
        ),
        (
            "blink x --seconds y",
            "Invalid value for '--seconds': 'y' is not a whole number",
            "see 'bascule blink --help'",
        ),
        ("import -o site.yaml", "No such option '-o'", "it prints to standard output, as in: bascule import > FILE"),
        (f"draw {EXAMPLE} -o NOWHERE/rack.pgn", "'pgn' is not a picture format", "as in -o NOWHERE/rack.png"),
        (f"draw {EXAMPLE} -o NOWHERE/rack.svgz", "'svgz' is not a picture format", "as in -o NOWHERE/rack.svg"),
    ],
)
def test_what_was_meant_is_the_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str, hint: str
) -> None:
    status, text = said(monkeypatch, capsys, *words.split())
    first, second = text.splitlines()
    assert (status, first.partition("]: ")[2]) == (64, message)
    assert second.startswith("hint: ")
    assert second.endswith(hint)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (f"draw {EXAMPLE} -o /nowhere/rack.svg", "'/nowhere/rack.svg': No such file", "make the directory '/nowhere'"),
        (f"draw {EXAMPLE} -o {EXAMPLE}/rack.svg", "Not a directory", "a part of this path is a file; name another"),
        (f"draw {EXAMPLE} -o /tmp", "'/tmp': Is a directory", "name a file in it"),
        (f"draw {EXAMPLE} -o /dev/full", "'/dev/full': No space left on device", "free some space and run it again"),
        (f"check {EXAMPLE.parent}/one_nic.yaml", "does not exist", f"did you mean '{EXAMPLE}'?"),
        ("check /nowhere/site.yaml", "does not exist", "there is no directory '/nowhere'"),
        ("why a b --site /nosite", "'/nosite' does not exist", "give the name of a file that exists"),
    ],
)
def test_a_file_that_cannot_be_read_or_written_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str, hint: str
) -> None:
    status, text = said(monkeypatch, capsys, *words.split())
    assert status in {1, 65}
    assert message in text
    assert f"hint: {hint}" in text


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"site: \xff\0", "the file is binary, not text", "name the site file itself"),
        (gzip.compress(b"site: x", mtime=0), "the file is binary, not text", "name the site file itself"),
        ("site: B\u00fcro".encode("latin-1"), "byte 0xfc is not UTF-8", "save the file as UTF-8"),
        (None, "does not exist", "it is a link to 'gone', which is not there"),
    ],
)
def test_what_is_no_site_file_is_told_as_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
    message: str,
    hint: str,
) -> None:
    site = tmp_path / "site.yaml"
    if content is None:
        site.symlink_to("gone")
    else:
        site.write_bytes(content)
    status, text = said(monkeypatch, capsys, "check", str(site))
    assert status == 65
    assert message in text
    assert f"hint: {hint}" in text


def test_a_reader_that_ends_early_is_no_fault() -> None:
    """``bascule render … | head -n 1``: click would end with 1, and without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "bascule", "render", str(EXAMPLE), "--dialect", "networkd"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_it_starts_prints_no_traceback(tmp_path: Path) -> None:
    """The import of the command line takes some 0.1 s, in which nobody is there yet to say a word."""
    (tmp_path / "click.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{EXAMPLE.parents[1]}/src"}
    done = subprocess.run(
        [sys.executable, "-m", "bascule", "check", str(EXAMPLE)],
        capture_output=True, text=True, check=False, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_group_of_verbs_alone_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([], ["guest"]):
        status, text = said(monkeypatch, capsys, *words)
        assert status == 0
        assert text.startswith("Usage: bascule")


def test_every_verb_takes_json() -> None:
    for verb in VERBS:
        command = group.get_command(group.make_context("bascule", ["--help"], resilient_parsing=True), verb)
        assert command is not None
        each = getattr(command, "commands", {verb: command})
        assert [name for name, one in each.items() if name != "console" and not has_json(one)] == []
    done = CliRunner().invoke(group, ["completion", "fish", "--json"], standalone_mode=False)
    document = json.loads(done.output)
    assert (document["ok"], document["schema"], document["shell"]) == (True, "bascule/completion/1", "fish")
    assert "complete" in document["script"]


def has_json(command: object) -> bool:
    return any("--json" in one.opts for one in getattr(command, "params", ()))


@pytest.mark.parametrize("closed", ["full", "gone"])
def test_a_document_that_nobody_takes_is_told_on_stderr(
    closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if closed == "full":
        out = Path("/dev/full").open("w")  # noqa: SIM115
    else:
        read, write = os.pipe()
        os.close(read)
        out = os.fdopen(write, "w")
    monkeypatch.setattr(sys, "stdout", out)
    report(BasculeError(Problem(code="X", message="something is wrong")), as_json=True)
    assert capsys.readouterr().err.startswith("error[X]: something is wrong")
    with pytest.raises(OSError, match=r"No space|Broken pipe"):
        out.close()


def test_a_host_without_guests_names_none() -> None:
    with pytest.raises(BasculeError, match="there is no guest 'web'") as wrong:
        find_domain([], "web")
    assert "none" not in (wrong.value.problems[0].hint or "")


def test_nics_of_which_nothing_was_heard_share_a_line() -> None:
    heard = [hear(name) for name in ("eth0", "eth1", "eth2", "lan0")]
    shown = show_survey(judge({one.nic: one for one in heard}), columns=80, host="h").partition("A draft")[0]
    assert "\n\neth0…eth2, lan0: nothing was heard in 30 s\n" in shown
    assert shown.count("nothing was heard") == 1


def test_an_answer_that_is_open_says_what_was_not_read_and_where_to_ask() -> None:
    ping = Service("icmp")
    cell = Cell(
        source="web",
        target="db",
        service=ping,
        result=Certainty.UNKNOWN,
        request=Certainty.UNKNOWN,
        reply=Certainty.UNKNOWN,
    )
    found = Matrix(
        endpoints=("web", "db"),
        services=(ping,),
        classes=(("web",), ("db",)),
        cells={(0, 1, "icmp"): cell},
        violations=(),
        unasked=(),
        unread=("the rules of nft could not be read",),
        where="this host",
        sources=(),
        targets=(),
    )
    shown = show_reach(found, columns=80)
    assert "\nnote     the rules of nft could not be read\n" in shown
    assert "\n?        unknown; 'bascule why web db icmp' says why, for this pair\n" in shown
    sure = replace(found, cells={(0, 1, "icmp"): replace(cell, result=Certainty.NO)}, unread=())
    assert "?" not in show_reach(sure, columns=80)
    assert reach_as_json(found)["unread"] == ["the rules of nft could not be read"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("check", ""), "'SITE'"),
        (("plan", "examples/production.yaml", "--observed", ""), "'--observed'"),
        (("import", "--root", ""), "'--root'"),
        (("apply", "examples/production.yaml", "--root", "", "--yes"), "'--root'"),
        (("survey", "--site", ""), "'--site'"),
        (("draw", "", "--live"), "'[SITE]'"),
        (("guest", "start", "web", ""), "'GUEST...'"),
    ],
    ids=str,
)
def test_an_empty_word_is_no_option_left_out(words: tuple[str, ...], named: str) -> None:
    """It is a variable that the shell does not have: `--observed "$FILE"` asked this host instead."""
    done = prefork.run(*words, cwd=EXAMPLE.parents[1])
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith(f"error[USAGE]: Invalid value for {named}: it is empty; is a variable"), done.stderr
