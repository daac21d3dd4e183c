"""Static entries are read by bridge(8); the kernel's provider makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bascule.model.sightings import fdb_entries
from bascule.providers.effects import ObserveScope, PlainEffects, text_of_file
from bascule.providers.static_fdb.state import UDEV_FILE, StaticFdb, static_macs
from bascule.system.net.fdb import kernel_rows


class StaticFdbEffects(PlainEffects):
    """A host on which none is declared is asked without a program."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> StaticFdb | None:  # no texts
        """The entries that stand; None where nobody asks for any and none was ever made."""
        nics = scope.site.guest_nics(scope.host.name) if scope.site is not None and scope.host is not None else ()
        declared = any(nic.guarding.fdb for nic in nics)
        udev = text_of_file(UDEV_FILE) if scope.state is not None else None
        if not (declared or udev or "static_fdb" in scope.known):
            return None
        return StaticFdb(entries=static_macs(fdb_entries(kernel_rows(scope.where.namespace))), udev=udev)
