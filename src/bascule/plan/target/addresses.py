"""The host's own addresses and routes in the wanted state: declared, and moving between a NIC and its bridge."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_interface

from msgspec.structs import replace

from bascule.errors import BasculeError, Problem
from bascule.model.host_links import HostLink, Ipv6, StaticRoute, table_name
from bascule.model.kernel_parameters import conf, takes_token
from bascule.model.same_subnet import links_of_one_subnet
from bascule.model.site import Host
from bascule.model.state import (
    BY_SECRET,
    DEFAULT_DST,
    OWN_PROTOCOL,
    ROUTING_DAEMONS,
    Address,
    HostState,
    Link,
    Route,
    RoutingRule,
)
from bascule.model.values import IfName, IpAddress, is_onlink, link_local
from bascule.model.volatile import FOREVER
from bascule.plan.address_migration import address_successor, bare, inherit, moved_parameters, moved_routes
from bascule.plan.change import Note
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.target.ipv6 import drop_unused, hear_routers, lay_ipv6

PROTOCOL = OWN_PROTOCOL
OWN_RULE = ("protocol", PROTOCOL)  # the last words of the rules that Bascule makes
BY_ITSELF = {"kernel", "ra", "dhcp", "redirect", PROTOCOL} | ROUTING_DAEMONS  # protocols of routes
PRIORITY6 = 1024  # the metric of an IPv6 route without one (IP6_RT_PRIO_USER of linux/ipv6_route.h)


def usual_metric(version: int) -> int:
    """The metric that the kernel gives to a route without one."""
    return PRIORITY6 if version == 6 else 0


def lay_own_addresses(build: TargetBuilder, said: HostLink) -> None:
    """What the host says on a NIC, bond or VLAN link; one that is a port says nothing."""
    if build.host.is_enslaved(said.name):
        return
    _refuse_port_of_others(build, said)
    link = build.links[said.name]
    ours = build.made(link)
    build.set(said.name, arp=link.arp or ours, multicast=link.multicast or ours)
    add_addresses(build, said)
    lay_ipv6(build, said)
    if said.dhcp:
        wait_for_dhcp(build, said.name)


def _refuse_port_of_others(build: TargetBuilder, said: HostLink) -> None:
    """What a port hears goes to its bridge: the host is not reached at an address of the port's own."""
    link = build.links[said.name]
    bridge = foreign_bridge(build.host, build.observed, said.name) if link.master is not None else None
    have = {address.ip for address in link.addresses}
    new = [str(ip) for ip in said.addresses if str(ip) not in have]
    if bridge is not None and new:
        what = f"{said.name} is a port of {bridge.name}, which the file does not name: nobody would reach the host at"
        hint = f"name {bridge.name} under 'bridges' with 'uplink: {said.name}' and the address, or take the port out"
        raise BasculeError(
            Problem(code="PORT-OF-OTHERS", message=f"{what} {', '.join(new)} there", place=said.place, hint=hint)
        )


def lay_links_of_one_subnet(build: TargetBuilder) -> None:
    """Two links with an address in one subnet answer ARP for their own alone, or the last asker's answer wins."""
    for pair in links_of_one_subnet(build.site, build.host):
        build.notes.append(Note(kind="warning", subject=pair.second.name, text=pair.words))
        if pair.subnet.version == 6:  # a neighbour solicitation is answered by the link that has the address
            continue
        for link in (pair.first, pair.second):
            if not (build.host.as_found and link.name in build.observed.links):
                build.sysctls[conf(4, link.name, "arp_ignore")] = "1"
                build.sysctls[conf(4, link.name, "arp_announce")] = "2"


def words_of(said: HostLink) -> str:
    """The host's own addresses on a link, as the end of a sentence."""
    words = ", ".join(said.address_words)
    return f", the host's own: {words}" if words else ""


def add_addresses(build: TargetBuilder, said: HostLink) -> None:
    """The host has these addresses on the link, and its default routes and these others over it."""
    name, link = said.name, build.links[said.name]
    have = {address.ip for address in link.addresses}
    new = tuple(Address(ip=str(ip)) for ip in said.addresses if str(ip) not in have)
    other_length = {str(ip.ip) for ip in said.addresses if str(ip) not in have}  # the same address, and not one more
    rest = tuple(a for a in link.addresses if a.local not in other_length or a.dynamic or a.peer)
    build.links[name] = replace(link, addresses=tuple(_lasting(build, said, a) for a in rest) + new)
    drop_unused(build, said)
    for gateway in said.gateways:
        _default_route(build, said, gateway)
    for route in said.routes:
        _static_route(build, name, route)


