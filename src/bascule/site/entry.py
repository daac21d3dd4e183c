"""What the models of a site file's entries share: their keys, and how one value, a list and a table are read.

A model says once what the file may say, for the reader, the messages, the JSON schema and the reference alike. Its
annotations are looked at when the first entry of its kind is read: most files have few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from bascule.site import scalars as s
from bascule.site.findings import shown

REQUIRED: Any = object()  # in place of a default

Reader = Callable[[Any], Any]
"""From a part of the tree to its value. Raises Fault or Faults."""


class Key(Struct, frozen=True, kw_only=True):
    """One key of an entry: as the file calls it, what it may be, what it is without it, and what it means.

    ``expected``: a new file should have it, although it can be read without.
    """

    word: str
    default: Any
    description: str
    annotation: Any
    expected: bool = False

    @property
    def is_required(self) -> bool:
        """Whether an entry without it makes no sense."""
        return self.default is REQUIRED


class Declared(Struct, frozen=True, kw_only=True):
    """A key where its model declares it."""

    default: Any
    description: str
    alias: str
    expected: bool


def key(default: Any = REQUIRED, *, description: str, alias: str = "", expected: bool = False) -> Any:
    """A key of a model; ``alias`` is its word where Python keeps that for itself."""
    return Declared(default=default, description=description, alias=alias, expected=expected)


class Before(Struct, frozen=True):
    """What is done with a part of the tree before it is read as what the annotation says."""

    convert: Callable[[object], object]


class OneOrMany:
    """A single value or a list of them; read as a tuple."""

    @staticmethod
    def in_schema(plain: dict[str, Any]) -> dict[str, Any]:
        """How an editor is told of it."""
        each = plain["items"]
        return {"anyOf": [each, {"type": "array", "items": each, "minItems": 1}]}


class Shorthand:
    """Words that stand for an entry, or for a list of them, beside the long form."""

    def __init__(self, *examples: str, only: bool = False) -> None:
        """``examples`` are such words, or with ``only`` all that there are."""
        self.words = {"enum" if only else "examples": [*examples]}

    def in_schema(self, plain: dict[str, Any]) -> dict[str, Any]:
        """How an editor is told of it."""
        return {"anyOf": [{"type": "string", **self.words}, plain]}


def _as_tuple(value: object) -> object:
    if isinstance(value, list):
        if not value:
            raise s.Fault("TYPE", "the list is empty", "give a value, or leave the key out")
        return tuple(value)
    return (value,)


def as_list(value: object) -> object:
    """A list of entries as a tuple; nothing is an empty one. Raises a fault of code TYPE for anything else."""
    if value is None:
        return ()
    if not isinstance(value, list):
        what = "a mapping" if isinstance(value, dict) else shown(value)
        hint = f"write [{value}]" if isinstance(value, str) else "put it in [ ], or behind '- '"
        raise s.Fault("TYPE", f"{what} is given where a list was expected", hint)
    return tuple(value)


def _as_section(value: object) -> object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else shown(value)
        raise s.Fault("TYPE", f"{what} is given where a mapping was expected", "write each entry as 'NAME: {…}'")
    return value


T = TypeVar("T")
Many = Annotated[tuple[T, ...], Before(_as_tuple), OneOrMany()]
Listed = Annotated[tuple[T, ...], Before(as_list)]
Named = Annotated[dict[s.Label, T], Before(_as_section)]
NamedLink = Annotated[dict[s.LinkName, T], Before(_as_section)]


class Entry:
    """What all entries share; ``alone`` is the key whose value may stand for one, where there is such a key.

    Keys that the file leaves out are those of the class: their defaults.
    """

    alone: ClassVar[str] = ""
    _noun: ClassVar[str] = ""
    declared: ClassVar[Mapping[str, Declared]] = {}

    def __init_subclass__(cls, *, noun: str = "", alone: str = "") -> None:
        super().__init_subclass__()
        cls._noun = noun
        cls.alone = alone or cls.alone
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Declared)}
        cls.declared = {**cls.declared, **own}
        for name, declared in own.items():
            if declared.default is REQUIRED:
                delattr(cls, name)
            else:
                setattr(cls, name, declared.default)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} is what the file says")

    @classmethod
    def noun(cls) -> str:
        """The entry's name in a sentence."""
        return cls._noun

    @classmethod
    def keys(cls) -> Mapping[str, Key]:
        """Its keys by their attributes, those that it shares with others first."""
        model: Any = cls  # hashable, whatever its type says
        return _keys(model)

    @classmethod
    def mapping(cls, value: object) -> dict[str, Any]:
        """A part of the tree as the keys of an entry. Raises Fault where it is none."""
        if value is None:
            return {}
        if cls.alone and isinstance(value, str):
            return {cls.alone: value}
        if not isinstance(value, dict):
            what = "a list" if isinstance(value, list) else shown(value)
            keys = ", ".join(key.word for key in cls.keys().values())
            raise s.Fault("TYPE", f"{what} is given where the keys of {cls.noun()} were expected", f"its keys: {keys}")
        return value

    @classmethod
    def read(cls, value: object) -> Self:
        """From a part of the tree. Raises Fault or Faults, with their paths in it."""
        model: Any = cls
        readers, required = _readers(model)
        said, faults = cls.mapping(value), list[s.Fault]()
        entry = cls()
        for word, each in said.items():
            if word not in readers:
                faults.append(s.Fault("UNKNOWN-KEY", path=(word,)))
                continue
            name, read = readers[word]
            try:
                vars(entry)[name] = read(each)
            except s.FAULTS as wrong:
                faults += wrong.inside(word)
        faults += (s.Fault("MISSING-KEY", path=(word,)) for word in required if word not in said)
        if faults:
            raise s.Faults(faults)
        return entry


