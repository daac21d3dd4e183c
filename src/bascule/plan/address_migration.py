"""How the host's own addresses and routes change their link: to a bridge, and back when the bridge goes.

In which order IPv6 addresses stand there says with which one the host speaks. Linux lists a new one before those that
were there, and sends from the first of those that fit equally well (RFC 6724 leaves it to the host). So one that comes
back leads, unless those that led before it are set anew after it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Network, ip_interface

from msgspec.structs import replace

from bascule.model.kernel_parameters import conf, first_value, neigh, secret_key
from bascule.model.links import Tap
from bascule.model.state import OWN_PROTOCOL, Address, FixedNeighbour, HostState, Link, Route, RouteFacts, RoutingRule
from bascule.model.values import IfName, link_local

LOCAL = IPv6Network("fc00::/7")  # from no such address anything is sent where another one fits, and the reverse
SLAAC = ("accept_ra", "autoconf", "use_tempaddr")  # how a link deals with router advertisements (ip-sysctl.rst)
SPEAKER = {  # further parameters of the link on which a host speaks: how it answers, filters and routes
    4: (
        "accept_local", "accept_redirects", "accept_source_route", "arp_accept", "arp_announce",
        "arp_evict_nocarrier", "arp_filter", "arp_ignore", "arp_notify", "bc_forwarding", "bootp_relay",
        "disable_policy", "disable_xfrm", "drop_gratuitous_arp", "drop_unicast_in_l2_multicast", "force_igmp_version",
        "forwarding", "ignore_routes_with_linkdown", "igmpv2_unsolicited_report_interval",
        "igmpv3_unsolicited_report_interval",
        "log_martians", "medium_id", "promote_secondaries", "proxy_arp", "proxy_arp_pvlan", "route_localnet",
        "rp_filter", "secure_redirects", "send_redirects", "shared_media", "src_valid_mark", "tag",
    ),
    6: (
        "accept_dad", "accept_ra_defrtr", "accept_ra_from_local", "accept_ra_min_hop_limit", "accept_ra_min_lft",
        "accept_ra_mtu", "accept_ra_pinfo", "accept_ra_rt_info_max_plen", "accept_ra_rt_info_min_plen",
        "accept_ra_rtr_pref", "accept_redirects", "accept_source_route", "accept_untracked_na", "dad_transmits",
        "disable_ipv6", "disable_policy", "drop_unicast_in_l2_multicast", "drop_unsolicited_na", "enhanced_dad",
        "force_forwarding", "force_mld_version", "force_tllao", "forwarding", "hop_limit",
        "ignore_routes_with_linkdown", "ioam6_enabled", "ioam6_id", "ioam6_id_wide", "keep_addr_on_down",
        "max_addresses", "max_desync_factor", "mldv1_unsolicited_report_interval", "mtu",
        "mldv2_unsolicited_report_interval", "ndisc_evict_nocarrier", "ndisc_notify", "ndisc_tclass",
        "optimistic_dad", "proxy_ndp", "ra_defrtr_metric", "ra_honor_pio_life", "ra_honor_pio_pflag",
        "regen_max_retry", "regen_min_advance", "router_probe_interval", "router_solicitation_delay",
        "router_solicitation_interval", "router_solicitation_max_interval", "router_solicitations", "rpl_seg_enabled",
        "seg6_enabled", "seg6_require_hmac", "suppress_frag_ndisc", "temp_prefered_lft", "temp_valid_lft",
        "use_oif_addrs_only", "use_optimistic",
    ),
}  # fmt: skip


NEIGHBOURS = (  # how a link looks for its neighbours, of either family
    "anycast_delay", "app_solicit", "base_reachable_time_ms", "delay_first_probe_time", "gc_stale_time", "locktime",
    "mcast_resolicit", "mcast_solicit", "proxy_delay", "proxy_qlen", "retrans_time_ms", "ucast_solicit",
    "unres_qlen_bytes",
)  # fmt: skip


def slaac_keys(link: str) -> tuple[str, ...]:
    """The kernel parameters that go with an address that moves, whatever they are."""
    return tuple(conf(6, link, key) for key in SLAAC)


def speaker_keys(link: str) -> tuple[str, ...]:
    """The kernel parameters that go with an address that moves, where somebody has set them."""
    found = [conf(version, link, key) for version, keys in SPEAKER.items() for key in keys]
    return (*found, *neighbour_keys(link))


def neighbour_keys(link: str) -> tuple[str, ...]:
    """How a link looks for its neighbours. Those of ``default`` are shown in the first namespace alone."""
    return tuple(neigh(version, link, key) for version in SPEAKER for key in NEIGHBOURS)


def carried_keys(link: str) -> tuple[str, ...]:
    """Those of a link that its address may have brought along, for the time when the machine starts."""
    return (*speaker_keys(link), conf(6, link, "use_tempaddr"))


def moved_parameters(observed: HostState, old: str, new: str, laid: Mapping[str, str]) -> dict[str, str]:
    """What the kernel parameters of a link shall be that takes the addresses of another one.

    ``laid`` are those that are wanted so far: what another link gave to the old one goes on from there. Those that are
    as the kernel gives them to every link are not set. A link that is made now begins with the defaults.
    """
    there = new if new in observed.links else "default"
    seen, found = {**observed.sysctls, **laid}, {}
    for key, now, goal in zip(speaker_keys(old), speaker_keys(there), speaker_keys(new), strict=True):
        if key.endswith("/mtu"):  # the kernel gives each link its own MTU
            if key in seen and old in observed.links and seen[key] != str(observed.links[IfName(old)].mtu):
                found[goal] = seen[key]
            continue
        there_now = seen.get(now) or first_value(now, seen)
        if key in seen and there_now != seen[key] and (there_now is not None or "/neigh/" not in now):
            found[goal] = seen[key]
    for key, goal in zip(slaac_keys(old), slaac_keys(new), strict=True):
        if key in seen:
            found[goal] = seen[key]
    if secret_key(old) in seen:
        found[secret_key(new)] = seen[secret_key(old)]
    return found


def moved_routes(routes: Sequence[Route], old: IfName, new: IfName) -> list[Route]:
    """The routes of one link over another; a multipath route names its links in its hops."""
    return one_router([_moved(route, old, new) for route in routes], new)


def with_followers(
    routes: Sequence[Route], old: IfName, new: IfName, taken: Collection[Address], kept: Collection[Address]
) -> list[Route]:
    """The routes where a link has ``taken`` some addresses of another one, which has ``kept`` the rest.

    Those that lead by what was taken are of the new link, unless it has one in that place. The kernel removes them from
    the old one, and all of IPv4 with the last address.
    """
    own = {address.local for address in taken if not address.is_link_local}
    near = [ip_interface(address.ip).network for address in taken if not address.is_link_local]
    bare = all(address.is_ipv6 for address in kept)

    def follows(route: Route) -> bool:
        routers = [ip_interface(router).ip for router, dev in route.hops if dev == old and router]
        return (
            old in [dev for _, dev in route.hops] and ((not route.is_ipv6 and bare) or route.prefsrc in own)
        ) or any(router in net or (router.is_link_local and net.version == 6) for router in routers for net in near)

    stay = [route for route in routes if not follows(route)]
    there = {(route.slot, route.is_ipv6) for route in stay if new in [dev for _, dev in route.hops]}
    go = moved_routes([route for route in routes if follows(route)], old, new)
    return [*stay, *(route for route in go if (route.slot, route.is_ipv6) not in there)]


def _moved(route: Route, old: IfName, new: IfName) -> Route:
    if route.dev == old and route.protocol == "ra":
        return route_by(route, new)
    hops = tuple(" ".join(new if word == old else word for word in hop.split()) for hop in route.nexthops)
    dev = new if route.dev == old else route.dev
    if (dev, hops) == (route.dev, route.nexthops):
        return route
    protocol = "static" if route.is_ours else route.protocol  # what moves without being named is the host's own
    return replace(route, dev=dev, nexthops=hops, protocol=protocol, facts=replace(route.facts, nexthop_id=0))


def without_link(route: Route, link: IfName) -> Route | None:
    """What is left of a route when a link has no address any more: of a multipath route its other ways."""
    if route.dev == link:
        return None
    left = tuple(hop for hop in route.nexthops if link not in hop.split())
    if len(left) == len(route.nexthops):
        return route
    if len(left) > 1:
        return replace(route, nexthops=left, facts=RouteFacts())
    by = replace(route, nexthops=left, facts=RouteFacts())
    for gateway, dev in by.hops:
        return replace(by, gateway=gateway, dev=dev, nexthops=(), flags=("onlink",) if "onlink" in left[0] else ())
    return None


def route_by(route: Route, dev: str) -> Route:
    """An advertised route as it can be set by hand, until the kernel hears the router and writes its own.

    It needs a metric of its own: where one that was set by hand is in the place of the kernel's, the kernel fails to
    add its route and then ignores the whole advertisement, prefixes included (measured with Linux 6.18).
    """
    return replace(route, dev=dev, metric=route.metric + 1)


def in_places_of_their_own(routes: Iterable[Route], there: Container[Route], apart: int = 1) -> Iterator[Route]:
    """Advertised routes that are to be set by hand, each with a metric of its own among those to its destination.

    The kernel keeps the routers of several links beside each other; ``ip route replace`` overwrites the first of them.
    ``there`` are the routes that stand already; their metrics are ``apart`` by so much.
    """
    every = tuple(routes)
    taken = {r.slot for r in every if r.protocol != "ra" or r in there}
    for route in every:
        if route.protocol == "ra" and route not in there:
            while (place := route.slot) in taken:
                route = replace(route, metric=route.metric + apart)  # noqa: PLW2901  # the same, in another place
            taken.add(place)
        yield route


def one_router(routes: Sequence[Route], dev: str) -> list[Route]:
    """Of several routers' advertised routes on a link one is enough; the others come with their next advertisement.

    Set by hand they would become one multipath route, which the kernel makes of no advertisement.
    """
    best: dict[tuple[str, str], Route] = {}
    for route in sorted(routes, key=lambda r: r.metric):
        if route.protocol == "ra" and route.dev == dev:
            best.setdefault((route.dst, route.table), route)
    return [r for r in routes if r.protocol != "ra" or r.dev != dev or best[r.dst, r.table] == r]


def moved_rules(rules: Iterable[RoutingRule], moved: Mapping[str, IfName]) -> tuple[RoutingRule, ...]:
    """Policy rules that ask for a link on which the host no longer speaks, asking for the one instead of it."""
    return tuple(replace(rule, words=_renamed(rule.words, moved)) for rule in rules)


def _renamed(words: tuple[str, ...], moved: Mapping[str, IfName]) -> tuple[str, ...]:
    before = ("", *words)
    return tuple(
        moved.get(word, word) if key in {"iif", "oif"} else word for key, word in zip(before, words, strict=False)
    )


def with_copies(
    before: Collection[RoutingRule], wanted: Collection[RoutingRule], now: Collection[RoutingRule]
) -> tuple[RoutingRule, ...]:
    """The wanted policy rules, and those that a manager has set beside them by our files."""
    ours = {bare(rule) for rule in wanted} - {bare(rule) for rule in before}
    return (*wanted, *(rule for rule in now if rule not in wanted and bare(rule) in ours))


def bare(rule: RoutingRule) -> RoutingRule:
    """A policy rule without our mark: a manager sets one of our files again as its own."""
    is_ours = rule.words[-2:] == ("protocol", OWN_PROTOCOL)
    return replace(rule, words=rule.words[:-2]) if is_ours else rule


def moved_neighbours(
    neighbours: Iterable[FixedNeighbour], moved: Mapping[str, IfName], links: Container[str]
) -> tuple[FixedNeighbour, ...]:
    """Permanent neighbours, on the link on which the host speaks from now on."""
    found = (replace(one, dev=moved.get(one.dev, one.dev)) for one in neighbours)
    return tuple(dict.fromkeys(one for one in found if one.dev in links))


def address_successor(
    bridge: Link, observed: HostState, added: Collection[str], given: Mapping[str, IfName]
) -> Link | None:
    """The NIC that a bridge's addresses go back to when the bridge goes.

    The port whose MAC it wears, or the first of those that changes made its ports (``given``): its uplink. None when
    the bridge has no addresses but those that Bascule itself put there (``added``).
    """
    if not any(a.ip not in added and not a.is_link_local for a in bridge.addresses):
        return None
    ports = {port.name: port for port in observed.ports(bridge.name) if not isinstance(port.options, Tap)}
    first = next((name for name, master in given.items() if master == bridge.name and name in ports), None)
    worn = next((port for port in ports.values() if port.mac == bridge.mac), None)
    return worn or (ports[IfName(first)] if first is not None else None)


def inherit(nic: Link, bridge: Link, added: Collection[str]) -> Link:
    """The NIC with the bridge's addresses, as it was before they moved."""
    have = {address.ip for address in nic.addresses}
    # the link-local one as well: the kernel makes it only when the NIC comes up, and here it stays up
    left = (_by_own_mac(address, bridge, nic) for address in bridge.addresses if address.ip not in added)
    back = tuple(address for address in left if address.ip not in have)
    return replace(
        nic, addresses=nic.addresses + back, addrgenmode=bridge.addrgenmode, master=None, port=None, vlans=()
    )


