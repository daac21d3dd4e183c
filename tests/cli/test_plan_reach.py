"""``plan`` says as pairs what a change opens and closes, and frames say the same once it is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_why import DOCKER, SITE, Stage
from tests.lab import Lab

EXPECTS = "expect:\n  - {from: web, to: db, verdict: reach}\n"


def mind(stage: Stage) -> list[str]:
    done = stage.lab.bascule(stage.host, "plan", str(stage.site), "--here", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    return [text for one in found["mind"] if (text := str(one)) and ("closes" in text or "opens" in text)]


@pytest.mark.kernel
def test_plan_says_what_a_change_opens_and_closes_as_pairs(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    apart = SITE.replace("tap: db.0", "tap: db.0, isolated: true").replace("tap: log.0", "tap: log.0, isolated: true")
    stage.site.write_text(apart + EXPECTS)
    assert stage.connects("db", "log", 5432)
    (said,) = mind(stage)
    assert "closes 2 pairs: db → log by icmp; log → db by icmp" in said
    assert "isolated ports" in said
    done = lab.bascule(stage.host, "apply", str(stage.site), "--here", "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert "closes 2 pairs: db → log by icmp; log → db by icmp" in " ".join((done.stdout + done.stderr).split())
    assert not stage.connects("db", "log", 5432, seconds=1)  # those pairs, and no other
    assert stage.connects("web", "log", 5432)
    assert stage.connects("web", "db", 5432)
    stage.site.write_text(apart.replace("isolated: true", "isolated: false") + EXPECTS)
    (said,) = mind(stage)
    assert "opens 2 pairs: db → log by icmp; log → db by icmp" in said
    stage.do(*DOCKER)  # which keeps them apart whatever the ports do
    assert mind(stage) == []


def drawn(stage: Stage, way: str, *words: str) -> str:
    done = stage.lab.bascule(stage.host, "draw", str(stage.site), "--highlight", way, *words)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.kernel
def test_a_highlighted_way_ends_at_a_rule_of_the_host_and_at_an_isolated_port(lab: Lab, tmp_path: Path) -> None:
    stage = Stage(lab, tmp_path)
    assert "web reaches db" in drawn(stage, "web:db", "--live")
    stage.do(*DOCKER)
    assert "web does not reach db: policy DROP of ip filter FORWARD" in drawn(stage, "web:db", "--live")
    assert "web reaches db" in drawn(stage, "web:db")  # the file alone knows nothing of Docker
    apart = SITE.replace("tap: db.0", "tap: db.0, isolated: true").replace("tap: web.0", "tap: web.0, isolated: true")
    stage.site.write_text(apart)
    stopped = drawn(stage, "web:db")
    assert "web does not reach db: web.0 and db.0 are isolated ports" in stopped
    assert "web to db: web → web.0 → br0 web does" in stopped, "what is drawn of the way ends where the frame does"
    assert "web reaches log" in drawn(stage, "web:log")
