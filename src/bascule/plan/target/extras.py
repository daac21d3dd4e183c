"""What links of the file have beside what it says, by others: it stays and is told.

Addresses and routes, neighbours that somebody fixed, queues, ports that he blocked, routes that he took away.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface, ip_network

from bascule.model.guarding import Bandwidth
from bascule.model.host_links import Bridge, HostLink
from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.links import Bridge as BridgeOptions
from bascule.model.state import DEFAULT_DST, HostState, Link
from bascule.model.values import IfName, bridge_name, is_within
from bascule.plan.target.addresses import BY_ITSELF
from bascule.plan.target.builder import TargetBuilder

PASSES, NO_TREE = "forwarding", 0  # the state of a port, and stp_state
ANSWERS = {4: "proxy_arp", 6: "proxy_ndp"}
STAYS = ": it stays as it is"
LOST = {  # what a rule of the kernel's own is for, by its table
    "main": "the routes of table main are not used",
    "local": "the host accepts no packets for its own addresses",
}


def note_extras(build: TargetBuilder) -> None:
    """Say of every such address and route that it stays; of a host that is taken as found nothing is extra."""
    if build.host.as_found:
        return
    _note_ports(build)
    _note_neighbours(build)
    _note_proxies(build)
    _note_ways(build)
    _note_lost_rules(build)
    for said in build.host.links():
        link = build.links.get(said.name)
        if link is not None and not link.arp and said.has_address:
            build.note("extra", said.name, f"ARP is off, so nobody reaches the host over it{STAYS}")
        if link is not None and not link.multicast:
            build.note(
                "extra", said.name, f"multicast is off, so programs that join groups on it receive nothing{STAYS}"
            )
        if link is not None and isinstance(said, Bridge) and said.name in build.earlier.macs and not link.is_ours:
            seen, own = link.options.mark_lost(said.name, link.alias, build.mark)
            words = f"has lost Bascule's mark, its {seen}"
            build.note("extra", said.name, f"{words}: a removal of the bridge leaves it{STAYS} ({own})")
        from_uplink = isinstance(said, Bridge) and said.from_uplink  # all that its uplink has is wanted there
        if link is None or said.name not in build.observed.links or link.master is not None or from_uplink:
            continue
        for words, fix in dict([*_addresses(build, said), *((words, "") for words in _routes(build, said))]).items():
            build.note("extra", said.name, f"{words} is not in the file{STAYS}{f' ({fix})' if fix else ''}")


def _note_lost_rules(build: TargetBuilder) -> None:
    """Rules of the kernel's own that are not there, where no other rule has every packet ask the same table."""
    others = {(rule.words, rule.ipv6) for rule in build.observed.rules}
    for rule in build.observed.lost_rules:
        if rule.words[-1] in LOST and (rule.words, rule.ipv6) not in others:
            add = f"ip {'-6 ' if rule.ipv6 else ''}rule add {' '.join(rule.words)} priority {rule.priority}"
            build.note("extra", rule.name, f"the kernel's own is not there, so {LOST[rule.words[-1]]}{STAYS} ({add})")


def _addresses(build: TargetBuilder, said: HostLink) -> Iterator[tuple[str, str]]:
    """Each with what takes it away, where the file has others of its version there.

    No change that was confirmed has named it. With the first address of an IPv4 subnet the kernel deletes the others
    of that subnet, unless it promotes them (promote_secondaries of ip-sysctl.rst).
    """
    declared, versions = {str(ip) for ip in said.addresses}, {ip.version == 6 for ip in said.addresses}
    subnets = [str(ip_interface(one.ip).network) for one in build.links[said.name].addresses]
    there = {address.ip for address in build.observed.links[said.name].addresses}
    for place, address in enumerate(build.links[said.name].addresses):
        leased = address.is_leased and not said.dhcp
        passing = address.is_link_local or address.lifetime.kept_by
        if address.ip in there - declared and not passing and (leased or not address.dynamic):
            own = subnets[place]
            leads = not address.is_ipv6 and own not in subnets[:place] and own in subnets[place + 1 :]
            fix = f"sysctl -w net.ipv4.conf.{said.name}.promote_secondaries=1; " if leads else ""
            fix += f"ip address del {address.ip} dev {said.name}"
            is_replaced = not leased and address.is_ipv6 in versions
            yield f"{address.ip}{' (a lease)' if leased else ''}", fix if is_replaced else ""


def _routes(build: TargetBuilder, said: HostLink) -> Iterator[str]:
    if said.dhcp:  # its client's script writes routes as anybody would by hand
        return
    declared = {(DEFAULT_DST[gateway.version], str(gateway)) for gateway in said.gateways}
    declared |= {(str(route.to), str(route.via or "")) for route in said.routes}
    declared |= {(str(route.to), "") for route in build.host.routes}
    for route in build.routes:
        several = [hop for hop in route.nexthops if said.name in hop.split()]
        by_itself = route.protocol in BY_ITSELF and (route.protocol != "dhcp" or route.is_ipv6)  # no client: see above
        if (route.dev != said.name and not several) or by_itself or route.kind != "unicast":
            continue
        if route not in build.observed.routes:
            continue
        dst = route.destination
        table = f" in table {route.table}" if route.table != "main" else ""
        via = f" via {route.gateway}" if route.gateway else "".join(f" {hop}" for hop in route.nexthops)
        if (route.dst, route.gateway) not in declared:
            yield f"the route {dst}{via}{table}"
        elif route.extra:
            yield f"'{' '.join(route.extra)}' of the route {dst}{via}{table}"


