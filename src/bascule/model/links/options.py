"""What the kinds of links share: options that are read from the kernel's JSON and written as ``ip link`` arguments.

A kind is one small file with one frozen dataclass. Its fields carry the names that iproute2 uses in ``info_data``;
``option()`` says where the argument's name differs, and whether the kernel lets the option change after creation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from functools import cache, lru_cache
from typing import Any, ClassVar, Self

from bascule.records import dataclass

ON_OFF = {True: "on", False: "off"}


def option(default: Any, *, arg: str | None = None, fixed: bool = False, flag: bool = False) -> Any:
    """A field: its default is the kernel's; ``fixed`` ones are set at creation only; ``flag`` ones are on/off."""
    return field(default=default, metadata={"arg": arg, "fixed": fixed, "flag": flag})


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """The options of one kind of link (``ip link … type KIND``)."""

    kind: ClassVar[str] = ""
    virtual: ClassVar[bool] = True  # can be made with `ip link add`; False for what is plugged or owned by a process

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """From iproute2's ``info_data``; a missing key means the kernel's default."""
        kind: Any = cls  # hashable, whatever its type says
        values = tuple(
            default if (value := info.get(name)) is None else _normal(value, default)
            for name, default in _defaults(kind)
        )
        same: Self = _same(kind, values)
        return same

    def arguments(self, before: Self | None = None) -> tuple[str, ...]:
        """The arguments behind ``type KIND``: all that differ from ``before``, or from the kernel's defaults."""
        words: list[str] = []
        if before is not None and self == before:
            return ()
        kind: Any = type(self)
        for name, default, arg, flag in _arguments(kind):
            value = getattr(self, name)
            if value is None or value == (default if before is None else getattr(before, name)):
                continue  # None: whatever the kernel chooses
            words += [arg, ON_OFF[bool(value)] if flag else str(value)]
        return tuple(words)

    def must_be_remade(self, before: Self) -> bool:
        """Whether an option differs that the kernel takes at creation only."""
        return any(f.metadata.get("fixed") and getattr(self, f.name) != getattr(before, f.name) for f in fields(self))

    def as_json(self) -> dict[str, Any]:
        """All options that differ from the kernel's defaults."""
        kind: Any = type(self)
        return {name: value for name, default in _defaults(kind) if (value := getattr(self, name)) != default}


@cache
def _defaults(cls: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default) for f in fields(cls))


@cache
def _arguments(cls: Any) -> tuple[tuple[str, Any, str, bool], ...]:
    return tuple(
        (f.name, f.default, f.metadata.get("arg") or f.name, bool(f.metadata.get("flag"))) for f in fields(cls)
    )


@lru_cache(maxsize=4096)
def _same(cls: Any, values: tuple[Any, ...]) -> Any:
    """One object for all links that are set alike: a host's hundreds of ports mostly are."""
    return cls(**{name: value for (name, _), value in zip(_defaults(cls), values, strict=True)})


def _normal(value: Any, default: Any) -> Any:
    """iproute2 prints some flags as booleans and others as 0 and 1; the type of the default decides."""
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, int):
        return int(value, 0) if isinstance(value, str) else int(value)
    return value
