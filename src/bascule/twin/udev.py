"""What udev does on a real host when a guest's tap appears: a twin has no udev."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.host.live import LiveHost
from bascule.model.site import Site
from bascule.providers.static_fdb.state import declared_entries, script


def enter_static_macs(site: Site, hosts: Mapping[str, LiveHost]) -> None:
    """Run what the rules of `fdb: static` run, with the taps that are there now. Raises CommandFailed."""
    for name, where in hosts.items():
        for tap, macs in declared_entries(site, site.hosts[name]).items():
            where.run(("sh", "-c", script(tap, macs)))
