"""What confirmed changes of Bascule put on a host before: what goes again when the site file says it no more. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from bascule.model.values import Mac


class EarlierChanges(Struct, frozen=True, kw_only=True):
    """``added`` are addresses, by link; ``isolated`` the ports of guests that got the flag of that name.

    ``macs`` are those that bridges were made with.
    """

    added: Mapping[str, frozenset[str]] = MappingProxyType({})
    isolated: frozenset[str] = frozenset()
    macs: Mapping[str, Mac] = MappingProxyType({})


NOTHING = EarlierChanges()
