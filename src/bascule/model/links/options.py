"""What the kinds of links share: options that are read from the kernel's JSON and written as ``ip link`` arguments.

A kind is one small file with one frozen class. Its fields carry the names that iproute2 uses in ``info_data`` and the
kernel's defaults; an option whose default is a boolean is written as ``on`` and ``off``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, ClassVar, Self

from msgspec import NODEFAULT, Struct

ON_OFF = {True: "on", False: "off"}


@cache
def defaults_of(kind: type[Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a class with their defaults; NODEFAULT, which equals nothing, where there is none."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    missing = (NODEFAULT,) * (len(names) - len(defaults))
    return tuple(zip(names, (*missing, *defaults), strict=True))


class LinkOptions(Struct, frozen=True, kw_only=True):
    """The options of one kind of link (``ip link … type KIND``).

    ``fixed`` are those that the kernel takes at creation only; ``argument_names`` are those whose argument has another
    name than iproute2's JSON gives it. ``momentary`` may be None when they were read: then nothing follows from them.
    """

    kind: ClassVar[str] = ""
    fixed: ClassVar[frozenset[str]] = frozenset()
    argument_names: ClassVar[Mapping[str, str]] = {}
    momentary: ClassVar[frozenset[str]] = frozenset()
    by_kernel: ClassVar[bool] = True  # `ip link` makes, alters and deletes it
    is_link: ClassVar[bool] = True  # the kernel shows it
    maker: ClassVar[str] = ""  # who makes it where the kernel does not, for people
    tool: ClassVar[str] = "ip"  # by which a hand sets what a site file has no word for
    noun: ClassVar[str] = ""  # what it is, for people
    virtual: ClassVar[bool] = True  # can be made with `ip link add`; False for what is plugged or owned by a process

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """From iproute2's ``info_data``; a missing key means the kernel's default."""
        raw = tuple(map(info.get, cls.__struct_fields__))
        try:
            same: Self = _same(cls, *raw)
        except TypeError:  # an option that is a list
            same = _made(cls, *raw)
        return same

    @classmethod
    def argument_fields(cls) -> Mapping[str, str]:
        """The field behind the name of each argument."""
        return {cls.argument_names.get(name, name): name for name in cls.__struct_fields__}

    def arguments(self, before: Self | None = None) -> tuple[str, ...]:
        """The arguments behind ``type KIND``: all that differ from ``before``, or from the kernel's defaults."""
        words: list[str] = []
        if before is not None and self == before:
            return ()
        kind: Any = type(self)
        for name, default in defaults_of(kind):
            value, reference = getattr(self, name), default if before is None else getattr(before, name)
            if value is None or value == reference or (reference is None and name in self.momentary):
                continue  # None: whatever the kernel chooses
            words += [self.argument_names.get(name, name), _word(value, default)]
        return tuple(words)

    def mark_lost(self, name: str, alias: str | None, mark: str) -> tuple[str, str]:
        """What its maker's mark has given way to, and the command by which a hand puts it back."""
        return f"alias is '{alias}'", f"ip link set {name} alias {mark}"

    def must_be_remade(self, before: Self) -> bool:
        """Whether an option differs that the kernel takes at creation only."""
        return any(getattr(self, name) != getattr(before, name) for name in self.fixed)

    def as_json(self) -> dict[str, Any]:
        """All options that differ from the kernel's defaults."""
        kind: Any = type(self)
        return {name: value for name, default in defaults_of(kind) if (value := getattr(self, name)) != default}


def _made(cls: Any, *raw: Any) -> Any:
    """A class's options from what iproute2 prints for its fields, in their order; None stands for the default."""
    told = zip(defaults_of(cls), raw, strict=True)
    return cls(**{name: _normal(value, default) for (name, default), value in told if value is not None})


# one object for all links that are set alike: a host's hundreds of ports mostly are
_same = lru_cache(maxsize=4096, typed=True)(_made)


def _word(value: Any, default: Any) -> str:
    """A value as an argument; a comma alone is a list of nothing (iplink_bond.c takes the words between commas)."""
    if isinstance(default, tuple):
        return ",".join(value) or ","
    return ON_OFF[bool(value)] if isinstance(default, bool) else str(value)


def _normal(value: Any, default: Any) -> Any:
    """iproute2 prints some flags as booleans and others as 0 and 1; the type of the default decides."""
    if isinstance(default, tuple):
        return tuple(value)
    if isinstance(default, bool):
        return bool(value)
    if isinstance(default, int):
        return int(value, 0) if isinstance(value, str) else int(value)
    return value
