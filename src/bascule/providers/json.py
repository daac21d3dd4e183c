"""A whole host state as JSON and back: the kernel's and nft's document, and the parts of the other providers in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from bascule.model.state import HostState
from bascule.model.state_json import Json
from bascule.model.state_json import from_json as flat_from_json
from bascule.model.state_json import to_json as flat_to_json
from bascule.providers.registry import PROVIDERS


def to_json(state: HostState) -> Json:
    """The state as plain dicts, lists, strings and numbers; ``parts`` is there only where a part is."""
    parts = {one.name: one.to_json(state.parts[one.name]) for one in PROVIDERS if one.name in state.parts}
    return flat_to_json(state) | ({"parts": parts} if parts else {})


def from_json(data: Any) -> HostState:
    """The state from a dump; parts of providers that this version does not know are left out.

    Raises ValueError when the document is not one.
    """
    state = flat_from_json(data)
    found = data.get("parts", {})
    if not isinstance(found, Mapping):
        raise ValueError("the dump of a host's state is damaged: its parts are no mapping")
    parts = {one.name: one.from_json(found[one.name]) for one in PROVIDERS if one.name in found}
    return replace(state, parts=parts) if parts else state
