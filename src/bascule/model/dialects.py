"""The dialects of configuration files: the one list, into which a new one is entered.

Each is a folder ``persist/NAME/`` (see :mod:`bascule.persist.dialect`). The list of their names stands here, because
the schema of the site file has them, too.
"""

from __future__ import annotations

from msgspec import Struct


class Registered(Struct, frozen=True, kw_only=True):
    """A dialect by its name. ``reads``: import takes its files; ``writes``: render makes them. What does both keeps."""

    name: str
    reads: bool = True
    writes: bool = True


DIALECTS: tuple[Registered, ...] = (
    Registered(name="ifcfg"),
    Registered(name="keyfile"),
    Registered(name="networkd"),
    Registered(name="netplan"),
    Registered(name="ifupdown"),
    Registered(name="wicked", writes=False),
    Registered(name="commands", reads=False),
)


def readable() -> tuple[str, ...]:
    """The dialects that a site file can be imported from."""
    return tuple(each.name for each in DIALECTS if each.reads)


def writable() -> tuple[str, ...]:
    """The dialects that a host's network can be rendered in."""
    return tuple(each.name for each in DIALECTS if each.writes)


def persistent() -> tuple[str, ...]:
    """The dialects in whose files a host's network can be kept: read and written."""
    return tuple(each.name for each in DIALECTS if each.reads and each.writes)