def _note_ports(build: TargetBuilder) -> None:
    """Ports of the file's bridges that pass no frame though nothing says so, or only as many as a queue lets."""
    limited = {nic.tap for nic in build.site.guest_nics(build.host.name) if nic.bandwidth != Bandwidth()}
    for name, link in build.observed.links.items():
        bridge = build.observed.master_of(link)
        if bridge is None or not _is_ours(build, bridge.name) or build.links.get(name) is None:
            continue
        if _is_blocked(link, bridge) and build.links[name].master == bridge.name:
            fix = f"bridge link set dev {name} state 3"
            build.note(
                "extra", name, f"the port is in state {link.facts.stp_port_state} and passes no frame{STAYS} ({fix})"
            )
        if link.facts.queue and name not in limited:
            text = f"the queueing discipline '{link.facts.queue}' limits what passes, and is not in the file{STAYS}"
            build.note("extra", name, text)


def _is_blocked(port: Link, bridge: Link) -> bool:
    """Whether somebody has taken a port out of forwarding by hand, where there is no spanning tree to do so."""
    by_hand = isinstance(bridge.options, BridgeOptions) and bridge.options.stp_state == NO_TREE and bridge.up
    return by_hand and port.up and port.facts.carrier and port.facts.stp_port_state not in {"", PASSES}


def _is_ours(build: TargetBuilder, name: str) -> bool:
    networks = build.host.virtual_networks if not build.by_libvirt else ()
    return build.host.link(name) is not None or name in {str(bridge_name(one)) for one in networks}


def _note_neighbours(build: TargetBuilder) -> None:
    """Neighbours that somebody fixed: frames for them go to that MAC, wherever the machine is."""
    macs = {str(address.ip): nic.mac for nic in build.site.guest_nics(build.host.name) for address in nic.addresses}
    as_found = {bridge.name for bridge in build.host.bridges.values() if bridge.from_uplink}
    for one in build.observed.neighbours:
        moves = one.dev in build.moved or one.dev in as_found  # what the uplink had goes along, and is wanted there
        if moves or not _is_ours(build, one.dev) or (one.mac and one.mac == macs.get(one.ip)):
            continue
        text = (
            f"answers for {one.ip} (proxy)"
            if one.proxy
            else f"a static neighbour entry gives {one.ip} the MAC {one.mac}"
        )
        guest = next((n.guest for n in build.site.guest_nics(build.host.name) if macs.get(one.ip) == n.mac), "")
        whose = f", which is guest {guest}'s" if guest else ""
        build.note("extra", one.dev, f"{text}{whose}, and the file does not say so{STAYS}")


def _note_proxies(build: TargetBuilder) -> None:
    """Bridges for guests alone on which the host answers for others: a guest that asks for another hears the host."""
    for bridge in build.host.bridges.values():
        if bridge.has_address or bridge.name not in build.observed.links:
            continue
        for version, key in ANSWERS.items():
            on = [link for link in (bridge.name, "all") if build.observed.sysctls.get(conf(version, link, key)) == "1"]
            routes = build.observed.sysctls.get(FORWARDING[version]) == "1"
            if on and routes and version == 4:  # proxy_ndp answers for the neighbours above alone
                text = f"with '{key}' the host answers there for every address that it routes elsewhere, "
                build.note("extra", bridge.name, f"{text}and the file does not say so{STAYS}")


def _note_ways(build: TargetBuilder) -> None:
    """Routes of the kernel's own that somebody took away, and those within a network that the file leads elsewhere."""
    for said in build.host.links():
        link, there = build.links.get(said.name), build.observed.links.get(said.name)
        if link is None or there is None:
            continue
        declared = {str(ip) for ip in said.addresses}
        others = {route.dst for route in build.observed.routes if route.dev == said.name}  # as good for neighbours
        for way in (one for one in there.facts.unrouted if one not in others):
            build.note("extra", said.name, f"the kernel's own route {way} was removed, and without it {_lost(way)}")
        for ip in there.facts.deprecated:
            if ip in declared:
                build.note(
                    "extra", said.name, f"{ip} is deprecated, so the host opens no new connections from it{STAYS}"
                )
    _note_holes(build, build.observed)


def _lost(way: str) -> str:
    if way.startswith("local "):
        return f"the host accepts no packets for that address: remove it and add it again{STAYS}"
    return f"that subnet is not on-link: remove the address and add it again{STAYS}"


def _note_holes(build: TargetBuilder, state: HostState) -> None:
    declared = [route for link in build.host.links() for route in link.routes if route.to.prefixlen]
    same = {str(route.to) for route in declared} | {str(route.to) for route in build.host.routes}
    for route in state.routes:
        if route.protocol in BY_ITSELF or route.dst in same:
            continue
        net = ip_network(route.dst)
        into = next((r.to for r in declared if is_within(net, r.to)), None)
        if into is not None and (route.kind != "unicast" or not _is_ours(build, route.dev)):
            way = route.kind if route.kind != "unicast" else f"by {route.dev}"
            subject = IfName(route.dev) or IfName("route")
            build.note(
                "extra", subject, f"{route.dst} goes {way}, within {into} of the file, which does not say so{STAYS}"
            )