def _lasting(build: TargetBuilder, said: HostLink, address: Address) -> Address:
    """An address that the file writes down has no end; one that an advertisement renews has one again soon."""
    by_lease = said.ipv6 not in {Ipv6.OFF, Ipv6.MANUAL} if address.is_ipv6 else said.dhcp
    if not address.dynamic or by_lease or build.host.as_found or address.ip not in map(str, said.addresses):
        return address
    return replace(address, dynamic=False, lifetime=FOREVER)


def _default_route(build: TargetBuilder, said: HostLink, gateway: IpAddress) -> None:
    dst, name = DEFAULT_DST[gateway.version], said.name
    own = [r for r in build.observed.routes if r.is_ours]
    found = (*build.routes, *own)  # those of others may have moved here from a NIC, whatever metric they have
    rivals = [r for r in found if r.dst == dst and r.table == "main" and r.kind == "unicast"]
    fitting = [r for r in rivals if r.dev == name and r.gateway == str(gateway)]
    fitting = [r for r in fitting if said.metric in {None, r.metric}]
    if fitting:
        build.routes += [r for r in fitting if r not in build.routes]
        return
    metric = said.metric or usual_metric(gateway.version)
    flags = ("onlink",) if said.onlink else _flags(build, name, gateway)
    for rival in rivals:
        is_same = (rival.dev, rival.gateway) == (name, str(gateway)) and rival.protocol not in BY_ITSELF
        if rival.metric == metric or is_same:  # the same route with another metric goes: it may come before this one
            build.routes = [r for r in build.routes if r != rival]
            if rival.protocol == "ra" and rival.dev not in {name, ""}:
                text = f"the next router advertisement on {rival.dev} sets its default route again, beside the one via"
                build.note("warning", rival.dev, f"{text} {gateway} on {name} (metric {metric}): either may be used")
        elif not rival.is_ours and said.metric is None:
            first = f"the one via {gateway} on {name} (metric {metric})"
            other = f"the default route{f' via {rival.gateway}' if rival.gateway else ''} (metric {rival.metric})"
            used = f"{first} is used first" if metric < rival.metric else f"it is used before {first}"
            build.rivals.append((rival, f"{other} stays; {used}"))
    build.routes.append(Route(dst=dst, dev=name, gateway=str(gateway), metric=metric, protocol=PROTOCOL, flags=flags))


def _flags(build: TargetBuilder, name: IfName, router: IpAddress) -> tuple[str, ...]:
    """Without ``onlink`` the kernel refuses a router outside of every prefix of the link."""
    return ("onlink",) if is_onlink(router, (ip_interface(a.ip) for a in build.links[name].addresses)) else ()


def _static_route(build: TargetBuilder, name: IfName, route: StaticRoute) -> None:
    """A network behind another router or on the link; whoever made a route that is there already, it is the same."""
    wanted = Route(
        dst=str(route.to),
        dev=name,
        gateway=str(route.via or ""),
        table=table_name(route.table),
        metric=route.metric or usual_metric(route.to.version),
        prefsrc=str(route.src or ""),
        protocol=PROTOCOL,
        scope="link" if route.via is None and route.to.version == 4 else "global",
        flags=("onlink",) if route.onlink else _flags(build, name, route.via) if route.via is not None else (),
    )
    _lay_route(build, wanted, [r for r in build.observed.routes if _same(r, wanted, route)])


def _lay_route(build: TargetBuilder, wanted: Route, there: list[Route]) -> None:
    """A route that the file names, if it is not ``there``; of what Bascule made it stays that way."""
    if not there:  # the kernel has one route in a place, whoever made it: this one stands in that of another
        build.routes = [r for r in build.routes if r.slot != wanted.slot]
    build.routes += [r for r in there if r.is_ours and r not in build.routes] if there else [wanted]


def lay_host_routes(build: TargetBuilder) -> None:
    """Routes that stand on no single link: those that lead nowhere, and those by several routers."""
    for said in build.host.routes:
        hops = []
        for hop in build.host.ways(said):
            flags = ("onlink",) if hop.onlink else _flags(build, hop.link, hop.router)
            hops.append(" ".join((*hop.words, *flags)))
        wanted = Route(
            dst=str(said.to),
            dev="lo" if said.to.version == 6 and not hops else "",  # where the kernel shows it
            kind=said.type,
            nexthops=tuple(hops),
            table=table_name(said.table),
            metric=said.metric or usual_metric(said.to.version),
            protocol=PROTOCOL,
        )
        if not hops:
            build.because(wanted.destination, "it is declared", said.place)
        _lay_route(build, wanted, [r for r in build.observed.routes if _is_same_way(r, wanted)])


def _is_same_way(one: Route, wanted: Route) -> bool:
    """Whether a route ends as another one does, or divides connections among the same routers."""
    ways = [sorted(sorted(set(hop.split()) - {"onlink"}) for hop in route.nexthops) for route in (one, wanted)]
    return (one.slot, one.kind, one.dev, ways[0]) == (wanted.slot, wanted.kind, wanted.dev, ways[1])


