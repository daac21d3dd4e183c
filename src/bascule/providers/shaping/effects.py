"""Limits are read and set by tc."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence

from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.effects import ObserveScope, text_of_file
from bascule.providers.shaping.state import PREFIX, UDEV_FILE, Shaping, read_limits


class ShapingEffects:
    """A host on which no limit is declared and none stands is asked without a program."""

    def programs(self) -> tuple[tuple[str, ...], ...]:
        """None: tc is asked where there is something to be told."""
        return ()

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Shaping | None:  # no texts
        """The limits that stand; None where nobody asks for limits and none was ever made."""
        with scope.where.entered():
            names = [name for _, name in socket.if_nameindex()]
        declared = (
            scope.site is not None
            and scope.host is not None
            and any(nic.bandwidth and nic.by_kernel for nic in scope.site.guest_nics(scope.host.name))
        )
        stands = any(name.startswith(PREFIX) for name in names)
        udev = text_of_file(UDEV_FILE) if scope.state is not None else None
        if not (declared or stands or udev or "shaping" in scope.known):
            return None
        if not stands:
            return Shaping(udev=udev)
        listing = scope.where.run(("tc", "-j", "qdisc", "show")).stdout
        return Shaping(limits=read_limits(json.loads(listing or "[]"), names), udev=udev)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Call by call. Raises CommandFailed with tc's own words."""
        for command in batch.commands:
            where.run((command.tool, *command.words), keep=keep)
        return ()
