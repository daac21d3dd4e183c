"""The kernel parameters of links that no configuration system has words for, as a file of sysctl.d(5).

systemd applies it to a link that appears later, too (99-systemd.rules runs systemd-sysctl for each new link).
"""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.site import Host, Site
from bascule.model.state import FORWARDING, HostState
from bascule.model.values import IfName
from bascule.persist.wanted import declared_state

PATH = "etc/sysctl.d/60-bascule.conf"


def render(site: Site, host: Host, state: HostState | None = None) -> Mapping[str, str]:
    """The file by its path; nothing where the kernel's own values will do.

    ``state`` is what a plan leads to: it tells the NICs that take router advertisements on a host that routes.
    """
    said = declared_state(site, host)
    wanted = {key: value for key, value in said.sysctls.items() if key not in FORWARDING.values()}
    silent = {key.split("/")[3] for key in wanted if key.endswith("/arp_ignore")}

    def rank(key: str) -> tuple[bool, bool, bool]:
        name = IfName(key.split("/")[3])
        return not key.endswith("/arp_ignore"), name not in silent, said.links[name].master not in host.bridges

    lines = [f"{key} = {wanted[key]}" for key in sorted(wanted, key=rank)]
    there = state.sysctls if state is not None else {}
    lines += [f"{key} = 2" for nic in host.nics if there.get(key := f"net/ipv6/conf/{nic}/accept_ra") == "2"]
    return {PATH: "".join(f"{line}\n" for line in lines)} if lines else {}