@cache
def _keys(model: type[Entry]) -> Mapping[str, Key]:
    hints = get_type_hints(model, include_extras=True)
    return {
        name: Key(
            word=told.alias or name,
            default=told.default,
            description=told.description,
            annotation=hints[name],
            expected=told.expected,
        )
        for name, told in model.declared.items()
    }


@cache
def _readers(model: type[Entry]) -> tuple[Mapping[str, tuple[str, Reader]], tuple[str, ...]]:
    """Attribute and reader of each of its keys, and those that it needs, by the words of the file."""
    keys = model.keys().items()
    return (
        {key.word: (name, _reader(key.annotation)) for name, key in keys},
        tuple(key.word for _, key in keys if key.is_required),
    )


def _reader(annotation: Any) -> Reader:
    """What reads a part of the tree as an annotation says."""
    kind, inside = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        about = annotation.__metadata__
        word = next((one for one in about if isinstance(one, s.Scalar)), None)
        read: Reader = _reader(inside[0]) if word is None else word.read
        for one in about:
            read = _after(one.convert, read) if isinstance(one, Before) else read
        return read
    if kind in (Union, UnionType):  # a key with nothing behind it is as one that is left out
        return _or_nothing(_reader(next(each for each in inside if each is not type(None))))
    if kind is tuple:
        return _each(_reader(inside[0]))
    if kind is dict:
        return _by_name(_reader(inside[0]), _reader(inside[1]))
    if not issubclass(annotation, Entry):
        raise TypeError(f"{annotation} says nothing of how the file writes it")
    entry: Reader = annotation.read
    return entry


def _after(convert: Callable[[object], object], read: Reader) -> Reader:
    return lambda value: read(convert(value))


def _or_nothing(read: Reader) -> Reader:
    return lambda value: None if value is None else read(value)


def _each(read: Reader) -> Reader:
    def every(values: tuple[Any, ...]) -> tuple[Any, ...]:
        found, faults = [], list[s.Fault]()
        for index, value in enumerate(values):
            try:
                found.append(read(value))
            except s.FAULTS as wrong:
                faults += wrong.inside(index)
        if faults:
            raise s.Faults(faults)
        return tuple(found)

    return every


def _by_name(read_name: Reader, read: Reader) -> Reader:
    def table(values: dict[str, Any]) -> dict[str, Any]:
        found, faults = {}, list[s.Fault]()
        for said, value in values.items():
            name = said
            try:
                name = read_name(said)
            except s.FAULTS as wrong:
                faults += (one.at_key() for one in wrong.inside(said))
            try:
                found[name] = read(value)
            except s.FAULTS as wrong:
                faults += wrong.inside(said)
        if faults:
            raise s.Faults(faults)
        return found

    return table


def inner_entries(annotation: Any) -> Iterator[type[Entry]]:
    """The models inside of an annotation, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, Entry):
        yield annotation
    for part in get_args(annotation):
        yield from inner_entries(part)
