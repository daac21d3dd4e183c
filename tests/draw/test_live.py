"""The verb on the real kernel, in a namespace of its own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests import prefork
from tests.lab import Lab, open_lab

SITE = str(Path(__file__).parents[2] / "examples" / "production.yaml")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with open_lab() as lab:
        yield lab


@pytest.mark.kernel
def test_the_live_host_against_the_file(lab: Lab) -> None:
    host = lab.host("eth2", "eth3", "eth4", "eth5")
    for words in (
        "link add br3 type bridge",
        "link set br3 up",
        "link set eth4 master br3",
        "link set eth4 up",
        "link set eth4-wire down",
        "addr add 192.168.1.10/24 dev eth2",
        "link set eth2 up",
        "link add docker0 type bridge",
    ):
        lab.ip(host, words)
    lab.tap(host, "guest_02.0")
    lab.tap(host, "guest_03.0")
    lab.ip(host, "link set guest_02.0 master br3")
    lab.ip(host, "link set guest_03.0 master docker0")
    done = lab.bascule(host, "draw", SITE, "--live", "--json")
    assert done.returncode == 0, done.stderr
    nodes = {node["id"]: node for node in json.loads(done.stdout)["nodes"]}

    def seen(link: str) -> tuple[str, str]:
        node = nodes[f"vmserver/link/{link}"]
        return node["presence"], node["state"]

    assert seen("eth2") == ("present", "up")
    assert seen("eth3") == ("drifted", "down")
    assert seen("eth4") == ("drifted", "no carrier")  # it makes itself IPv6 addresses
    assert seen("br3")[0] == "drifted"  # it was made by hand: STP, snooping, addresses of its own
    assert seen("br4")[0] == "wanted"
    assert seen("guest_02.0")[0] == "drifted"
    assert seen("guest_03.0")[0] == "drifted"
    assert seen("docker0")[0] == "foreign"
    text = lab.bascule(host, "draw", SITE, "--live", "--width", "120", env={"PYTHONUTF8": "1"}).stdout
    assert "guest_03.0: become a port of br3 (from docker0)" in text


@pytest.mark.kernel
def test_a_live_host_without_a_file(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("eth0")
    lab.ip(host, "link add br0 type bridge")
    lab.ip(host, "link set eth0 master br0")
    picture = tmp_path / "host.svg"
    done = lab.bascule(host, "draw", "-o", str(picture))
    assert done.returncode == 0, done.stderr
    names = " ".join(group.get("aria-label", "") for group in ET.parse(picture).getroot().iter())
    assert "bridge br0" in names
    assert "nic eth0" in names


@pytest.mark.kernel
@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {}])
def test_a_terminal_without_utf8_gets_ascii_without_question_marks(lab: Lab, locale: dict[str, str]) -> None:
    done = lab.bascule(lab.namespace("any"), "draw", SITE, "--width", "80", env={**locale, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "?" not in done.stdout
    assert "guest_02" in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--highlight", "x"], 64, "'x' is not A:B"),
        (["--highlight", "guest_2:desk"], 64, "did you mean 'guest_02'?"),
        (["--width", "20"], 64, "less than 40 columns"),
        (["--format", "gif"], 64, "'gif'"),
        (["-o", "/no-such-folder/x.svg"], 1, "/no-such-folder/x.svg"),
    ],
)
def test_wrong_words_get_a_sentence(words: list[str], status: int, message: str) -> None:
    done = prefork.run("draw", SITE, *words, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.kernel
def test_many_taps_that_are_not_there_are_a_number(lab: Lab, tmp_path: Path) -> None:
    """Also where no two guests are alike, and none makes a group with others."""
    names = [f"web-{n}" for n in range(1, 21)]
    guests = "".join(
        f"  {name}: {{host: h, memory: {n}GiB, nics: [{{bridge: br0}}]}}\n" for n, name in enumerate(names, 1)
    )
    site = tmp_path / "site.yaml"
    head = "site: s\nnetworks: {n: {}}\nhosts: {h: {nics: {eth0: {network: n}}, bridges: {br0: {uplink: eth0}}}}\n"
    site.write_text(f"{head}guests:\n{guests}")
    text = lab.bascule(lab.host("eth0"), "draw", str(site), "--live", env={"PYTHONUTF8": "1"}).stdout
    assert "wanted (in the file, not on the host): br0, 20 taps\n" in text
    site.write_text(f"{head}guests:\n{re.sub('memory: .*?, ', '', guests)}")
    text = lab.bascule(lab.host("eth0b"), "draw", str(site), env={"PYTHONUTF8": "1"}).stdout
    assert "web-1…web-20 ×20" in text
    assert "web-7" not in text
    site.write_text(site.read_text().replace("web-7:", "web-77:"))
    text = lab.bascule(lab.host("eth0c"), "draw", str(site), env={"PYTHONUTF8": "1"}).stdout
    assert "web-6, web-77, web-8" in text