def _by_own_mac(address: Address, bridge: Link, nic: Link) -> Address:
    """An address of a bridge as its NIC has it: the one that the bridge made from its MAC is made from the NIC's."""
    if bridge.mac is None or nic.mac is None or address.ip != f"{link_local(bridge.mac)}/64":
        return address
    return replace(address, ip=f"{link_local(nic.mac)}/64")


def newest_first(addresses: Iterable[Address], had: Collection[str]) -> tuple[Address, ...]:
    """As the kernel lists them where IPv6 addresses are new beside those that the link ``had``."""
    every = tuple(addresses)
    new = [one for one in every if one.is_ipv6 and not one.is_link_local and one.ip not in had]
    return (*new, *(one for one in every if one not in new)) if new else every


def set_anew(old: Link, new: Link) -> frozenset[str]:
    """The IPv6 addresses that stay and must be set anew, as they come before one that is new or was before them.

    None of a link with temporary addresses, which the kernel deletes with the one that they were made of.
    """
    if old.facts.temporaries:
        return frozenset()
    return frozenset(ip for kind in (True, False) for ip in _leading(_ips(old, local=kind), _ips(new, local=kind)))


def new_leaders(old: Link, new: Link) -> Iterator[tuple[str, str]]:
    """Each address that leads from now on, with the one that led and stays."""
    for kind in (True, False) if len(new.addresses) > 1 else ():
        before, after = _ips(old, local=kind, preferred=True), _ips(new, local=kind, preferred=True)
        if before and after[:1] != before[:1] and before[0] in after:
            yield after[0], before[0]


