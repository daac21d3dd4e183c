"""MACs of guests that somebody has bound to a port of a bridge that is not theirs (bridge(8), fdb add)."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bascule.model.site import GuestNic
from bascule.observe.bridge_tables import read_fdb
from bascule.system.net.netns import Namespace
from bascule.verify.checks import Check


def bound_elsewhere(nics: Collection[GuestNic], namespace: Namespace) -> Iterator[Check]:
    """Of guests that are off: when they start, nothing comes to them. Of one that runs the table shows it anyway."""
    by_mac = {nic.mac: nic for nic in nics if nic.master is not None}
    for entry in read_fdb(namespace) if by_mac else ():
        nic = by_mac.get(entry.mac)
        if nic is not None and entry.static and entry.bridge == nic.master and entry.port != nic.tap:
            place = f"{entry.port} of {entry.bridge}"
            detail = (
                f"somebody has bound {entry.mac} to {place} (a static entry): when it runs, what "
                f"is sent to it goes there, not to {nic.tap} (bridge fdb del {entry.mac} dev {entry.port} master)"
            )
            yield Check(id="mac-on-own-port", subject=nic.guest, ok=False, detail=detail)
