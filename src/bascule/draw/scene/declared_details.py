"""What the file says of a link beside where it stands, in the words of the site file; shown when one asks."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.dhcp.offers import use_words
from bascule.model.host_links import Bond, Bridge, HostLink, Ipv6, Nic
from bascule.model.links.wake_on_lan import wake_words
from bascule.model.values import NO_VLAN

IPV6_NOTES = {Ipv6.AUTO: "IPv6 auto", Ipv6.DHCP: "DHCPv6", Ipv6.MANUAL: "IPv6 manual", Ipv6.OFF: "IPv6 off"}
_TICKS = ("forward_delay", "hello", "max_age", "ageing")  # hundredths of a second
_BRIDGE = ("priority", *_TICKS, "path_cost", "port_priority", "snooping", "querier", "pvid")
_BOND = ("miimon", "updelay", "downdelay", "hash_policy", "lacp_rate", "primary", "min_links", "ad_select")
_UNITS = {"miimon": " ms", "updelay": " ms", "downdelay": " ms"}


def declared_details(link: HostLink) -> Iterator[str]:
    """One line for each key that has a value."""
    if link.ipv6 is not None:
        yield f"IPv6 mode {link.ipv6}"
    if link.ipv6_privacy is not None:
        yield f"temporary IPv6 addresses: {link.ipv6_privacy}"
    yield from (f"gateway {gateway}" for gateway in link.gateways)
    if link.metric is not None:
        yield f"metric {link.metric}"
    yield from (f"{key.replace('_', ' ')}: {value}".lower() for key, value in use_words(link.unused).items())
    if link.routes:
        yield f"routes: {len(link.routes)}"
    if isinstance(link, Nic):
        if link.wol is not None:
            yield f"woken by: {wake_words(link.wol)}"
    elif link.mac is not None:
        yield f"MAC {link.mac}, given"
    keys = _BRIDGE if isinstance(link, Bridge) else _BOND if isinstance(link, Bond) else ()
    for key in keys:
        value = getattr(link, key)
        if key == "pvid" and value == NO_VLAN:
            yield "nothing untagged comes in"
        elif value is not None:
            shown = f"{value / 100:g} s" if key in _TICKS else str(value) + _UNITS.get(key, "")
            yield f"{key.replace('_', ' ')} {'on' if value is True else 'off' if value is False else shown}"
    if isinstance(link, Bridge) and link.vlans:
        spans = (str(first) if first == last else f"{first}-{last}" for first, last in link.vlans)
        yield f"VLANs of the uplink {', '.join(spans)}"
    yield from (f"its own files run: {line}" for line in link.hooks)
