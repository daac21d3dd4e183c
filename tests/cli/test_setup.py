"""What ``make demo`` does first: see that the tools are here, or say plainly what to install."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_rehearse import ROOT, bascule


def need(*tools: str, user: int | None = None, path: str | None = None) -> subprocess.CompletedProcess[str]:
    script = (ROOT / "scripts" / "need").read_text()
    return subprocess.run(
        ("sh", "-s", "--", *tools),
        input=script,
        capture_output=True,
        text=True,
        user=user,
        cwd="/",
        env={**os.environ, **({"PATH": path} if path else {})},
    )


def test_what_is_here_needs_no_word() -> None:
    done = need("ip", "sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_root_it_says_what_to_install() -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    done = need("ip", "no-such-tool", user=65534)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "apt-get install no-such-tool" in done.stderr
    assert "run that as root" in done.stderr
    assert "iproute2" not in done.stderr


def test_rehearse_without_any_tool_names_all_at_once(tmp_path: Path) -> None:
    done = bascule("rehearse", "examples/production.yaml", PATH=str(tmp_path))
    assert done.returncode == 1
    for tool, package in (("ip", "iproute2"), ("nft", "nftables"), ("dnsmasq", "dnsmasq-base")):
        assert f"error[TOOL-MISSING]: '{tool}' is not in PATH" in done.stderr
        assert f"apt-get install {package}," in done.stderr


def test_rehearse_without_dnsmasq_names_its_package(tmp_path: Path) -> None:
    for tool in ("ip", "bridge", "nft"):
        (tmp_path / tool).symlink_to(f"/usr/sbin/{tool}")
    done = bascule("rehearse", "examples/production.yaml", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "error[TOOL-MISSING]: 'dnsmasq' is not in PATH" in done.stderr
    assert "apt-get install dnsmasq-base" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rehearse", "no-such-file.yaml"), "error[FILE]: 'no-such-file.yaml' does not exist"),
        (("rehearse", "examples"), "error[FILE]: 'examples' is a directory"),
        (("rehearse", "examples/first.yaml", "--host", "x"), "error[HOST]: the site file has no host 'x'"),
    ],
)
def test_wrong_words_are_one_error(words: tuple[str, ...], message: str) -> None:
    done = bascule(*words)
    assert done.returncode in {64, 65}
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert "hint:" in done.stderr


@pytest.mark.parametrize("words", [("--frobnicate",), ("frobnicate",), ("plan",), ("plan", "a", "b")])
def test_a_wrong_command_line_is_64(words: tuple[str, ...]) -> None:
    done = bascule(*words)
    assert done.returncode == 64
    assert done.stderr.startswith("error[USAGE]")
