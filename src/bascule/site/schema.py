"""The JSON schema of the site file, for editors (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from bascule.site.document import Document

SCHEMA_ID = "urn:bascule:site:1"


def json_schema() -> dict[str, Any]:
    """The schema as one document; titles and descriptions are those of the models."""
    schema = Document.model_json_schema(by_alias=True)
    tidy = _tidy(schema)
    tidy.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Bascule site file",
        **tidy,
    }


def _tidy(node: Any) -> Any:
    """Without what only repeats the key (pydantic's titles) or says that an absent key is absent (null)."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    result = {key: _tidy(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict):
        for name, each in node["properties"].items():
            result["properties"][name] = _property(_tidy(each))
        if not node.get("required") and node.get("type") == "object":
            result["type"] = ["object", "null"]  # 'eth5:' with nothing behind it is an entry without keys
    return result


def _property(node: dict[str, Any]) -> dict[str, Any]:
    node = {key: value for key, value in node.items() if key != "title" and not (key == "default" and not value)}
    choices = node.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [each for each in choices if each != {"type": "null"}]
        if len(rest) == 1:
            node = {**{key: value for key, value in node.items() if key != "anyOf"}, **rest[0]}
        else:
            node["anyOf"] = rest
    if node.get("type") == "object" and "additionalProperties" in node:
        node["type"] = ["object", "null"]
    return node
