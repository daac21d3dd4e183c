"""DHCP leases of everybody who wants one: guests, machines and the hosts themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.model.site import Site, virtual_segment
from bascule.model.values import IfName, Mac
from bascule.plan.change import Note
from bascule.probe import dhcp_client
from bascule.probe.dhcp_client import DhcpLease
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import host_endpoint
from bascule.twin.wiring import Wiring

UNSERVED_S = 1.0  # how long to ask where the file names no server


class DhcpRequester(Struct, frozen=True, kw_only=True):
    """A NIC that takes its address by DHCP, and the network whose server should answer."""

    endpoint: str
    namespace: Namespace
    link: IfName
    mac: Mac
    segment: str | None


def askers(
    site: Site, hosts: Iterable[str], wiring: Wiring, namespaces: Mapping[str, Namespace]
) -> Iterator[DhcpRequester]:
    """Every NIC whose address is ``dhcp`` and whose namespace is ours."""
    for end in (*wiring.guests.values(), *wiring.machines.values()):
        namespace = namespaces.get(end.name)
        for nic in end.nics if namespace else ():
            if nic.dhcp and namespace:
                yield DhcpRequester(
                    endpoint=end.name, namespace=namespace, link=nic.link, mac=nic.mac, segment=nic.segment
                )
    for name in hosts:
        for at in host_endpoint(site, site.hosts[name]).nics:
            mac = links.mac_of(namespaces[name], at.link) if at.dhcp else None
            if mac is not None:
                yield DhcpRequester(
                    endpoint=name, namespace=namespaces[name], link=at.link, mac=mac, segment=at.segment
                )


def served_segments(site: Site, wiring: Wiring) -> set[str]:
    """Where the file says that somebody gives addresses."""
    served = {machine.dhcp.network for machine in site.machines.values() if machine.dhcp is not None}
    return served | {
        virtual_segment(host, x.name) for host, own in wiring.resolved_networks.items() for x in own if x.ranges
    }


def acquire(
    site: Site, wiring: Wiring, wanting: Iterable[DhcpRequester], *, timeout_s: float
) -> dict[DhcpRequester, DhcpLease | None]:
    """Real exchanges, all at once. Where the file names no server they end sooner."""
    served = served_segments(site, wiring)
    found: dict[DhcpRequester, DhcpLease | None] = {}
    groups: dict[bool, dict[dhcp_client.DhcpNic, DhcpRequester]] = {True: {}, False: {}}
    for asker in wanting:
        client = dhcp_client.DhcpNic(namespace=asker.namespace, link=asker.link, mac=asker.mac, hostname=asker.endpoint)
        groups[asker.segment in served][client] = asker
    for hopeful, clients in groups.items():
        wait_s = timeout_s if hopeful else min(UNSERVED_S, timeout_s)
        for client, lease in dhcp_client.acquire(tuple(clients), timeout_s=wait_s).items():
            found[clients[client]] = lease
    return found


def no_lease(asker: DhcpRequester) -> Note:
    """What to tell about a NIC that got no lease."""
    where = f"network '{asker.segment}'" if asker.segment else f"the network behind {asker.link}"
    text = f"{asker.endpoint} got no DHCP lease on {asker.link}: no server answered on {where}"
    return Note(kind="warning", subject=asker.endpoint, text=text)


def take(
    site: Site,
    wiring: Wiring,
    namespaces: Mapping[str, Namespace],
    leases: Mapping[tuple[str, IfName], DhcpLease],
) -> None:
    """Put the leased addresses on their links, and a default route where there is none yet."""
    ends = {**wiring.guests, **wiring.machines}
    routed = {name for name, end in ends.items() if any(gateway.version == 4 for _, gateway in end.routes)}
    for name, host in site.hosts.items():
        if any(gateway.version == 4 for link in host.links() for gateway in link.gateways):
            routed.add(name)
    for (endpoint, link), lease in leases.items():
        namespace = namespaces[endpoint]
        index = links.index_of(namespace, link)
        messages = [rtnetlink.add_address(index, lease.address)]
        if endpoint not in routed and lease.routers:
            messages.append(rtnetlink.add_route(index, lease.routers[0]))
            routed.add(endpoint)
        try:
            rtnetlink.change(namespace, messages)
        except BasculeError:
            if endpoint not in site.hosts:  # a host may have both already, from its observed state
                raise
