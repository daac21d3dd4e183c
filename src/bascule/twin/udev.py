"""What udev does on a real host when a guest's tap appears: a twin has no udev."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.host.live import LiveHost
from bascule.model.site import Site
from bascule.policy.guards.ports import guarded_ports
from bascule.providers.static_fdb.state import script


def enter_static_macs(site: Site, hosts: Mapping[str, LiveHost]) -> None:
    """Run what the rules of `fdb: static` run, with the taps that are there now. Raises CommandFailed."""
    for name, where in hosts.items():
        for port in guarded_ports(site, site.hosts[name]):
            if port.guarding.fdb == "static" and not port.by_flows:
                where.run(("sh", "-c", script(str(port.name), map(str, port.macs))))
