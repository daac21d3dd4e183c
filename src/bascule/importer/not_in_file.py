"""What a site file does not say of the configuration that it was imported from, found by comparing the two.

The site file is read back, and what it would have written for the same host stands beside what the files mean. Every
difference is told, so that a word that a site file lacks is never a silent loss; where it gets the word, the note goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from bascule.importer.words import all_of, route_words
from bascule.model.links import Bridge, BridgePort, Vlan
from bascule.model.links.options import defaults_of
from bascule.model.links.wake_on_lan import wake_words
from bascule.model.site import Host, Site
from bascule.model.values import ETHERNET_MTU, IfName
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.host_routes import host_route_words
from bascule.persist.formats.values import seconds
from bascule.persist.formats.vlans import vids, with_flags
from bascule.persist.wanted import wanted_config

_TIMES = {"forward_delay", "hello_time", "max_age", "ageing_time"}  # in ticks


def declared(site: Site, host: Host) -> NetworkConfig:
    """The configuration that a site file alone says; an uplink or a member that is not known counts as none."""
    known = {name: replace(bridge, uplink_unknown=None) for name, bridge in host.bridges.items()}
    bonds = {name: replace(bond, nics_unknown=None) for name, bond in host.bonds.items()}
    return wanted_config(site, replace(host, bridges=known, bonds=bonds))


def unsaid(config: NetworkConfig, site: NetworkConfig, *, is_here: bool, of_ipv6: bool) -> Iterator[tuple[IfName, str]]:
    """Everything of a configuration that the ``site`` file does not say, or says otherwise, link by link.

    What is on this host already (``is_here``) keeps those options that the file leaves open. ``of_ipv6``: whether
    the files speak of IPv6, so that it is no default that differs.
    """
    said = site.links
    names = {name: _other_name(link, said) for name, link in config.links.items()}
    for name, link in config.links.items():
        there = said.get(names[name]) if names[name] else None
        if there is None:
            words = "; ".join(all_of(link))
            idle = "it is down" if is_here else "nothing brings it up"
            if words:
                why = "" if link.onboot else f" as {idle}"
                yield name, f"left out{why}, with all that it says: {words}"
            else:
                yield name, f"left out: {idle}, and nothing uses it"
        elif link != there:
            options = list(_options(link, there, is_here=is_here))
            if of_ipv6 and link.ipv6 is not there.ipv6 and link.master is None:
                options.append(f"IPv6 {link.ipv6}; by the site file it is {there.ipv6}")
            below = said.get(there.parent) if there.parent else None
            own = there.mac or (below.mac if below is not None else None)  # a VLAN has the MAC of what it is on
            if not is_here and link.mac and link.mac != own:
                options.append(f"MAC {link.mac}; the site file does not say it")
            yield from ((name, words) for words in (*options, *_differences(link, there, config)))


def unsaid_routes(config: NetworkConfig, site: NetworkConfig) -> Iterator[str]:
    """Routes on no single link that the ``site`` file does not say."""
    for route in config.routes:
        if route not in site.routes:
            yield f"route {host_route_words(route)}: the site file does not say it"


def _other_name(link: LinkConfig, said: Mapping[Any, LinkConfig]) -> Any:
    """What the site file calls a link: a VLAN has the name that follows from its number and the link below."""
    if link.name in said or not isinstance(link.options, Vlan):
        return link.name
    return next((n for n, o in said.items() if (o.options, o.parent) == (link.options, link.parent)), None)


def _differences(have: LinkConfig, said: LinkConfig, config: NetworkConfig) -> Iterator[str]:
    if have.mtu and have.mtu != (said.mtu or ETHERNET_MTU):
        yield f"MTU {have.mtu}; the site file does not say it"
    if have.wol is not None and have.wol != said.wol:
        yield f"wake-on-LAN {wake_words(have.wol)}; the site file does not say it"
    yield from (f"{line}; the site file does not say it" for line in have.hooks if line not in said.hooks)
    if have.name != said.name:
        yield f"a site file calls it {said.name}; the plan would create that one beside it"
    if have.master != said.master and have.master is not None:
        yield f"is a port of {have.master}; the site file does not say it"
    if have.dhcp4 and not said.dhcp4:
        yield "DHCP; the site file does not say it"
    gone = [address for address in have.addresses if address not in said.addresses]
    routes = [route_words(route) for route in have.routes if _plain(route) not in map(_plain, said.routes)]
    for words in (f"the host's address {', '.join(gone)}" if gone else "", *routes):
        if words:
            yield f"{words}; the site file does not say it"
    servers = [word for word in (*have.dns, *have.search) if word not in (*said.dns, *said.search)]
    if servers:
        yield f"name servers and domains {', '.join(servers)}; the site file does not say them"
    for offer, version in sorted(have.unused - said.unused):
        yield f"use_{offer} of IPv{version} is no; the site file does not say it"
    if have.client_id is not None and have.client_id != said.client_id:
        yield (
            f"the DHCP client identifier is {have.client_id}; 'bascule apply' keeps it on this host, elsewhere another "
            "lease may come"
        )
    if not have.onboot and have.master is None and have.name not in {link.parent for link in config.links.values()}:
        yield "is not brought up at boot; the site file brings it up"
    priority = {(0, False)}  # what bears a tag without a VLAN, on a switch that keeps that apart
    if have.vlans and vids(have.vlans) - vids(said.vlans) - _own_vids(have, config) - priority:
        yield f"VLANs {', '.join(with_flags(vlan) for vlan in have.vlans)}; the site file does not say them"


def _own_vids(link: LinkConfig, config: NetworkConfig) -> set[tuple[int, bool]]:
    """The VLANs that a bridge itself has because there are VLAN links on it."""
    above = [each.options for each in config.links.values() if link.is_bridge and each.parent == link.name]
    return {(int(each.id), False) for each in above if isinstance(each, Vlan)}


def _options(have: LinkConfig, said: LinkConfig, *, is_here: bool) -> Iterator[str]:
    """Options of a bridge, of a bond and of a port. This host (``is_here``) keeps what is not the kernel's default."""
    pairs: list[tuple[Any, Any, str]] = [(have.options, said.options, "")]
    if have.port is not None:
        pairs.append((have.port, said.port or BridgePort(), "as a port, "))
    for mine, its, where in pairs:
        if type(mine) is not type(its):
            continue
        kind: Any = type(mine)
        for key, default in defaults_of(kind):
            value, other = getattr(mine, key), getattr(its, key)
            if value is None and key in _TIMES:
                if key == "forward_delay":
                    yield f"{where}the spanning tree's times: the kernel shows those of the root, another bridge"
                continue
            if value == other or _is_idle(mine, key) or (is_here and value == default):
                continue
            instead = "the site file does not say it" if is_here else f"by the site file it is {_value(key, other)}"
            yield f"{where}{key} {_value(key, value)}; {instead}"


def _is_idle(options: Any, key: str) -> bool:
    """What nobody would miss: a delay without STP, an option that the kernel has anyway."""
    if not options.by_kernel and key == "vlan_filtering":
        return True  # follows from the VLANs of its ports
    if not isinstance(options, Bridge):
        return key == "miimon" and not options.miimon
    if key == "forward_delay":
        return not options.stp_state and options.forward_delay in {0, 1500}
    return key == "mcast_snooping" and options.mcast_snooping == 1  # the kernel's default; Bascule has its own


def _value(key: str, value: object) -> str:
    if value is None:
        return "the kernel's own"
    if value == "":
        return "not said"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{seconds(value)} s" if key in _TIMES and isinstance(value, int) else str(value)


def _plain(route: StaticRoute) -> StaticRoute:
    """Whether a gateway is said to be on-link follows from its address."""
    return replace(route, onlink=False)
