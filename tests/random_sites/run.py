"""One random site from its file to the frames: what the model says of pairs becomes its expectations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml
from click.testing import CliRunner

from bascule.cli import group
from tests.random_sites.generate import Entry, random_site

MOST_EXPECTED = 12  # of one host's pairs
SERVICES = "icmp,tcp/80,udp/53,tcp/22"


def faults(seed: int, folder: Path) -> Iterator[str]:
    """What was said falsely of a site: by check of what reach says, by the model of what frames do, by a check."""
    site, file = random_site(seed), folder / f"{seed}.yaml"
    _write(file, site)
    status, said = _run("check", file)
    if status:
        yield f"check: {_errors(said)}"
        return
    site["expect"] = list(_expectations(site, file, Random(seed)))
    _write(file, site)
    status, said = _run("check", file)
    if status:
        yield f"check does not hold what reach says: {_errors(said)}"
        return
    status, said = _run("rehearse", file)
    for one in said.get("checks", ()):
        if one["ok"] is False:
            yield f"check {one['id']} of {one['subject']}: {one['detail']}"
    for one in said.get("expectations", ()):
        if one["ok"] is False or not one["model"]["agrees"]:
            words = f"{one['from']} → {one['to']} {one['service']}: reach said {one['verdict']}, in the twin the model "
            yield f"{words}{one['model']['result']} and frames {one['observed']} ({one['witness']['sentence']})"
    if not said.get("ok") and "checks" not in said:
        yield f"rehearse ends with {status}: {_errors(said)}"


def _write(file: Path, site: Entry) -> None:
    file.write_text(yaml.safe_dump(site, sort_keys=False))


def _errors(said: dict[str, Any]) -> str:
    return "; ".join(f"{one['code']}: {one['message']}" for one in said.get("problems", ()))


def _run(verb: str, file: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(group, [verb, str(file), *words, "--json"], standalone_mode=False, catch_exceptions=False)
    return int(done.return_value), json.loads(done.stdout)


def _expectations(site: Entry, file: Path, random: Random) -> Iterator[Entry]:
    """Some pairs of each host of which the model is sure."""
    known = {**site.get("guests", {}), **site.get("machines", {}), **site["hosts"]}
    asked: set[tuple[str, str, str]] = set()
    for host in site["hosts"]:
        _, said = _run("reach", file, "--wanted", "--host", host, "--services", SERVICES)
        sure = [
            one
            for one in said["pairs"]
            if one["result"] in {"yes", "no"}
            and {one["from"], one["to"]} <= known.keys()
            and (one["service"] == "icmp" or one["service"] in known[one["to"]].get("serves", ()))
        ]
        for one in random.sample(sure, min(MOST_EXPECTED, len(sure))):
            pair = one["from"], one["to"], one["service"]
            if pair not in asked:
                asked.add(pair)
                verdict = "reach" if one["result"] == "yes" else "no-reach"
                yield {"from": pair[0], "to": pair[1], "service": pair[2], "verdict": verdict}
