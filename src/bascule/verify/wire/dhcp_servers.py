"""Who answers DHCP on the wires of a host: a second server gives guests addresses and a gateway of its own.

It shows only to who asks. The host asks from its own links, with their MACs, and requests nothing. A server of its own
virtual network does not hear what the host sends there: whoever answers is another one, such as a guest.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Self

from msgspec import Struct

from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, bridge_name
from bascule.policy.guards.declared import servers
from bascule.probe.dhcp_client import DhcpLease, DhcpNic, Discovery
from bascule.system.net.netns import Namespace
from bascule.verify.checks import Check
from bascule.verify.wire.link_sockets import can_ask

WAIT_S = 3.5  # dnsmasq looks for three seconds whether somebody has the address that it is to offer


class AskedLink(Struct, frozen=True):
    """A link of the host to ask from, and the servers of its network by the file: none where it names none."""

    link: Link
    network: str
    servers: frozenset[IPv4Address]
    own: bool = False  # a virtual network's bridge


def asked_links(site: Site, host: Host, state: HostState) -> Iterator[AskedLink]:
    """One for each network on which somebody shall get a lease, where it is up."""
    wanted = {site.segment_of(nic) for nic in site.guest_nics(host.name) if nic.dhcp}
    seen: set[str] = set()
    for said in host.links():
        network = site.network_of_link(host, said.name)
        link = state.links.get(said.name)
        if network is None or network.name in seen or not can_ask(link):
            continue
        named = servers(site, network.name) or ()
        if said.dhcp or network.name in wanted or named:
            seen.add(network.name)
            yield AskedLink(link, network.name, frozenset(one for one in named if isinstance(one, IPv4Address)))
    for name, virtual in host.virtual_networks.items():
        link = state.links.get(bridge_name(name))
        if virtual.dhcp is not None and can_ask(link):
            yield AskedLink(link, name, frozenset(), own=True)


class DhcpServers:
    """The question, sent while other checks run, and its answers. A context manager."""

    def __init__(self, site: Site, host: Host, state: HostState, here: Namespace) -> None:
        self._asked = {one.link.name: one for one in asked_links(site, host, state)}
        nics = (DhcpNic(namespace=here, link=x.link.name, mac=x.link.mac) for x in self._asked.values() if x.link.mac)
        self._discovery = Discovery(tuple(nics))

    def __enter__(self) -> Self:
        self._discovery.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._discovery.__exit__(*error)

    def checks(self) -> Iterator[Check]:
        """A check for each link that heard a server which the file does not name, or several where it names none."""
        for nic, offers in self._discovery.offers(within_s=WAIT_S).items():
            asked = self._asked[IfName(nic.link)]
            heard = {one.server: one for one in offers}
            others = [one for server, one in heard.items() if server not in asked.servers]
            if asked.servers or asked.own:
                if others:
                    yield _check(asked, others, ok=False)
            elif len(heard) > 1:
                yield _check(asked, list(heard.values()), ok=None)


def _check(asked: AskedLink, offers: list[DhcpLease], *, ok: bool | None) -> Check:
    words = ", ".join(f"{one.server} ({one.mac}) offers {one.address.ip}{_router(one)}" for one in offers)
    if asked.own:
        rest = f"{asked.network} has this host's own server, and guests take the first answer"
    elif asked.servers:
        rest = f"the file names {', '.join(map(str, sorted(asked.servers)))} for {asked.network}"
    else:
        rest = f"several servers on {asked.network}: whoever asks takes the first answer, and no machine of the file "
        rest += "says with 'dhcp:' which is meant"
    return Check(id="dhcp-servers", subject=str(asked.link.name), ok=ok, detail=f"{words}; {rest}", unproven=ok is None)


def _router(offer: DhcpLease) -> str:
    return f" by the gateway {offer.routers[0]}" if offer.routers else ""