def _same(one: Route, wanted: Route, said: StaticRoute) -> bool:
    """Whether a route leads where one shall lead that the file names.

    Its source address and its metric count where they are named: NetworkManager gives a metric to one without.
    """
    what = (one.dst, one.dev, one.gateway, one.table, one.kind)
    known = (wanted.dst, wanted.dev, wanted.gateway, wanted.table, "unicast")
    return what == known and said.metric in {None, one.metric} and (said.src is None or one.prefsrc == wanted.prefsrc)


def policy_rules(build: TargetBuilder, there: Iterable[RoutingRule]) -> tuple[RoutingRule, ...]:
    """The host's rules: those of others, and those that the file names; whoever made one, it is the same.

    What a manager has set by our files beside a rule of ours goes with that.
    """
    known = tuple(there)
    ours = {rule for rule in known if rule.words[-2:] == OWN_RULE}
    others = tuple(rule for rule in known if rule not in ours)
    named = []
    for rule in build.host.rules:
        words = ["not"] if rule.inverted else []
        words += ["from", _short(rule.source or "all"), *(("to", _short(rule.to)) if rule.to is not None else ())]
        words += [word for pair in rule.selectors for word in pair]
        words += ["lookup", table_name(rule.table)] if rule.table is not None else []
        if rule.suppress_prefixlength is not None:
            words += ["suppress_prefixlength", str(rule.suppress_prefixlength)]
        words += [rule.action] if rule.action else []
        wanted = RoutingRule(priority=rule.priority, words=tuple(words), ipv6=rule.ipv6)
        build.because(wanted.name, "it is declared", rule.place)
        own = replace(wanted, words=(*wanted.words, *OWN_RULE))
        named.append(wanted if wanted in others and own not in ours else own)
    copies = set(map(bare, ours)) - set(map(bare, named))
    others = tuple(rule for rule in others if rule not in copies)
    return (*others, *(rule for rule in named if rule not in others))


def _short(value: object) -> str:
    """A prefix as ip-rule(8) prints it: a single address has no length."""
    text = str(value)
    return text.removesuffix("/128" if ":" in text else "/32")


def wait_for_dhcp(build: TargetBuilder, name: IfName) -> None:
    """Say that an address is still to come, where none has."""
    if not any(address.is_leased for address in build.links[name].addresses):
        text = "its address comes by DHCP from the host's own client; Bascule asks for none itself"
        build.note("waiting", name, text)


def take_over(build: TargetBuilder, bridge: IfName, uplink: Link) -> None:
    """The host's own addresses move from the NIC to the bridge, with its routes, leases and how it hears routers.

    Link-local addresses stay behind, unless the kernel did not make them: NetworkManager makes its own, and people set
    some by hand. So do those that a program gives now to this machine and now to another one.
    """
    if uplink.master == bridge:
        return  # they have moved already
    link = build.links[bridge]
    there = {address.ip for address in link.addresses}
    own = f"{link_local(uplink.mac)}/64" if uplink.addrgenmode == "eui64" and uplink.mac is not None else ""
    is_kept = {a.ip for a in uplink.addresses if a.is_link_local and uplink.addrgenmode != "none" and own in {"", a.ip}}
    is_kept |= {a.ip for a in uplink.addresses if a.lifetime.kept_by}
    moved = tuple(a for a in uplink.addresses if a.ip not in there | is_kept)
    build.links[bridge] = replace(link, addresses=link.addresses + moved, addrgenmode=uplink.addrgenmode)
    build.routes = moved_routes(build.routes, uplink.name, bridge)
    carry(build, uplink, bridge)


def foreign_bridge(host: Host, observed: HostState, nic: str) -> Link | None:
    """The bridge of others, which the file does not name, that a NIC is a port of: the host may speak on it."""
    bridge = observed.bridge_of(IfName(nic))
    return None if bridge is None or bridge.is_ours or host.link(bridge.name) is not None else bridge


def hand_over_advertised(build: TargetBuilder, bridge: IfName, uplink: Link) -> None:
    """What routers and DHCPv6 gave to the NIC moves to a bridge whose own addresses the file names.

    It hears the same routers, and would have the same addresses in a minute; until then the host had no IPv6.
    """
    link, there = build.links[bridge], {address.ip for address in build.links[bridge].addresses}
    moved = tuple(a for a in uplink.addresses if a.dynamic and a.is_ipv6 and a.ip not in there)
    build.links[bridge] = replace(link, addresses=link.addresses + moved)
    advertised = [route for route in build.routes if route.dev == uplink.name and route.protocol == "ra"]
    rest = [route for route in build.routes if route not in advertised]
    build.routes = [*rest, *moved_routes(advertised, uplink.name, bridge)]
    carry(build, uplink, bridge)


