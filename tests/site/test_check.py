"""bascule check as a person meets it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bascule.errors import NotPermitted, SiteFault
from bascule.system.disk.files import read_bytes

ROOT = Path(__file__).parent.parent.parent
CLEAN = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
BASCULE = [sys.executable, "-c", "from bascule.cli import main; main()"]


def bascule(*words: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*BASCULE, *words], input=stdin, capture_output=True, env={**CLEAN, **env}, cwd=ROOT)


def test_a_right_file_is_one_quiet_line() -> None:
    done = bascule("check", "examples/production.yaml")
    assert done.returncode == 0
    assert done.stdout.decode() == (
        "examples/production.yaml is valid: site 'production' with 2 networks, 1 host, 4 NICs, 2 bridges, "
        "3 guests, 3 machines, 6 expectations\n"
    )


def test_json() -> None:
    right = json.loads(bascule("check", "examples/production.yaml", "--json").stdout)
    assert (right["schema"], right["ok"], right["problems"]) == ("bascule/check/1", True, [])
    assert right["counts"]["nics"] == 4
    done = bascule("check", "--json", "tests/errors/duplicate-mac.yaml")
    wrong = json.loads(done.stdout)
    assert done.returncode == 65
    assert not wrong["ok"]
    first = wrong["problems"][0]
    assert (first["code"], first["line"], first["also"][0]["line"]) == ("DUPLICATE-MAC", 15, 9)


def test_standard_input() -> None:
    done = bascule("check", "-", stdin=b"site: s\nnetwork: {}\n")
    assert done.returncode == 65
    assert b"--> stdin:2:1" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [("nothing-here.yaml", "does not exist"), ("examples", "is a directory"), ("/dev/null/x", "does not exist")],
)
def test_no_file(name: str, words: str) -> None:
    done = bascule("check", name)
    assert done.returncode == 65
    assert words in done.stderr.decode()
    assert not done.stdout


def test_ten_megabytes(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"site: s\n" + b"# nothing\n" * 1_000_000)
    done = bascule("check", str(big))
    assert done.returncode == 65
    assert done.stderr.decode().count("error[") == 1
    assert "larger than 4 MiB" in done.stderr.decode()


def test_an_unreadable_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("site: s\n")
    secret.chmod(0)
    me = os.geteuid()
    if me == 0:
        os.seteuid(65534)  # root reads everything: be somebody else for a moment
    try:
        with pytest.raises(NotPermitted, match="may not be read") as caught:
            read_bytes(secret)
    finally:
        os.seteuid(me)
    assert caught.value.exit_status == 77


def test_what_sends_nothing_is_not_waited_for_without_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SiteFault, match="sent nothing for 0.01 s"):
        read_bytes(pipe, silence_s=0.01)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        with pytest.raises(SiteFault, match="is a socket, not a site file"):
            read_bytes(tmp_path / "door")


def test_a_pipe_is_read_up_to_its_end_however_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = b"# in many pieces\n" * 20_000

    def write() -> None:
        with pipe.open("wb") as stream:
            stream.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    assert read_bytes(pipe) == text
    writer.join()


def test_links_of_a_vlan_are_counted_by_their_name() -> None:
    text = b"site: s\nhosts: {h: {nics: {e0: {}}, vlans: {e0.7: {link: e0, id: 7}}}}\n"
    done = bascule("check", "-", stdin=text)
    assert b"with 1 host, 1 NIC, 1 VLAN link\n" in done.stdout


def test_standard_input_has_its_name() -> None:
    words = [sys.executable, "-m", "bascule", "check", "-"]
    right, wrong = (subprocess.run(words, input=text, capture_output=True, cwd=ROOT) for text in (b"site: s\n", b""))
    assert right.stdout == b"standard input is valid: site 's', empty so far\n"
    assert wrong.stdout.endswith(b"1 problem in standard input\n")
    planned = subprocess.run([*words[:3], "plan", "-"], input=b"", capture_output=True, cwd=ROOT)
    assert b" --> stdin:1:1\n" in wrong.stdout
    assert b" --> stdin:1:1\n" in planned.stderr


def test_a_terminal_without_utf8() -> None:
    done = bascule("check", "tests/errors/name.yaml", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 65
    assert b"Traceback" not in done.stdout + done.stderr


def test_into_head() -> None:
    done = subprocess.run(
        f"'{sys.executable}' -c 'from bascule.cli import main; main()' check tests/errors/unknown-name.yaml | head -1",
        shell=True,
        capture_output=True,
        cwd=ROOT,
    )
    assert done.stdout.startswith(b"error[UNKNOWN-NAME]")
    assert not done.stderr
