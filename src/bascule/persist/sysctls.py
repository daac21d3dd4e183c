"""The kernel parameters of links that no configuration system has words for, as a file of sysctl.d(5).

systemd applies it to a link that appears later, too (99-systemd.rules runs systemd-sysctl for each new link).
"""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.site import Host

PATH = "etc/sysctl.d/60-bascule.conf"


def render(host: Host) -> Mapping[str, str]:
    """The file by its path; nothing where every bridge carries an address of the host."""
    silent = [bridge for bridge in host.bridges.values() if not bridge.has_address]
    ports = [bridge.port for bridge in host.bridges.values() if bridge.port]
    ports += [nic for bond in host.bonds.values() for nic in bond.nics]
    lines = [f"net/ipv4/conf/{bridge.name}/arp_ignore = 1" for bridge in silent]
    quiet = dict.fromkeys([*(bridge.name for bridge in silent), *ports])
    lines += [f"net/ipv6/conf/{name}/accept_ra = 0" for name in quiet]
    return {PATH: "".join(f"{line}\n" for line in lines)} if lines else {}
