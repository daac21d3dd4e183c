"""What the guards have stopped, as nft counts it."""

from __future__ import annotations

from bascule.policy.guards.counters import StoppedFrames, read_counters
from bascule.policy.guards.table import KEY
from bascule.system.net.netns import Namespace
from bascule.system.run import run


def stopped_frames(namespace: Namespace | None = None) -> tuple[StoppedFrames, ...]:
    """By port and reason. Raises NotPermitted, MissingTool, CommandFailed where there is no such table."""
    return read_counters(run(("nft", "-j", "list", "table", *KEY.split()), namespace=namespace).stdout)
