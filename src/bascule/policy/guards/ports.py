"""Guest NICs behind a guard, with every MAC and address that they may use."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.guarding import Guarding, GuardLevel
from bascule.model.site import GuestNic, Host, PlugKind, Site
from bascule.model.values import IfName, IpAddress, IpNetwork, Mac, link_local
from bascule.policy.guards.declared import group_macs, router_macs, server_macs, servers


class GuardedPort(Struct, frozen=True, kw_only=True):
    """One port of a bridge with what may come in by it.

    ``macs`` are the NIC's own and those of nested guests, ``group_macs`` those of the groups of routers that it is in;
    ``addresses`` are single ones, its link-local one included, ``prefixes`` lie behind it. ``others`` and
    ``other_macs`` are those of guests that it must not reach, ``servers`` those that may answer it by DHCP,
    ``servers6`` the same of DHCPv6, ``routers`` those that may advertise themselves (None: nobody has said, or not by
    which MAC), ``takes_advertisements`` whether its network has IPv6 at all.
    """

    name: IfName
    guest: str
    guarding: Guarding
    macs: tuple[Mac, ...]
    group_macs: tuple[Mac, ...] = ()
    addresses: tuple[IpAddress, ...] = ()
    prefixes: tuple[IpNetwork, ...] = ()
    others: tuple[IpAddress, ...] = ()
    other_macs: tuple[Mac, ...] = ()
    known_macs: tuple[Mac, ...] = ()  # of everybody in the file, where guests inside are learned
    servers: tuple[IpAddress, ...] | None = None
    servers6: tuple[Mac, ...] | None = None
    routers: tuple[Mac, ...] | None = None
    takes_advertisements: bool = True
    by_flows: bool = False  # on a switch whose frames no rule of nft sees
    waits: bool = False  # for the guest's next start: the port is not there yet

    @property
    def is_strict(self) -> bool:
        """Whether its addresses are bound, and not its MACs alone."""
        return self.guarding.level is GuardLevel.STRICT

    @property
    def every_mac(self) -> tuple[Mac, ...]:
        """All MACs that it may send from."""
        return (*self.macs, *self.group_macs)


def is_guarded(nic: GuestNic) -> bool:
    """Whether a guest NIC is a port of a bridge, with a guard."""
    return nic.plug is not PlugKind.DIRECT and nic.guarding.level is not GuardLevel.OFF


def guarded_bridges(site: Site, host: Host) -> frozenset[IfName | None]:
    """The bridges of the kernel that have ports with guards."""
    nics = site.guest_nics(host.name)
    return frozenset(nic.master for nic in nics if is_guarded(nic) and nic.by_kernel)


def guarded_ports(site: Site, host: Host) -> tuple[GuardedPort, ...]:
    """The guest NICs of a host that have a guard, in the order of the file.

    One that has another tap from its guest's next start on appears twice, so that its first frame then is guarded.
    """
    found: list[GuardedPort] = []
    for nic in site.guest_nics(host.name):
        if is_guarded(nic):
            port = _port(site, nic)
            later = nic.next_tap if nic.next_tap != nic.tap else None
            found += [port, *([replace(port, name=later, waits=True)] if later else [])]
    return tuple(found)


def _port(site: Site, nic: GuestNic) -> GuardedPort:
    guarding = nic.guarding
    macs = (nic.mac, *guarding.macs)
    shared = [one for router in guarding.routers for one in router.addresses]
    further = [*guarding.also, *shared]
    single = [one.network_address for one in further if one.num_addresses == 1]
    apart = tuple(site.kept_apart(nic))
    segment = site.segment_of(nic)
    network = site.networks.get(segment or "")
    return GuardedPort(
        name=nic.tap,
        guest=nic.guest,
        guarding=guarding if not nic.vlans else replace(guarding, may=guarding.may | {"tags"}),
        macs=macs,
        group_macs=tuple(mac for router in guarding.routers for mac in group_macs(router)),
        addresses=_unique((*(a.ip for a in nic.addresses), *single, *map(link_local, macs))),
        prefixes=tuple(one for one in further if one.num_addresses > 1),
        others=_unique(
            address for other in apart for address in (*(a.ip for a in other.addresses), link_local(other.mac))
        ),
        other_macs=tuple(mac for other in apart for mac in (other.mac, *other.guarding.macs)),
        known_macs=_known_macs(site) if guarding.nested else (),
        by_flows=not nic.by_kernel,
        servers=servers(site, segment),
        servers6=server_macs(site, segment),
        routers=router_macs(site, segment),
        takes_advertisements=network is None or any(subnet.version == 6 for subnet in network.subnets),
    )


def _unique(addresses: Iterable[IpAddress]) -> tuple[IpAddress, ...]:
    return tuple(dict.fromkeys(addresses))


def _known_macs(site: Site) -> tuple[Mac, ...]:
    found = [mac for guest in site.guests.values() for nic in guest.nics for mac in (nic.mac, *nic.guarding.macs)]
    found += [nic.mac for machine in site.machines.values() for nic in machine.nics if nic.mac]
    found += [link.mac for host in site.hosts.values() for link in host.links() if link.mac]
    return tuple(dict.fromkeys(found))
