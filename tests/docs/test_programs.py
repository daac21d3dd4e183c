"""The programs in examples/ and the recipe for continuous integration do what they say."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.test_commands import blocks

ROOT = Path(__file__).parents[2]
WRONG = "site: x\nnetworks: {a: {subnet: 10.0.0.300/24}}\n"


def run(folder: Path, *words: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "." if path == "" else path, "PYTHONUTF8": "1"}
    return subprocess.run((sys.executable, *words), cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.kernel
def test_the_plugin_makes_each_promise_a_test(tmp_path: Path) -> None:
    for name in ("examples/pytest_bascule.py", "examples/slip.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "wrong.site.yaml").write_text(WRONG)
    options = ("-p", "no:cacheprovider", "-p", "pytest_bascule", "--junit-xml=network.xml", "--color=no")
    done = run(tmp_path, "-m", "pytest", *options, "slip.yaml", "wrong.site.yaml")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "3 failed, 5 passed" in done.stdout
    assert "left guest_03, crossed br4 and eth5, arrived at customer" in done.stdout
    assert "slip.yaml:34:12 (guest_03 is plugged into br4)" in done.stdout
    assert "error[SUBNET]: '10.0.0.300/24' is not a subnet" in done.stdout
    assert "Traceback" not in done.stdout
    assert 'name="guest_02 -&gt; customer icmp: reach, seen as dmz"' in (tmp_path / "network.xml").read_text()


def test_the_inventory_as_csv() -> None:
    done = run(ROOT, "examples/inventory.py", "examples/production.yaml", "--format", "csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [(row["guest"], row["network"], row["addresses"]) for row in rows] == [
        ("guest_01", "internet", "129.230.1.21"),
        ("guest_02", "internal", "dhcp"),
        ("guest_03", "internal", "192.168.1.33"),
    ]
    assert rows[1]["mac"] == "52:54:00:28:23:af"


def test_the_inventory_as_ansible_reads_it(tmp_path: Path) -> None:
    done = run(ROOT, "examples/inventory.py", "examples/production.yaml")
    (tmp_path / "inventory.json").write_text(done.stdout)
    reader = Path(sys.executable).with_name("ansible-inventory")
    if not reader.exists():
        pytest.skip("ansible-core is not installed")
    words = (str(reader), "-i", "inventory.json", "--list")
    listed = json.loads(subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert listed["network_internal"]["hosts"] == ["guest_02", "guest_03"]
    assert listed["host_vmserver"]["hosts"] == ["guest_01", "guest_02", "guest_03"]
    known = listed["_meta"]["hostvars"]
    assert known["guest_01"]["ansible_host"] == "129.230.1.21"
    assert "ansible_host" not in known["guest_02"]


@pytest.mark.parametrize("words", [(), ("--format", "csv")])
def test_an_inventory_whose_reader_ends_early_ends_quietly(words: tuple[str, ...]) -> None:
    program = [sys.executable, "examples/inventory.py", "examples/production.yaml", *words]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(program, cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_a_wrong_file_has_no_inventory(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(WRONG)
    done = run(tmp_path, str(ROOT / "examples/inventory.py"), "site.yaml")
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.startswith("error[SUBNET]: '10.0.0.300/24' is not a subnet")


@pytest.mark.kernel
def test_the_recipe_for_ci(tmp_path: Path) -> None:
    """Each step of the workflow but its installation, by a shell, as the runner does it."""
    (text,) = (text for place, text in blocks("yaml") if place.startswith("docs/how-to/check-in-ci.md"))
    job = yaml.safe_load(text)["jobs"]["rehearse"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert list(steps) == ["Install", "Check", "Rehearse", "Draw"]
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, line in {"bascule": f'exec {sys.executable} -m bascule "$@"', "sudo": 'exec "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def step(name: str) -> subprocess.CompletedProcess[str]:
        words = ("bash", "-e", "-c", steps[name])
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)

    (tmp_path / "site.yaml").write_text(WRONG)
    assert step("Check").returncode == 65
    shutil.copy(ROOT / "examples/first.yaml", tmp_path / "site.yaml")
    for name in ("Check", "Rehearse", "Draw"):
        done = step(name)
        assert done.returncode == 0, done.stderr
    kept = job["steps"][-1]["with"]["path"].split()
    assert {path.name for path in tmp_path.iterdir()} >= set(kept) == {"rehearsal.html", "site.svg"}
