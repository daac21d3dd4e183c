"""The kernel parameters of links that no configuration system has words for, as a file of sysctl.d(5).

systemd applies it to a link that appears later, too (99-systemd.rules runs systemd-sysctl for each new link).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from bascule.model.kernel_parameters import FORWARDING, conf, link_of
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.persist.parsed import Files
from bascule.persist.wanted import declared_state
from bascule.plan.address_migration import carried_keys

PATH = "etc/sysctl.d/60-bascule.conf"


def render(site: Site, host: Host, state: HostState | None = None, ours: Files = MappingProxyType({})) -> Files:
    """The file by its path; nothing where the kernel's own values will do.

    ``state`` is what a plan leads to: it tells the NICs that accept router advertisements on a host that routes.
    ``ours`` are the files that Bascule wrote: what a manager sets on a bridge that stands in them is the manager's.
    """
    said = declared_state(site, host)
    wanted = {key: value for key, value in said.sysctls.items() if key not in FORWARDING.values()}
    silent = {link_of(key) for key in wanted if key.endswith("/arp_ignore")}

    def rank(key: str) -> tuple[bool, bool, bool]:
        name = IfName(link_of(key))
        return not key.endswith("/arp_ignore"), name not in silent, said.links[name].master not in host.bridges

    lines = [f"{key} = {wanted[key]}" for key in sorted(wanted, key=rank)]
    there = state.sysctls if state is not None else {}
    for bridge in host.bridges.values():
        carried = _carried(bridge.name, state) if bridge.has_address and state is not None else ()
        lines += [line for line in carried if line in ours.get(PATH, "") or not _stands_in(bridge.name, ours)]
    wired = (*host.nics, *host.bonds, *host.vlans)
    lines += [f"{key} = 2" for name in wired if there.get(key := conf(6, name, "accept_ra")) == "2"]
    return {PATH: "".join(f"{line}\n" for line in lines)} if lines else {}


def _stands_in(name: IfName, files: Files) -> bool:
    return any(re.search(rf"\b{re.escape(name)}\b", text) for text in files.values())


def _carried(bridge: IfName, state: HostState) -> Iterator[str]:
    """What came to a bridge with the host's address, and what no link has by itself; a link's MTU is its own."""
    there, link = state.sysctls, state.links.get(bridge)
    for key, default in zip(carried_keys(bridge), carried_keys("default"), strict=True):
        usual = str(link.mtu) if link is not None and key.endswith("/mtu") else there.get(default, there.get(key))
        if key in there and usual != there[key]:
            yield f"{key} = {there[key]}"
