"""What the guards have stopped, as nft and whoever keeps switches count it."""

from __future__ import annotations

from bascule.errors import CommandFailed
from bascule.policy.guards.counters import StoppedFrames, read_counters
from bascule.policy.guards.table import KEY
from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.system.net.netns import Namespace
from bascule.system.run import run


def stopped_frames(namespace: Namespace | None = None) -> tuple[StoppedFrames, ...]:
    """By port and reason, the most frequent of a port first. Raises NotPermitted, MissingTool, CommandFailed."""
    found = [
        *_by_rules(namespace),
        *(one for provider in SWITCH_PROVIDERS for one in provider.effects().stopped(namespace)),
    ]
    return tuple(sorted(found, key=lambda one: (one.port, -one.frames)))


def passed_over() -> tuple[str, ...]:
    """What of others may let frames pass the guards of switches. Raises CommandFailed or NotPermitted."""
    parts = (part for provider in SWITCH_PROVIDERS if (part := provider.effects().look(None)) is not None)
    return tuple(f"{bridge}: {words}" for part in parts for bridge, words in part.passed_over())


def _by_rules(namespace: Namespace | None) -> tuple[StoppedFrames, ...]:
    """Nothing where there is no such table."""
    try:
        return read_counters(run(("nft", "-j", "list", "table", *KEY.split()), namespace=namespace).stdout)
    except CommandFailed:
        return ()
