"""What a frozen value's class says of its fields."""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec import NODEFAULT, Struct


@cache
def defaults_of(kind: type[Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a class with their defaults; NODEFAULT, which equals nothing, where there is none."""
    names, defaults = kind.__struct_fields__, kind.__struct_defaults__
    missing = (NODEFAULT,) * (len(names) - len(defaults))
    return tuple(zip(names, (*missing, *defaults), strict=True))