def _leading(had: list[str], wanted: list[str]) -> Iterator[str]:
    """All of the wanted ones but the last, as far as these stand in their order already."""
    there, stays = iter(reversed(had)), True
    for ip in reversed(wanted):
        stays = stays and ip in there
        if not stays and ip in had:
            yield ip


def _ips(link: Link, *, local: bool, preferred: bool = False) -> list[str]:
    return [
        one.ip
        for one in link.addresses
        if one.is_ipv6 and not one.is_link_local and not one.lifetime.kept_by
        if (ip_interface(one.ip).ip in LOCAL) is local and not (preferred and one.lifetime.preferred_s == 0)
    ]


def gone_back_to(before: Link, after: Link | None, now: Link, addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Those that a link goes back to, in the order of before, or of now where it is others who changed it since."""
    found = newest_first(addresses, {one.ip for one in before.addresses})
    stayed = {one.ip for one in before.addresses if one.is_ipv6} & {one.ip for one in now.addresses}
    if len(stayed) < 2 or after is None or _order(after, stayed) != _order(before, stayed):
        return found
    back = {one.ip: one for one in found}
    order = iter([back[ip] for ip in _order(now, stayed) if ip in back])
    return tuple(next(order) if one.ip in stayed else one for one in found)


def _order(link: Link, which: Collection[str]) -> list[str]:
    return [one.ip for one in link.addresses if one.ip in which]


def has_lost_its_net(route: Route, before: HostState, links: Mapping[IfName, Link]) -> bool:
    """Whether its link will have no address any more in the subnet to which this is its own way.

    NetworkManager sets such ways with a metric, and the kernel, which takes its own ones away with the address, leaves
    them where the address is on another link.
    """
    old, new = (known.get(IfName(route.dev)) for known in (before.links, links))
    if old is None or new is None or route.protocol != "kernel" or route.gateway or route.nexthops:
        return False
    was, has = ({str(ip_interface(a.ip).network) for a in link.addresses} for link in (old, new))
    return route.dst in was and route.dst not in has
