"""Links and routes as people say them, for the notes of an import."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.host_links import MAIN_TABLE, Ipv6
from bascule.model.links import Vlan
from bascule.model.links.wake_on_lan import wake_words
from bascule.persist.config import LinkConfig, StaticRoute
from bascule.persist.formats.vlans import with_flags

MANY = 8  # names or routes that a note spells out


def all_of(link: LinkConfig) -> Iterator[str]:
    """Everything that a link says, for one that is left out."""
    if isinstance(link.options, Vlan):
        yield f"VLAN {link.options.id} of {link.parent}"
    elif link.options.kind:
        yield f"a {link.options.kind}"
    if link.master:
        yield f"a port of {link.master}"
    if link.vlans:
        yield f"VLANs {', '.join(with_flags(vlan) for vlan in link.vlans)}"
    yield from host_words(link)
    yield from (f"{word} {value}" for word, value in (("MAC", link.mac or link.pin_mac), ("MTU", link.mtu)) if value)
    if link.wol is not None:
        yield f"woken by {wake_words(link.wol)}"
    yield from link.hooks


def host_words(link: LinkConfig) -> Iterator[str]:
    """What the host says on a link."""
    if link.dhcp4:
        yield "DHCP"
    if link.metric is not None:
        yield f"metric {link.metric}"
    yield from (f"use_{offer} of IPv{version} is no" for offer, version in sorted(link.unused))
    if link.client_id is not None:
        yield f"{link.client_id} as DHCP client identifier"
    if link.ipv6 is Ipv6.DHCP:
        yield "DHCPv6"
    if link.ipv6_privacy is not None:
        yield f"temporary IPv6 addresses: {link.ipv6_privacy}"
    if link.addresses:
        yield f"the host's address {', '.join(link.addresses)}"
    yield from few([route_words(route) for route in link.routes], "routes")
    if link.dns:
        yield f"name server {', '.join(link.dns)}"
    if link.search:
        yield f"search domain {', '.join(link.search)}"


def few(words: Iterable[str], what: str) -> list[str]:
    """The first of many, and how many more there are."""
    found = list(words)
    rest = len(found) - MANY
    return [*found[:MANY], f"and {rest} more {what}"] if rest > 1 else found


def route_words(route: StaticRoute) -> str:
    """A route as people say it."""
    if route.dst.endswith("/0") and route.dst[:1] in {"0", ":"} and route.gateway:
        words = ["the default gateway", route.gateway]
    else:
        words = ["the route to", route.dst, f"via {route.gateway}" if route.gateway else "on the link"]
    if route.metric:
        words.append(f"with metric {route.metric}")
    if route.table != MAIN_TABLE:
        words.append(f"in table {route.table}")
    if route.prefsrc:
        words.append(f"from {route.prefsrc}")
    if route.onlink:
        words.append("onlink")
    return " ".join(words)
