"""The leases of this host's own DHCP servers, held against the file: who should have one, and which address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from bascule.model.domain import Lease
from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import Mac
from bascule.plan.virtual_network import ResolvedNetwork, needs_server, resolved_networks
from bascule.providers.dnsmasq.observe import leases_in
from bascule.system.net.netns import Namespace
from bascule.topology.virtual_networks import existing_bridge
from bascule.verify.checks import Check, ports_of_macs
from bascule.verify.power import GuestsOff


def leases_below(folder: Path) -> tuple[Lease, ...]:
    """What our own servers, whose files lie in a folder, have given until now."""
    return tuple(lease for file in sorted(folder.glob("*.leases")) for lease in leases_in(file, file.stem))


def check_leases(
    site: Site, host: Host, state: HostState, namespace: Namespace, leases: Iterable[Lease], off: GuestsOff
) -> Iterator[Check]:
    """Each guest NIC on a network of ours that has a server: its lease, and whether that is the reserved address.

    A NIC with `address: dhcp` whose MAC is seen there has asked, or will; without a lease something is in its way.
    """
    given = {(lease.network, lease.mac): lease for lease in leases}
    seen: frozenset[Mac] | None = None
    for one in resolved_networks(site, host):
        link = existing_bridge(host.virtual_networks[one.name], state)
        if link is None or not link.is_ours or not needs_server(one) or not one.ranges:
            continue
        for nic in site.guest_nics(host.name):
            if nic.virtual_network != one.name or nic.guest in off:
                continue
            lease = given.get((one.name, nic.mac))
            if lease is not None:
                yield _held(nic, one, lease, str(link.name))
            elif nic.dhcp:
                if seen is None:
                    seen = frozenset(ports_of_macs(namespace))
                yield _without(nic, str(link.name), is_seen=nic.mac in seen)


def _held(nic: GuestNic, one: ResolvedNetwork, lease: Lease, bridge: str) -> Check:
    wanted = next((x.address for x in one.reservations if x.mac == nic.mac), None)
    detail = f"{lease.address} from the server on {bridge}"
    ok = wanted is None or wanted == lease.address
    detail += "" if wanted is None else ", as reserved" if ok else f", and {wanted} is reserved for {nic.mac}"
    return Check(id="lease", subject=nic.guest, ok=ok, detail=detail)


def _without(nic: GuestNic, bridge: str, *, is_seen: bool) -> Check:
    if is_seen:
        detail = f"its MAC {nic.mac} is seen on {bridge}, and the server there has given it no lease"
        return Check(id="lease", subject=nic.guest, ok=False, detail=detail)
    detail = f"no lease of the server on {bridge}, and its MAC {nic.mac} is not seen there: it has not spoken"
    return Check(id="lease", subject=nic.guest, ok=None, detail=detail, unproven=True)
