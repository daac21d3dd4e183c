"""The JSON schema of the site file, for editors (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from bascule.site.document import Document
from bascule.site.entry import Entry, Key, OneOrMany, Shorthand, inner_entries
from bascule.site.scalars import Scalar

SCHEMA_ID = "urn:bascule:site:1"

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema as one document; titles and descriptions are those of the models."""
    top = _entry(Document)
    top.pop("title")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Bascule site file",
        "$defs": {model.__name__: _entry(model) for model in sorted(_below(Document), key=lambda one: one.__name__)},
        **top,
    }


def _below(model: type[Entry]) -> set[type[Entry]]:
    """The models inside of a model."""
    inside = {one for key in model.keys().values() for one in inner_entries(key.annotation)}
    return inside.union(*map(_below, inside))


def _entry(model: type[Entry]) -> Schema:
    keys = model.keys().values()
    required = [key.word for key in keys if key.is_required or key.expected]
    return {
        "title": model.noun(),
        "description": model.__doc__,
        "type": "object" if required else ["object", "null"],  # 'eth5:' with nothing behind it is one without keys
        "properties": {key.word: _property(key) for key in keys},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _property(key: Key) -> Schema:
    """What a key takes; a default that is nothing is not said."""
    plain = _schema(key.annotation)
    if not key.is_required and (default := key.default if key.default is not None else plain.get("default")):
        plain["default"] = default
    elif not plain.get("default", True):
        del plain["default"]
    return {"description": key.description, **plain}


def _schema(annotation: Any) -> Schema:
    kind, inside = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return _annotated(inside[0], annotation.__metadata__)
    if kind in (Union, UnionType):
        return _schema(next(each for each in inside if each is not NoneType))
    if kind is tuple:
        return {"type": "array", "items": _schema(inside[0])}
    if kind is dict:
        return _table(_schema(inside[0]), _schema(inside[1]))
    return {"$ref": f"#/$defs/{annotation.__name__}"}


def _annotated(annotation: Any, about: Iterable[object]) -> Schema:
    word = next((one for one in about if isinstance(one, Scalar)), None)
    found = _schema(annotation) if word is None else dict(word.schema)
    for one in about:
        found = one.in_schema(found) if isinstance(one, OneOrMany | Shorthand) else found
    return found


def _table(name: Schema, each: Schema) -> Schema:
    """Entries by their names."""
    rest = {word: told for word, told in name.items() if word not in {"pattern", "type"}}
    return {
        "type": "object",
        "patternProperties": {name["pattern"]: each},
        **({"propertyNames": rest} if rest else {}),
    }
