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


def twins(site: Site, host: Host) -> Iterator[LinksOfOneSubnet]:
    """Each such pair of a host, once for each family."""
    speakers = [(link, site.network_of_link(host, link.name)) for link in host.speakers()]
    for (first, network), (second, other) in combinations(speakers, 2):
        if network is None or network is not other:
            continue
        subnets = {address.network for address in host.effective(first).addresses}
        same = {a.network.version: a.network for a in host.effective(second).addresses if a.network in subnets}
        for subnet in same.values():
            if subnet.num_addresses > 2:
                yield LinksOfOneSubnet(first=first, second=second, subnet=subnet, network=network.name)