def carry(build: TargetBuilder, uplink: Link, bridge: IfName) -> None:
    """What else knows the NIC as the one on which the host speaks moves with its addresses."""
    build.sysctls |= moved_parameters(build.observed, uplink.name, bridge, build.sysctls)
    came = {old: bridge for old, new in build.moved.items() if new == uplink.name}  # of a bridge that goes
    build.moved |= {**came, uplink.name: bridge}
    link = build.links[bridge]
    behind = (*link.facts.behind, *uplink.facts.behind)  # its routes give way as before
    token = uplink.facts.token if takes_token(bridge, build.sysctls) else ""
    facts = replace(link.facts, behind=behind, token=token or link.facts.token)
    build.links[bridge] = replace(link, facts=facts)
    if uplink.addrgenmode in BY_SECRET:
        build.set(bridge, addrgenmode=uplink.addrgenmode)
    if uplink.addrgenmode in BY_SECRET and uplink.facts.permanent_mac is not None:
        text = f"the kernel makes its stable IPv6 addresses from the secret and the card's own MAC, and {bridge} has no"
        text += " card: what moves stays until its lifetime ends, then the next advertisement brings another one"
        build.note("warning", uplink.name, text)


def refuse_scopes(build: TargetBuilder) -> None:
    """Raise a problem for each address beside one of its subnet with another scope (__inet_insert_ifa in Linux)."""
    problems = []
    for said in build.host.links():
        link, first = build.links.get(said.name), dict[str, Address]()
        for one in link.addresses if link is not None else ():
            if one.is_ipv6 or one.peer:
                continue
            there = first.setdefault(str(ip_interface(one.ip).network), one)
            if there.scope == one.scope:
                continue
            other, own = sorted((there, one), key=lambda address: address.scope == "global")
            text = f"{said.name} cannot have {own.ip} beside {other.ip}, which is of scope {other.scope}"
            hint = (
                "Linux gives a link addresses of one scope in a subnet: delete that address and add it without a scope"
            )
            problems.append(Problem(code="ADDRESS-SCOPE", message=text, place=said.place, hint=hint))
    if problems:
        raise BasculeError(*problems)


def tell_moved(build: TargetBuilder) -> None:
    """What moves with the host's addresses, and what of them cannot."""
    for old, new in build.moved.items():
        _tell_carried(build, old, new)
        before = build.observed.links.get(IfName(old))
        if before is None:
            continue  # it is made by this change, and nothing was on it
        for address in before.addresses:
            if (keeper := address.lifetime.kept_by) and address not in build.links[new].addresses:
                text = f"{address.ip} is not moved: {keeper} gives it to this machine or to another one"
                build.note("warning", old, f"{text}; let it use {new}")
        if before.facts.temporaries:
            text = f"its temporary IPv6 addresses end, and the kernel makes new ones on {new}"
            build.note("warning", old, f"{text}: a connection that uses one of them breaks")


def _tell_carried(build: TargetBuilder, old: str, new: str) -> None:
    """What of it the files keep, whoever writes them says."""
    names = [f"rule {rule.priority} ({' '.join(rule.words)})" for rule in build.observed.rules if old in rule.words]
    token = build.links[IfName(new)].facts.token
    names += [f"token {token} (which no file of its says for the next boot)"] if token else []
    names += [f"neighbour {one.ip}" for one in build.observed.neighbours if one.dev == old]
    if names:
        text = f"{', '.join(names)}: move to {new}"
        build.note("along", old, text)


def give_back(build: TargetBuilder) -> None:
    """The host's own addresses go back to the NIC when the bridge that had taken them goes.

    So does what else knows it as the link on which the host speaks, where the file names its address on the NIC.
    """
    for name, bridge in build.observed.links.items():
        added = build.earlier.added.get(name, frozenset())
        if name in build.links:
            continue
        nic = address_successor(bridge, build.observed, added, build.earlier.ports)
        if nic is None:
            if (port := _named_instead(build, bridge)) is not None:
                build.moved[name] = port
            continue
        build.links[nic.name] = inherit(build.links[nic.name], bridge, added)
        build.routes = moved_routes(build.routes, name, nic.name)
        if any(address.dynamic and address.is_ipv6 for address in bridge.addresses):
            hear_routers(build, nic.name)
        build.sysctls |= moved_parameters(build.observed, name, nic.name, build.observed.sysctls)
        build.moved[name] = nic.name
        build.reasons[nic.name] = f"{nic.name} gets its addresses back from {name}, which is not in the file any more"


def _named_instead(build: TargetBuilder, bridge: Link) -> IfName | None:
    """The port on which the file names an address that a bridge of ours had."""
    had = {address.ip for address in bridge.addresses}
    for port in build.observed.ports(bridge.name):
        said = build.host.link(port.name)
        if said is not None and had.intersection(map(str, build.host.effective(said).addresses)):
            return port.name
    return None
