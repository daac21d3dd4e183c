"""Crafted captures and the document that is right for each: ``corpus/*.yaml``, one case a file.

A case has ``about`` (why it is there), ``nics`` (recipes of frames) or ``captures`` (files), perhaps ``site``, and
``expect``: the parts of the document of ``survey --json`` that it is about; or ``refused``. In a list, ``contains`` and
``lacks`` look for parts of the words. ``truth`` names the network that is on a wire where the document does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from bascule.cli.show.survey import show_survey, survey_as_json
from bascule.errors import UsageFault
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.run import survey_captures
from bascule.survey.verdicts import Survey, judge
from tests.survey.hearing import SITE, site
from tests.survey.recipes import build, capture

FOLDER = Path(__file__).parent / "corpus"
CASES = {path.stem: yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in sorted(FOLDER.glob("*.yaml"))}


def heard(nic: str, frames: Sequence[bytes]) -> NicTraffic:
    collector = Collector(nic)
    for frame in frames:
        collector.add(frame)
    return collector.finish(seconds=30, carrier=True)


def surveyed(case: Mapping[str, Any], *, declared: bool = True) -> Survey:
    about = site(case.get("site", SITE)) if declared else (None, None)
    if "captures" in case:
        files = {nic: [(f"{nic}.pcap", capture(**given))] for nic, given in case["captures"].items()}
        return survey_captures(files, site=about[0], host=about[1]).survey
    ears = {nic: heard(nic, list(build(recipes))) for nic, recipes in case["nics"].items()}
    return judge(ears, *about)


def differences(expected: Any, found: Any, where: str = "") -> list[str]:
    """Where a part of a document is not as expected."""
    if isinstance(expected, dict) and expected.keys() & {"contains", "lacks"}:
        text = json.dumps(found, ensure_ascii=False)
        missing = [f"{where} lacks {words!r}: {text}" for words in expected.get("contains", ()) if words not in text]
        return missing + [f"{where} has {words!r}: {text}" for words in expected.get("lacks", ()) if words in text]
    if isinstance(expected, dict) and isinstance(found, dict):
        return [line for key in expected for line in differences(expected[key], found.get(key), f"{where}/{key}")]
    return [] if expected == found else [f"{where} is {found!r}, not {expected!r}"]


@pytest.mark.parametrize("name", CASES)
def test_the_wire_is_named_right_or_not_at_all(name: str) -> None:
    case = CASES[name]
    if "refused" in case:
        with pytest.raises(UsageFault) as refused:
            surveyed(case)
        assert differences(case["refused"], str(refused.value)) == []
        return
    survey = surveyed(case, declared="site" not in case or bool(case["site"]))
    assert differences(case["expect"], survey_as_json(survey, host="h")) == []
    assert show_survey(survey, columns=100, host="h")
