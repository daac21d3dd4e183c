"""The words that a dnsmasq is started with for a virtual network, and what its lease file says."""

from __future__ import annotations

import ipaddress

from bascule.model.domain import Lease
from bascule.model.site import Mode
from bascule.model.values import parse_mac
from bascule.plan.virtual_network import ResolvedNetwork
from bascule.providers.dnsmasq.state import file_of

LEASE = "1h"  # dnsmasq's own default (dnsmasq(8), --dhcp-range)


def parse_leases(text: str, network: str = "") -> tuple[Lease, ...]:
    """The leases in dnsmasq's file: ``EXPIRES MAC ADDRESS NAME CLIENT`` in each line; IPv6 ones carry no MAC."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 5 and words[1].count(":") == 5:
            name = "" if words[3] == "*" else words[3]
            address = ipaddress.ip_address(words[2])
            found.append(
                Lease(mac=parse_mac(words[1]), address=address, name=name, network=network, expires=int(words[0]))
            )
    return tuple(found)


def arguments(one: ResolvedNetwork, folder: str, *, upstream: bool = True, foreground: bool = False) -> tuple[str, ...]:
    """The words behind ``dnsmasq`` for this network: DHCP, reservations and names, on its bridge alone.

    ``folder`` takes its lease and process id files; ``upstream`` False keeps it from asking the host's own name
    servers. In the ``foreground`` it changes no user and waits for nothing, as a twin needs it.
    """
    words = ["--no-daemon", "--no-ping"] if foreground else [f"--pid-file={file_of(one.name, 'pid', folder)}"]
    words += [
        "--conf-file=/dev/null",
        "--bind-dynamic",
        f"--interface={one.bridge}",
        "--except-interface=lo",
        "--no-hosts",
        "--dhcp-authoritative",
        "--dhcp-no-override",
        f"--dhcp-leasefile={file_of(one.name, 'leases', folder)}",
        f"--domain={one.name}",
        f"--local=/{one.name}/",
        "--expand-hosts",
    ]
    if not upstream or one.mode is Mode.ISOLATED:
        words.append("--no-resolv")
    if one.mode is Mode.ISOLATED:
        words.append("--dhcp-option=option:router")  # no way out: hand out no gateway
    if one.mtu is not None:
        words.append(f"--dhcp-option=option:mtu,{one.mtu}")
    for first, last in one.ranges:
        subnet = next(subnet for subnet in one.subnets if first in subnet)
        bits = subnet.netmask if first.version == 4 else subnet.prefixlen
        words.append(f"--dhcp-range={first},{last},{bits},{LEASE}")
    if any(subnet.version == 6 for subnet in one.subnets):
        words.append("--enable-ra")
        if one.mode is Mode.ISOLATED:
            words.append(f"--ra-param={one.bridge},0,0")  # advertised as a subnet, not as a way out
        with_range = {first.version for first, _ in one.ranges}
        words += [
            f"--dhcp-range={s.network_address},ra-only" for s in one.subnets if s.version == 6 and 6 not in with_range
        ]
    for entry in one.reservations:
        address = str(entry.address) if entry.address.version == 4 else f"[{entry.address}]"
        if any(first.version == entry.address.version for first, _ in one.ranges):
            words.append(f"--dhcp-host={entry.mac},{address}" + (f",{entry.name}" if entry.name else ""))
    words += [f"--host-record={name}.{one.name},{name},{address}" for name, address in one.names]
    return tuple(words)
