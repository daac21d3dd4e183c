"""The way of a frame through the graph, element by element. Pure."""

from __future__ import annotations

from msgspec import Struct

Element = tuple[str, ...]
"""("guest" | "machine" | "network", name), ("host" | "link", host, link), ("virtual", host, network).

("exit", host, network, "masquerade" | "routing") is the step between a virtual network and the host's other links.
"""


class Trace(Struct, frozen=True, kw_only=True):
    """The way of a frame, element by element, and where it ends. ``reached`` is None where nothing proves either."""

    elements: tuple[Element, ...]
    reached: bool | None
    end: str


def label(element: Element) -> str:
    """An element by its name."""
    return element[1] if element[0] == "host" else element[-1]
