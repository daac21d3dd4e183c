"""Bridges of Open vSwitch in a host's configuration: its own data base keeps them, files say what goes beside. Pure."""

from __future__ import annotations

from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.gaps import Gaps


def is_switch(link: LinkConfig | None) -> bool:
    """Whether Open vSwitch makes a link."""
    return link is not None and not link.options.by_kernel


def refuse(config: NetworkConfig, dialect: str) -> None:
    """Raise Inexpressible for every bridge of Open vSwitch, where a dialect has no words for what goes beside it."""
    gaps = Gaps(dialect)
    for link in config.links.values():
        if is_switch(link):
            gaps.add(link.name, "kind", "openvswitch")
    gaps.check()
