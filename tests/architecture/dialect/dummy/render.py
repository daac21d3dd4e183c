"""``NAME IPV6 ADDRESS…`` for each NIC."""

from __future__ import annotations

from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.gaps import Gaps


def render(config: NetworkConfig) -> dict[str, str]:
    """The file. Raises Inexpressible for all but addresses of NICs."""
    gaps = Gaps("dummy")
    for link in config.links.values():
        if link != LinkConfig(name=link.name, ipv6=link.ipv6, addresses=link.addresses):
            gaps.add(link.name, "more than", "addresses")
    for route in config.routes:
        gaps.add("the host", "routes", route.to)
    gaps.check()
    lines = [" ".join((link.name, link.ipv6, *link.addresses)) for link in config.links.values()]
    return {"etc/dummy.conf": "".join(f"{line}\n" for line in lines)}
