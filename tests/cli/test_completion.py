"""The shell completes verbs, options, files and names; driven in a real bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import shutil
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
    f"bascule why --site {PRODUCTION} guest_01 de": "desk",
    f"bascule reach {PRODUCTION} --from c": "customer",
    f"bascule reach {PRODUCTION} --to vm": "vmserver",
    "bascule why --brief ho": "host",
    "bascule plan no-such-file.yaml --host ": "",
    "bascule completion z": "zsh",
}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "bascule").write_text(f'#!/bin/sh\nexec {sys.executable} -m bascule "$@"\n')
    (folder / "bascule").chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        printed = subprocess.run([folder / "bascule", "completion", shell], capture_output=True, text=True, check=True)
        (folder / shell).write_text(printed.stdout)
    return folder


@pytest.mark.parametrize("line", OFFERED)
def test_bash_completes(script: Path, line: str) -> None:
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    text = f"""source {script}/bash
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
    _bascule_completion bascule; echo "${{COMPREPLY[*]}}" """
    env = os.environ | {"PATH": f"{script}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert " ".join(sorted(done.stdout.split())) == OFFERED[line]
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(script: Path) -> None:
    text = f"source {script}/fish; " + "; ".join(f"complete -C '{line}'; echo ====" for line in OFFERED)
    env = os.environ | {"PATH": f"{script}:{os.environ['PATH']}", "HOME": str(script)}
    done = subprocess.run(["fish", "-c", text], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    answers = done.stdout.split("====\n")
    for line, answer in zip(OFFERED, answers, strict=False):
        assert " ".join(sorted(row.partition("\t")[0] for row in answer.splitlines())) == OFFERED[line], line


# an interactive zsh completes the line as far as it is clear; Ctrl-X prints it then and forgets it
ZSH = """
autoload -Uz compinit && compinit -D -u
source {script}/zsh
told() {{ print; print -r -- "<<$BUFFER>>"; BUFFER=; zle redisplay }}
zle -N told
bindkey '^X' told
bindkey '^I' complete-word
print ready
"""
ZSH_CLEAR = [line for line, offered in OFFERED.items() if " " not in offered and offered]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(script: Path) -> None:
    (script / ".zshrc").write_text(ZSH.format(script=script))
    leader, follower = pty.openpty()
    env = os.environ | {"PATH": f"{script}:{os.environ['PATH']}", "ZDOTDIR": str(script), "TERM": "dumb", "PS1": "% "}
    shell = subprocess.Popen(["zsh", "-d", "-i"], stdin=follower, stdout=follower, stderr=follower, cwd=ROOT, env=env)
    os.close(follower)
    try:
        _until(leader, b"ready")
        for line in ZSH_CLEAR:
            os.write(leader, f"{line}\t\x18".encode())
            shown = _until(leader, b">>")
            completed = re.search(rb"<<(.*)>>", shown)
            assert completed is not None
            assert completed[1].decode().rstrip().endswith(OFFERED[line]), (line, shown)
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)


def _until(terminal: int, end: bytes) -> bytes:
    text = b""
    while end not in text:
        text += os.read(terminal, 4096)  # ends with OSError where the shell has gone
    return text
