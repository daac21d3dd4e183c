"""netplan's overrides: what of leases and advertisements is not used (netplan-yaml.md, DHCP Overrides)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bascule.model.dhcp.offers import Offer, of_version
from bascule.model.host_links import Ipv6
from bascule.persist.config import LinkConfig
from bascule.persist.formats.values import parse_bool
from bascule.persist.netplan.nodes import Node, text_of
from bascule.persist.networkd.offers import LEASE4, LEASE6, ROUTER, Items, Uses, ipv6_words, lease_words

OVERRIDES: Mapping[str, str] = {"dhcp4-overrides": LEASE4, "dhcp6-overrides": LEASE6, "ra-overrides": ROUTER}
WORDS = {"use-dns": Offer.DNS, "use-routes": Offer.ROUTES}


def override(uses: Uses, group: str, key: str, node: Node, leave: Callable[[str], None]) -> bool:
    """One key of an override; False for one that is not supported."""
    offer = WORDS.get(key)
    if offer is None or (offer is Offer.ROUTES and OVERRIDES[group] == ROUTER):
        return False
    uses.put(OVERRIDES[group], offer, used=parse_bool(text_of(node)), leave=leave)
    return True


def overrides(link: LinkConfig) -> tuple[dict[str, Any], list[tuple[str, Items]]]:
    """The overrides of a link, and what only networkd has words for.

    Beside DHCPv6 all of it is networkd's: there netplan wants the same of both leases, or makes nothing.
    """
    gone = of_version(link.unused, 4)
    whole = Offer.GATEWAY in gone and Offer.ROUTES in gone
    plain: dict[str, Any] = {"route-metric": link.metric} if link.metric is not None else {}
    plain |= {"use-routes": False} if whole else {}
    plain |= {"use-dns": False} if Offer.DNS in gone else {}
    if link.ipv6 is Ipv6.DHCP:
        rank = [("RouteMetric", str(link.metric))] if link.metric is not None else []
        return {}, [(LEASE4, rank + lease_words(link)), *ipv6_words(link)]
    rest = [] if whole else [word for word in lease_words(link) if word[0] != "UseDNS"]
    return plain, [(LEASE4, rest), *ipv6_words(link)]
