"""The shell completes verbs, options, files and names; driven in a real bash, zsh and fish."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from bascule.system.run import run
from tests.lab import Lab

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
    f"bascule render {PRODUCTION} --dialect co": "commands",
    "bascule import --dialect w": "wicked",
    f"bascule survey --site={PRODUCTION} --host v": "vmserver",
    f"bascule why --site {PRODUCTION} guest_01 de": "desk",
    f"bascule reach {PRODUCTION} --from c": "customer",
    f"bascule reach {PRODUCTION} --to vm": "vmserver",
    "bascule why --brief ho": "host",
    "bascule plan no-such-file.yaml --host ": "",
    "bascule completion z": "zsh",
    f"bascule plan {PRODUCTION} --host=v": "--host=vmserver",
    f"bascule draw {PRODUCTION} --highlight guest_01": "guest_01:",
    f"bascule draw {PRODUCTION} --highlight guest_01:cu": "guest_01:customer",
    f"bascule plan --observed pyproject.toml {PRODUCTION} --host v": "vmserver",
    f"bascule why --site {PRODUCTION} desk guest_03 tcp/50": "tcp/502",
    f"bascule survey --site {PRODUCTION} --pcap eth4": "eth4=",
    f"bascule apply {PRODUCTION} --probe ": "",
    f"bascule guest shutdown --wait 9 guest_03 {PRODUCTION} guest_0": "guest_01 guest_02 guest_03",
    f"bascule draw {PRODUCTION} --highlight=guest_01:cu": "--highlight=guest_01:customer",
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
    text = f"""source {script}/bash; compopt() {{ :; }}
    COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_WORDBREAKS=' '
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


# an interactive shell completes the line as far as it is clear; Ctrl-X prints it then and forgets it
BASH = """
source {script}/bash
bind 'set bell-style none'
told() {{ echo "<<$READLINE_LINE>>"; READLINE_LINE=; READLINE_POINT=0; }}
bind -x '"\\C-x": told'
echo ready
"""
ZSH = """
autoload -Uz compinit && compinit -D -u
source {script}/zsh
told() {{ print; print -r -- "<<$BUFFER>>"; BUFFER=; zle redisplay }}
zle -N told
bindkey '^X' told
bindkey '^I' complete-word
print ready
"""
CLEAR = {line: offered for line, offered in OFFERED.items() if " " not in offered and offered}
SPACED = "'a folder/a site.yaml'"
CLEAR |= {
    f"bascule rehearse {PRODUCTION} --report=examples/pytest_b": "--report=examples/pytest_bascule.py",
    f"bascule survey --site {PRODUCTION} --pcap eth4=examples/pytest_b": "eth4=examples/pytest_bascule.py",
}
CLEAR |= {f"bascule plan {name} --host v": "vmserver" for name in (SPACED, SPACED.strip("'").replace(" ", "\\ "))}


def test_a_nic_of_the_host_is_a_cable_or_hardware(lab: Lab) -> None:
    """Not its loopback, its bridges and what others have made."""
    host = lab.host("eth0", "eth1")
    lab.ip(host, "link add br0 type bridge")
    line = "bascule blink "
    asked = (f"COMP_WORDS={line}", f"COMP_CWORD={len(line)}", "_BASCULE_COMPLETE=bash_complete")
    done = run(("env", *asked, sys.executable, "-m", "bascule"), namespace=host)
    assert done.stdout.split() == [f"plain,{name}" for name in ("eth0", "eth0-wire", "eth1", "eth1-wire")]


def test_a_nic_of_a_guest_is_one_that_the_guest_has(script: Path, tmp_path: Path) -> None:
    env = os.environ | {"BASCULE_STATE_DIR": str(tmp_path), "PATH": f"{script}:{os.environ['PATH']}"}
    define = ("bascule", "guest", "define", PRODUCTION, "guest_02", "--driver", "qemu", "--here")
    subprocess.run(define, cwd=ROOT, env=env, check=True, capture_output=True)
    line = "bascule guest unplug --driver qemu guest_02 "
    asked = env | {"COMP_WORDS": line, "COMP_CWORD": str(len(line)), "_BASCULE_COMPLETE": "bash_complete"}
    done = subprocess.run(["bascule"], cwd=ROOT, env=asked, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,0", "plain,52:54:00:28:23:af", "plain,guest_02.0"]


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", ("--noprofile", "--rcfile", "{}/rc", "-i")), ("zsh", ("-d", "-i"))]
)
def test_an_interactive_shell_completes(shell: str, words: tuple[str, ...], script: Path, tmp_path: Path) -> None:
    """Bash cuts words at colons and equals signs before it asks."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (script / "rc").write_text(BASH.format(script=script))
    (script / ".zshrc").write_text(ZSH.format(script=script))
    (tmp_path / "a folder").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "a folder/a site.yaml").symlink_to(ROOT / PRODUCTION)
    leader, follower = pty.openpty()
    env = os.environ | {"PATH": f"{script}:{os.environ['PATH']}", "ZDOTDIR": str(script), "TERM": "dumb", "PS1": "% "}
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    called = [shell, *(word.format(script) for word in words)]
    running = subprocess.Popen(
        called, stdin=follower, stdout=follower, stderr=follower, cwd=tmp_path, env=env, start_new_session=True
    )
    os.close(follower)
    try:
        _until(leader, b"ready")
        for line, offered in CLEAR.items():
            os.write(leader, f"{line}\t\x18".encode())
            shown = _until(leader, b">>")
            completed = re.search(rb"<<(.*)>>", shown)
            assert completed is not None
            assert completed[1].decode().rstrip().endswith(offered), (line, shown)
            end = offered[-1].encode() if offered[-1] in ":=" else b"/" if offered.endswith("/") else b" "
            assert completed[1].endswith(end), (line, shown)
    finally:
        running.kill()
        running.wait()
        os.close(leader)


def _until(terminal: int, end: bytes) -> bytes:
    text = b""
    while end not in text:
        text += os.read(terminal, 4096)  # ends with OSError where the shell has gone
    return text
