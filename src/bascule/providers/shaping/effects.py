"""Limits are read and set by tc."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from bascule.providers.effects import ObserveScope, PlainEffects, text_of_file
from bascule.providers.shaping.state import PREFIX, UDEV_FILE, Shaping, read_limits
from bascule.system.run import rows

LINKS = "/proc/sys/net/ipv4/conf"  # has a folder of each, and to list these takes a tenth of a dump of the links
LISTINGS = (("tc", "-j", "qdisc", "show"), ("tc", "-j", "actions", "list", "action", "mirred"))


class ShapingEffects(PlainEffects):
    """A host on which no limit is declared and none stands is asked without a program."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> Shaping | None:  # no texts
        """The limits that stand; None where nobody asks for limits and none was ever made."""
        with scope.where.entered():
            names = os.listdir(LINKS)  # noqa: PTH208  # names are all that is needed
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
        queues, actions = (rows(words, namespace=scope.where.namespace) for words in LISTINGS)
        return Shaping(limits=read_limits(queues, actions, names), udev=udev)
