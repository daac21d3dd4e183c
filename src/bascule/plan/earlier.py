"""What confirmed changes of Bascule put on a host before: what goes again when the site file says it no more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct


class EarlierChanges(Struct, frozen=True, kw_only=True):
    """``added`` are addresses, by link; ``isolated`` the ports of guests that got the flag of that name."""

    added: Mapping[str, frozenset[str]] = MappingProxyType({})
    isolated: frozenset[str] = frozenset()


NOTHING = EarlierChanges()
