"""The kernel parameters that a plan for a host looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.kernel_parameters import FORWARDING, REDIRECTS, conf
from bascule.model.site import Host
from bascule.model.values import IfName, bridge_name
from bascule.plan.address_migration import carried_keys, neighbour_keys, slaac_keys
from bascule.plan.target.ipv6 import offer_keys


def sysctl_keys(host: Host, taps: tuple[IfName, ...] = ()) -> tuple[str, ...]:
    """All that a plan for this host looks at."""
    own = dict.fromkeys((*host.bridges, *host.nics, *_ports(host)))
    moving = [x for b in host.bridges.values() if b.has_address and b.port for x in (b.name, b.port)]
    return (
        *(conf(6, name, "accept_ra") for name in dict.fromkeys((*own, *taps))),
        *(conf(4, link.name, key) for link in host.links() for key in ("arp_ignore", "arp_announce")),
        *(key for name in moving for key in slaac_keys(name) if not key.endswith("/accept_ra")),
        *(key for name in dict.fromkeys((*moving, "default")) if moving for key in carried_keys(name)),
        *(neighbour_keys("lo") if moving else ()),  # a namespace has no defaults of its own to show
        *(conf(6, link.name, "accept_ra") for link in host.links() if link.ipv6),
        *(conf(6, name, "disable_ipv6") for name in own),  # managers set it on links that have no IPv6 address by file
        *(conf(6, link.name, "use_tempaddr") for link in host.links() if link.ipv6_privacy),
        *(key for link in host.links() if link.unused for key in offer_keys(link)),
        *(conf(6, bridge_name(name), "accept_ra") for name in host.virtual_networks),
        *(conf(4, bridge_name(name), "forwarding") for name in host.virtual_networks),
        *(conf(4, name, key) for name in _in_userspace(host) for key in ("arp_ignore", "rp_filter")),
        *(conf(4, name, "proxy_arp") for name in (*host.bridges, *(("all",) if host.bridges else ()))),
        *FORWARDING.values(),
        REDIRECTS,
    )


def forwarding_keys(host: Host, links: Iterable[str]) -> Iterator[str]:
    """Whether each link forwards: the kernel sets them all with that of the host, which a virtual network needs."""
    versions = {subnet.version for network in host.virtual_networks.values() for subnet in network.subnets}
    return (conf(version, link, "forwarding") for version in sorted(versions) for link in (*links, "default"))


def _in_userspace(host: Host) -> list[IfName]:
    """The NICs whose frames a process moves, while the kernel goes on hearing them."""
    names: list[IfName | None] = []
    for bridge in host.bridges.values():
        if bridge.in_userspace:
            names += [nic.name for nic in host.uplink_nics(bridge)]
            names += [mirror.to for mirror in bridge.mirrors]
    return [name for name in names if name in host.nics and name is not None]


def _ports(host: Host) -> list[IfName]:
    names = [port.link for bridge in host.bridges.values() for port in bridge.every_port]
    names += [nic for bond in host.bonds.values() for nic in bond.nics]
    names += [patch.name for bridge in host.bridges.values() for patch in bridge.patches if patch.by_kernel]
    return list(dict.fromkeys(names))
