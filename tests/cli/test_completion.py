"""The shell completes verbs, options, files and names; driven in a real bash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCTION = "examples/production.yaml"
OFFERED = {
    "bascule pl": "plan",
    "bascule gue": "guest",
    "bascule guest re": "replug",
    "bascule apply --confirm-w": "--confirm-within",
    f"bascule plan {PRODUCTION} --host ": "vmserver",
    f"bascule guest define {PRODUCTION} guest_0": "guest_01 guest_02 guest_03",
    f"bascule render {PRODUCTION} --dialect netw": "networkd",
    f"bascule render {PRODUCTION} --dialect n": "netplan networkd",
    "bascule plan no-such-file.yaml --host ": "",
    "bascule completion z": "zsh",
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "bascule").write_text(f'#!/bin/sh\nexec {sys.executable} -m bascule "$@"\n')
    (folder / "bascule").chmod(0o755)
    printed = subprocess.run([folder / "bascule", "completion", "bash"], capture_output=True, text=True, check=True)
    (folder / "completion").write_text(printed.stdout)
    return folder


@pytest.mark.parametrize("line", OFFERED)
def test_bash_completes(script: Path, line: str) -> None:
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    text = f"""source {script}/completion
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
    _bascule_completion bascule; echo "${{COMPREPLY[*]}}" """
    env = os.environ | {"PATH": f"{script}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert " ".join(sorted(done.stdout.split())) == OFFERED[line]
    assert done.stderr == ""
