"""The schema agrees with the checks, and the reference with the models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from bascule.cli import group
from bascule.site.reference import page
from bascule.site.schema import json_schema

ROOT = Path(__file__).parent.parent.parent
SHAPES = [
    "choice",
    "mac",
    "missing-key",
    "mtu",
    "port",
    "service",
    "size",
    "type",
    "unknown-key",
    "vlan-range",
    "range",
]


def as_an_editor_reads(node: Any, style: str | None = None) -> Any:
    """YAML 1.2's core types, which is what yaml-language-server sees."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: as_an_editor_reads(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [as_an_editor_reads(each) for each in node.value]
    text = node.value
    if node.style:
        return text
    if re.fullmatch(r"[-+]?[0-9]+", text):
        return int(text)
    return {"true": True, "false": False, "": None, "null": None, "~": None}.get(text, text)


def problems(path: Path) -> list[str]:
    tree = as_an_editor_reads(yaml.compose(path.read_bytes(), Loader=yaml.BaseLoader))
    return [error.message for error in Draft202012Validator(json_schema()).iter_errors(tree)]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("path", [*sorted(ROOT.glob("examples/*.yaml")), ROOT / "tests" / "site" / "full.yaml"])
def test_right_files_pass(path: Path) -> None:
    assert problems(path) == []


@pytest.mark.parametrize("name", SHAPES)
def test_an_editor_sees_wrong_shapes(name: str) -> None:
    assert problems(ROOT / "tests" / "errors" / f"{name}.yaml")


def test_every_key_is_described() -> None:
    schema = json_schema()
    for name, model in [("top", schema), *schema["$defs"].items()]:
        for key, each in model["properties"].items():
            assert each.get("description"), f"{name}.{key}"


def test_every_key_says_its_form_in_our_words() -> None:
    """One of a bare type would be told by pydantic, which knows neither our words nor what to write instead."""
    assert [line for line in page().splitlines() if re.match(r"\| `[^|]*` \|\s*\|", line)] == []


def test_bascule_schema_prints_it() -> None:
    result = CliRunner().invoke(group, ["schema"], standalone_mode=False)
    assert json.loads(result.stdout) == json_schema()
    told = CliRunner().invoke(group, ["schema", "--json"], standalone_mode=False)
    assert json.loads(told.stdout) == {"schema": "bascule/schema/1", "ok": True, **json_schema()}


def test_the_reference_page_is_fresh() -> None:
    stored = (ROOT / "docs" / "reference" / "site-file.md").read_text(encoding="utf-8")
    assert stored == page(), "run: python -m bascule.site.reference > docs/reference/site-file.md"
