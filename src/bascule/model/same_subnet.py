"""Two links of a host with an address each in one subnet of one network: what that does, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from msgspec import Struct

from bascule.model.host_links import HostLink
from bascule.model.site import Host, Site
from bascule.model.values import IpNetwork


class LinksOfOneSubnet(Struct, frozen=True, kw_only=True):
    """Two links on one network; ``subnet`` is where both have an address."""

    first: HostLink
    second: HostLink
    subnet: IpNetwork
    network: str

    @property
    def words(self) -> str:
        """What happens on such a pair."""
        arp = "each answers ARP for its own address alone (arp_ignore=1, arp_announce=2). "
        return (
            f"{self.first.name} and {self.second.name} both have an address in {self.subnet} on {self.network}: "
            f"the host sends to that subnet by one of them only, so {self.second.name} adds no second path; "
            f"{arp if self.subnet.version == 4 else ''}For more than one cable use a bond"
        )


def links_of_one_subnet(site: Site, host: Host) -> Iterator[LinksOfOneSubnet]:
    """Each such pair of a host, once for each family."""
    links: list[HostLink] = []
    at: dict[tuple[str, IpNetwork], list[int]] = {}  # the links of each subnet of each network
    for link in host.speakers():
        network = site.network_of_link(host, link.name)
        if network is not None:
            for subnet in {address.network for address in host.effective(link).addresses}:
                at.setdefault((network.name, subnet), []).append(len(links))
            links.append(link)
    pairs = {
        (*pair, subnet.version): (subnet, name) for (name, subnet), ns in at.items() for pair in combinations(ns, 2)
    }
    for (first, second, _), (subnet, name) in sorted(pairs.items(), key=lambda item: item[0]):
        if subnet.num_addresses > 2:
            yield LinksOfOneSubnet(first=links[first], second=links[second], subnet=subnet, network=name)
