"""The kernel parameters of links that no configuration system has words for, as a file of sysctl.d(5).

systemd applies it to a link that appears later, too (99-systemd.rules runs systemd-sysctl for each new link).
"""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.site import Host, Site
from bascule.model.state import HostState

PATH = "etc/sysctl.d/60-bascule.conf"


def render(site: Site, host: Host, state: HostState | None = None) -> Mapping[str, str]:
    """The file by its path; nothing where the kernel's own values will do.

    ``state`` is what a plan leads to: it tells the NICs that take router advertisements on a host that routes.
    """
    guests = {nic.shared_nic for nic in site.guest_nics(host.name)}
    shared = [nic.name for nic in host.nics.values() if nic.name in guests and not nic.has_address]
    silent = [*(bridge.name for bridge in host.bridges.values() if not bridge.has_address), *shared]
    ports = [bridge.port for bridge in host.bridges.values() if bridge.port]
    ports += [nic for bond in host.bonds.values() for nic in bond.nics]
    lines = [f"net/ipv4/conf/{name}/arp_ignore = 1" for name in silent]
    lines += [f"net/ipv6/conf/{name}/accept_ra = 0" for name in dict.fromkeys([*silent, *ports])]
    there = state.sysctls if state is not None else {}
    lines += [f"{key} = 2" for nic in host.nics if there.get(key := f"net/ipv6/conf/{nic}/accept_ra") == "2"]
    return {PATH: "".join(f"{line}\n" for line in lines)} if lines else {}
