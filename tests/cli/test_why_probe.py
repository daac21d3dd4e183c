"""``bascule why --probe``: real frames beside the model, and a word where they disagree."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bascule.system.run import run
from tests.cli.test_why import Stage
from tests.lab import Lab

DROP = "table ip f {\nchain c {\ntype filter hook %s priority 0\nicmp type echo-request drop\n}\n}\n"


def asked(stage: Stage, *words: str) -> dict[str, Any]:
    done = stage.lab.bascule(stage.host, "why", *words, "--site", str(stage.site), "--here", "--probe", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    agrees = found["frames"]["agrees"] is not False
    assert done.returncode == (0 if found["result"] == "yes" and agrees else 1), done.stderr
    return found


@pytest.mark.kernel
def test_frames_are_put_beside_the_model(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    lab.ip(stage.host, "address add 10.0.0.1/24 dev br0")
    found = asked(stage, "h", "db")
    assert (found["result"], found["frames"]["response"], found["frames"]["agrees"]) == ("yes", "reply", True)
    refused = asked(stage, "h", "db", "tcp/5432")["frames"]
    assert (refused["response"], refused["agrees"]) == ("refused", True)
    assert "nobody listens" in refused["words"]
    assert asked(stage, "h", "db", "udp/9")["frames"]["agrees"] in {True, None}

    stage.nft(DROP % "output")  # the model sees it
    found = asked(stage, "h", "db")
    assert (found["result"], found["frames"]["result"], found["frames"]["agrees"]) == ("no", "no", True)
    stage.nft("flush ruleset")

    run(("nft", "-f", "-"), stdin=DROP % "input", namespace=stage.guests["db"])  # and that it cannot see
    found = asked(stage, "h", "db")
    assert (found["result"], found["frames"]["result"], found["frames"]["agrees"]) == ("yes", "no", False)
    done = stage.lab.bascule(stage.host, "why", "h", "db", "--site", str(stage.site), "--here", "--probe")
    assert "frames  DISAGREE with the model: no answer" in done.stdout
    assert done.returncode == 1

    lab.ip(stage.guests["log"], "link set eth0 down")  # one who is off proves nothing
    silent = asked(stage, "h", "log")["frames"]
    assert silent["agrees"] is not False, silent

    other = asked(stage, "web", "db")["frames"]
    assert (other["response"], other["agrees"]) == ("could not be asked", None)
    assert "web is not a namespace of this machine that can be entered" in other["words"]
    with stage.guests["web"].entered():  # as a container's process does
        inside = subprocess.Popen(("sleep", "600"))
    lab.keep(inside.wait)
    lab.keep(inside.kill)  # which comes first
    found = asked(stage, "web", "h")
    assert (found["result"], found["frames"]["response"], found["frames"]["agrees"]) == ("yes", "reply", True)
    refused = asked(stage, "web", "db", "tcp/5432")["frames"]
    assert (refused["response"], refused["agrees"]) == ("refused", True)
    stage.nft(DROP % "input")
    found = asked(stage, "web", "h")
    assert (found["result"], found["frames"]["result"], found["frames"]["agrees"]) == ("no", "no", True)


def test_what_a_file_wants_cannot_be_asked_with_frames(lab: Lab) -> None:
    done = lab.bascule(lab.namespace("h"), "why", "desk", "guest_02", "--site", "examples/production.yaml",
                       "--wanted", "--probe")  # fmt: skip
    assert done.returncode == 64
    assert "--probe asks this host as it is" in done.stderr
