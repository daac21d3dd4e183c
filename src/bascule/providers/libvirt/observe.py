"""What libvirt says of itself: all domains and networks, and the leases that its DHCP servers gave."""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import ip_address

from bascule.errors import BasculeError
from bascule.model.domain import Lease, LibvirtNetwork
from bascule.model.values import parse_mac
from bascule.providers.libvirt.state import LibvirtState
from bascule.system.libvirt import Hypervisor, connect

RECONNECT_S = 10.0  # how long libvirtd may take to come back


def observe(hypervisor: Hypervisor) -> LibvirtState:
    """All domains and networks. Raises BasculeError."""
    return LibvirtState(
        uri=hypervisor.uri,
        domains={text.name: text for text in hypervisor.domains()},
        networks={text.name: text for text in hypervisor.networks()},
    )


def leases(hypervisor: Hypervisor, networks: Iterable[LibvirtNetwork]) -> tuple[Lease, ...]:
    """What the DHCP servers of active networks have given."""
    return tuple(
        Lease(
            mac=parse_mac(text.mac),
            address=ip_address(text.address),
            name=text.name,
            network=one.name,
            expires=text.expires,
        )
        for one in networks
        if one.active and one.ranges
        for text in hypervisor.leases(one.name)
    )


def connect_with_retries(uri: str) -> Hypervisor:
    """A connection; libvirtd may be just restarting. Raises BasculeError."""
    end = time.monotonic() + RECONNECT_S
    while True:
        try:
            return connect(uri)
        except BasculeError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)
