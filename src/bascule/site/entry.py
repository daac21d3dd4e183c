"""What the models of a site file's entries share: their base, and how one value, a list and a table are read."""

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from bascule.site import scalars as s
from bascule.site.findings import shown


class OneOrMany:
    """A single value or a list of them; read as a tuple."""

    @staticmethod
    def __get_pydantic_json_schema__(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        each = handler(schema)["items"]
        return {"anyOf": [each, {"type": "array", "items": each, "minItems": 1}]}


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        if not value:
            raise s.fault("TYPE", "the list is empty", "give a value, or leave the key out")
        return tuple(value)
    return (value,)


def as_list(value: object) -> object:
    """A list of entries as a tuple; nothing is an empty one. Raises a fault of code TYPE for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        what = "a mapping" if isinstance(value, dict) else shown(value)
        hint = f"write [{value}]" if isinstance(value, str) else "put it in [ ], or behind '- '"
        raise s.fault("TYPE", f"{what} is given where a list was expected", hint)
    return tuple(value)


def _as_section(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else shown(value)
        raise s.fault("TYPE", f"{what} is given where a mapping was expected", "write each entry as 'NAME: {…}'")
    return value


T = TypeVar("T")
Many = Annotated[tuple[T, ...], BeforeValidator(_as_tuple), OneOrMany]
Listed = Annotated[tuple[T, ...], BeforeValidator(as_list)]
Named = Annotated[dict[s.Label, T], BeforeValidator(_as_section)]
NamedLink = Annotated[dict[s.LinkName, T], BeforeValidator(_as_section)]


class Shorthand:
    """The value of one key stands for an entry with nothing else; ``examples`` are such values."""

    def __init__(self, *examples: str) -> None:
        self.examples = list(examples)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "examples": self.examples}, handler(schema)]}


class Entry(BaseModel):
    """What all entries share; ``alone`` is the key whose value may stand for one, where there is such a key."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    alone: ClassVar[str] = ""

    def __init_subclass__(cls, *, alone: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.alone = alone or cls.alone

    @model_validator(mode="before")
    @classmethod
    def _mapping(cls, value: object) -> object:
        if value is None:
            return {}
        if cls.alone and isinstance(value, str):
            return {cls.alone: value}
        if not isinstance(value, dict):
            what = "a list" if isinstance(value, list) else shown(value)
            keys = ", ".join(field.alias or name for name, field in cls.model_fields.items())
            raise s.fault("TYPE", f"{what} is given where the keys of {cls.noun()} were expected", f"its keys: {keys}")
        return value

    @classmethod
    def needs(cls, name: str) -> bool:
        """Whether it must have a key; one that only a check misses is among those that its schema requires."""
        extra: Any = cls.model_config.get("json_schema_extra") or {}
        return cls.model_fields[name].is_required() or name in extra.get("required", ())

    @classmethod
    def noun(cls) -> str:
        """The entry's name in a sentence."""
        return str(cls.model_config.get("title"))
