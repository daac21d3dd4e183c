"""The main job from the command line, as a newcomer and as an administrator on a bad day would run it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests import prefork
from tests.patience import HUNG_S, patient

ROOT = Path(__file__).parents[2]
PRODUCTION = ROOT / "examples" / "production.yaml"
BASCULE = (sys.executable, "-m", "bascule")


def bascule(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words, cwd=ROOT, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def production() -> Any:
    done = bascule("rehearse", "examples/production.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_production_holds(production: Any) -> None:
    assert production["schema"] == "bascule/rehearse/1"
    assert production["ok"] is True
    assert all(check["ok"] for check in production["checks"])
    assert len(production["expectations"]) == 6
    for expectation in production["expectations"]:
        assert expectation["ok"] is True
        assert expectation["observed"] == expectation["verdict"]
        assert expectation["witness"]["sentence"]
        # a masquerading machine on the way, a guest's lease, and what the machine does not forward: all are walked
        assert expectation["model"]["result"] == {"reach": "yes", "no-reach": "no"}[expectation["observed"]]
        assert expectation["model"]["agrees"] is True
    assert production["timings"]["total"] > 0


def test_every_guest_is_a_proper_server(production: Any) -> None:
    found = {(check["subject"], check["id"]) for check in production["checks"]}
    for guest in ("guest_01", "guest_02", "guest_03"):
        for check in ("in-broadcast-domain", "like-any-nic", "unrestricted-within", "arp-from-host", "mac-on-own-port"):
            assert (guest, check) in found


def test_last_step_of_the_classic_recipe(production: Any) -> None:
    details = {check["subject"]: check["detail"] for check in production["checks"] if check["id"] == "arp-from-host"}
    assert re.fullmatch(r"192\.168\.1\.1\d\d ether 52:54:00:28:23:af eth2", details["guest_02"])


def test_masquerade_is_seen(production: Any) -> None:
    out = next(x for x in production["expectations"] if x["from"] == "guest_02")
    assert out["seen_as"] == "dmz"
    assert "129.230.0.1" in out["witness"]["seen_as"]


def test_isolation_has_a_control_and_a_last_place(production: Any) -> None:
    kept = next(x for x in production["expectations"] if x["from"] == "guest_03")
    assert kept["witness"]["sentence"] == "left guest_03, crossed br3 and eth4, arrived at dmz, not forwarded"
    assert "reaches 129.230.200.9" in kept["witness"]["control"]


def moved(tmp_path: Path) -> Path:
    """guest_03 on the wrong network, as a slip of the hand would put it there."""
    text = PRODUCTION.read_text()
    slip = text.replace("{bridge: br3, address: 192.168.1.33/24}", "{bridge: br4, address: 129.230.1.33/16}")
    assert slip != text
    file = tmp_path / "moved.yaml"
    file.write_text(slip)
    return file


def test_a_broken_criterion_is_named_with_path_and_line(tmp_path: Path) -> None:
    file = moved(tmp_path)
    done = bascule("rehearse", str(file), COLUMNS="200")
    assert done.returncode == 1
    line = 1 + file.read_text()[: file.read_text().index("{bridge: br4, address: 129.230.1.33")].count("\n")
    end = " ".join(done.stdout.split())
    assert end.count("FAIL ") == 2  # each once, and first
    assert done.stdout.index("FAIL ") < done.stdout.index("checks:")
    assert f"guest_03 → customer icmp must be no-reach ({file}:" in end
    assert "left guest_03, crossed br4 and eth5, arrived at customer" in end
    assert f"because of {file}:{line}:" in end


def test_output_into_head_is_quiet() -> None:
    command = f"{sys.executable} -m bascule rehearse examples/production.yaml | head -2"
    done = subprocess.run(("bash", "-c", command), cwd=ROOT, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_forty_columns() -> None:
    done = bascule("rehearse", "examples/production.yaml", COLUMNS="40")
    assert done.returncode == 0
    for line in done.stdout.splitlines():
        # a word that is itself longer is not cut
        assert len(line) <= 40 or len(line.split()[-1]) > 16, line


def test_a_locale_without_utf8() -> None:
    done = bascule("rehearse", "examples/production.yaml", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "?" not in done.stdout
    assert "customer -> guest_01" in done.stdout


def test_a_file_that_changes_meanwhile_is_named(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(PRODUCTION.read_text())
    process = subprocess.Popen(
        (*BASCULE, "rehearse", str(file), "--json"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + patient(20)
    while not _children(process.pid) and time.monotonic() < deadline:  # the twin has begun: the file has been read
        time.sleep(0.005)
    file.write_text("site: another\n")
    stdout, stderr = process.communicate(timeout=HUNG_S)
    assert json.loads(stdout)["changed_meanwhile"] is True
    assert f"{file} changed meanwhile" in stderr


def test_ctrl_c_says_one_line() -> None:
    for after_s in (0.2, 0.05, 0.0):  # a fast machine is ready by then
        status, stdout, stderr = interrupted(after_s)
        if status:
            break
    assert status == 130
    assert stdout == ""
    assert stderr.strip() == "interrupted; nothing is left behind"


def interrupted(after_s: float) -> tuple[int, str, str]:
    """A rehearsal that Ctrl-C meets so long after its twin has begun."""
    process = subprocess.Popen(
        (*BASCULE, "rehearse", "examples/production.yaml"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + patient(20)
    while not _children(process.pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=HUNG_S)
    return process.returncode, stdout, stderr


def _children(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()
    except FileNotFoundError:
        return ""
