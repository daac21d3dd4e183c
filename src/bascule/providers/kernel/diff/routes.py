"""How routes and policy rules change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_interface

from msgspec.structs import replace

from bascule.model.state import Address, FixedNeighbour, HostState, Link, Route, RouteFacts, RoutingRule
from bascule.model.values import IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.providers.kernel.diff.addresses import DEFAULT_METRIC

MAIN = ("lookup", "main")


def route_steps(
    before: HostState,
    after: HostState,
    lost: Collection[IfName],
    *,
    lowered: Collection[IfName] = (),
    reset: Collection[IfName] = (),
) -> Iterator[Step]:
    """Routes that are new or were lost with their link, then routes that are no more.

    ``lowered`` links are set down on the way, and the kernel drops their routes: those that go must go before.
    ``reset`` are links whose addresses are set anew: with the last of them the kernel drops every route of the link,
    so old ones go before and the others are set again.
    """
    before_routes, after_routes = (sorted(x.routes, key=lambda route: route.facts.place) for x in (before, after))
    kept = set(before.routes)
    wanted = set(after.routes)
    taken = {route.slot for route in after.routes}
    held = {route.slot for route in after.routes if route in kept and route.dev not in {*lost, *reset}}
    slots = {route.slot: route for route in reversed(before_routes)}  # the first is the one that counts
    new = {route.slot: route for route in reversed(after.routes) if route not in kept}
    first = {route.slot: route for route in reversed(after_routes)}
    crowded = {slot for slot, count in Counter(r.slot for r in after.routes if not r.is_ipv6).items() if count > 1}
    hidden = _leads_to_main(before.lost_rules) and not _leads_to_main(before.rules)
    ways = {(r.dst, r.table, r.gateway, dev): r for r in reversed([*new.values()]) if r.gateway for dev in ("", r.dev)}
    # a gateway must be on the link: by a connected route that a manager wrote itself, if the address brings none
    for route in sorted(after_routes, key=lambda route: bool(route.gateway or route.nexthops)):
        if route not in kept or route.dev in lost or route.dev in reset:
            old = slots.get(route.slot)
            instead = f" (instead of {_way(old)})" if old is not None and _way(old) != _way(route) else ""
            verb = "replace"
            if route.slot in crowded:  # NetworkManager has one of each address, in one place (NLM_F_APPEND)
                verb = "append" if route != first[route.slot] else "prepend" if route.slot in held else "replace"
            yield step(
                Phase.ROUTE,
                _subject(route),
                f"route {_route_name(route)}{instead}",
                *_setting(route, verb, hidden=hidden),
                risk=Risk.CHANGES if old is not None else Risk.ADDITION,
                about="routes",
            )
    for route in before.routes:
        slot = route.slot
        goes_by_itself = route.dev in lost or (slot in taken and slot not in held and slots[slot] == route)
        if route not in wanted and not goes_by_itself:
            link = after.links.get(IfName(route.dev)) if route.dev else None
            way = (route.dst, route.table, route.gateway)
            above = ways.get((*way, link.master)) if link is not None and link.master else None
            successor = new.get(slot) or above or ways.get((*way, ""))
            yield step(
                _when_old(route, lowered, reset),
                _subject(route),
                f"remove route {_route_name(route)}",
                ip("route", "del", *(_by_object(route) or _route_words(route))),
                risk=Risk.CHANGES,
                about="routes",
                undeclared=True,
                reason=f"the route {_route_name(successor)} takes its place" if successor is not None else "",
            )


def first_again(before: HostState, after: HostState) -> Iterator[Step]:
    """The kernel's routes to subnets that two links are in, where that of the link which takes an address leads.

    It puts the route of a new address behind the others, and goes by the first one (fib_table_insert). To an IPv6
    prefix none can be put before another one, so the others are set again behind it.
    """
    led = {link.name: _subnets(link) for link in after.links.values() if link.up}  # one that is down has no route
    behind = {subnet for name, subnets in led.items() for subnet in after.links[name].facts.behind if subnet in subnets}
    for name, link in after.links.items() if behind else ():
        if name not in led:
            continue
        had = {address.ip for address in before.links[name].addresses} if name in before.links else set()
        seen: set[str] = set()
        for address in link.addresses:
            subnet = str(ip_interface(address.ip).network)
            plain = subnet in behind and not address.peer and "noprefixroute" not in address.flags
            if not plain or subnet in seen:
                continue  # an address that is not the first of its subnet makes no route
            seen.add(subnet)
            if address.ip in had or subnet in link.facts.behind:
                continue
            action = f"route {subnet} dev {name} before that of other links"
            commands = [*_others_behind(subnet, after)] if ":" in subnet else [*_before_others(subnet, name, address)]
            if commands:
                yield step(Phase.ROUTE, name, action, *commands, risk=Risk.CHANGES, about="routes")


def _before_others(subnet: str, name: str, address: Address) -> Iterator[Command]:
    words = [subnet, "dev", name, "proto", "kernel", "scope", "link", "src", address.local]
    words += ["metric", str(address.metric)] if address.metric else []
    yield from (ip("route", verb, *words) for verb in ("del", "prepend"))


def _others_behind(subnet: str, after: HostState) -> Iterator[Command]:
    """Those that a router advertises are left: the kernel would not know them again."""
    for link in after.links.values():
        own = [one for one in link.addresses if str(ip_interface(one.ip).network) == subnet]
        if subnet not in link.facts.behind or not own or not link.up or any(one.dynamic for one in own):
            continue
        for metric in sorted({one.metric or DEFAULT_METRIC for one in own if "noprefixroute" not in one.flags}):
            words = (subnet, "dev", link.name, "proto", "kernel", "metric", str(metric))
            yield from (Command("ip -6", ("route", verb, *words)) for verb in ("del", "append"))


def _subnets(link: Link) -> set[str]:
    return {str(ip_interface(address.ip).network) for address in link.addresses}


def _when_old(route: Route, lowered: Collection[IfName], reset: Collection[IfName]) -> Phase:
    if route.dev in lowered:
        return Phase.FREE_ROUTE
    return Phase.SETTINGS if route.dev in reset else Phase.OLD_ROUTE


def _subject(route: Route) -> str:
    """The link that it leads to, the first one of several; where it ends here, where it leads."""
    if route.kind != "unicast" and route.dev in {"", "lo"}:
        return route.destination
    return next((dev for _, dev in route.hops if dev), route.destination)


def _route_name(route: Route) -> str:
    return f"{route.destination} {_way(route)}{f' in table {route.table}' if route.table != 'main' else ''}"


def _way(route: Route) -> str:
    return " ".join(
        [
            *([route.kind] if route.kind != "unicast" else []),
            *(["via", route.gateway] if route.gateway else []),
            *(["dev", route.dev] if route.dev else []),
            *route.nexthops,
        ]
    )


def _route_words(route: Route) -> list[str]:
    words = [route.kind, route.dst] if route.kind != "unicast" else [route.dst]
    family = _family(route, route.gateway)
    for key, value in (
        (f"via {family}" if family else "via", route.gateway),
        ("dev", route.dev),
        ("src", route.prefsrc),
        ("metric", str(route.metric or "")),
        ("table", route.table if route.table != "main" else ""),
        ("proto", route.protocol if route.protocol != "boot" else ""),
        ("scope", route.scope if route.scope != "global" and not route.is_ipv6 else ""),
    ):
        words += [*key.split(), value] if value else []
    words += [*route.flags, *route.extra]
    if route.lifetime.valid_s is not None:
        words += ["expires", str(route.lifetime.valid_s)]
    return words + [word for hop in route.nexthops for word in _hop_words(route, hop.split())]


def _leads_to_main(rules: Sequence[RoutingRule]) -> bool:
    return any(rule.words[:4] == ("from", "all", *MAIN) and not rule.ipv6 for rule in rules)


def _setting(route: Route, verb: str, *, hidden: bool) -> Iterator[Command]:
    """As it leads, and then by its next-hop object, if that is still there: it goes with its link.

    Where no policy rule leads to table main that is ``hidden``, and the kernel, which looks for a gateway as a packet
    would, does not find it (fib_check_nh_v4_gw in Linux): the kernel's own rule stands for that moment.
    """
    asks = hidden and not route.is_ipv6 and bool(route.gateway or route.nexthops)
    rule = ("priority", "32766", "from", "all", *MAIN)
    if asks:
        yield ip("rule", "add", *rule)
    yield ip("route", verb, *_route_words(route))
    if asks:
        yield ip("rule", "del", *rule)
    if words := _by_object(route):
        yield ip("route", verb, *words)


def _by_object(route: Route) -> list[str]:
    """The same route by the next-hop object that it uses; empty for one that uses none (fib_nh_match in Linux)."""
    if not route.facts.nexthop_id:
        return []
    bare = replace(route, gateway="", dev="", nexthops=(), flags=(), facts=RouteFacts())
    dst, *rest = _route_words(bare)
    return [dst, "nhid", str(route.facts.nexthop_id), *rest]


def _hop_words(route: Route, words: list[str]) -> list[str]:
    family = _family(route, words[words.index("via") + 1]) if "via" in words else ""
    return [said for word in words for said in ((word, family) if word == "via" and family else (word,))]


def _family(route: Route, gateway: str) -> str:
    """The word before a gateway of the other IP version: an IPv4 route may lead by an IPv6 neighbour (RFC 5549)."""
    return "inet6" if ":" in gateway and not route.is_ipv6 else ""


def rule_steps(before: HostState, after: HostState) -> Iterator[Step]:
    """Rules that are new, then rules that are no more."""
    come = [*_without(after.rules, before.rules), *_without(before.lost_rules, after.lost_rules)]
    go = [*_without(before.rules, after.rules), *_without(after.lost_rules, before.lost_rules)]
    yield from (_rule("add", rule) for rule in come)
    yield from (_rule("del", rule) for rule in go)


def _without(rules: Sequence[RoutingRule], others: Collection[RoutingRule]) -> list[RoutingRule]:
    return [rule for rule in rules if rule not in others]


def neighbour_steps(before: HostState, after: HostState, lost: Collection[IfName]) -> Iterator[Step]:
    """Permanent neighbours that are new or went with their link, then those that are no more.

    These must go first: with the last IPv4 address of a link the kernel forgets all of them (arp_ifdown).
    """
    for one in after.neighbours:
        if one not in before.neighbours or one.dev in lost:
            yield _neighbour("replace", f"neighbour {one.ip}", one, Phase.ADDRESS)
    for one in before.neighbours:
        if one not in after.neighbours and one.dev not in lost:
            yield _neighbour("del", f"remove neighbour {one.ip}", one, Phase.DETACH)


def _neighbour(verb: str, action: str, one: FixedNeighbour, phase: Phase) -> Step:
    proxy = ("proxy",) if one.proxy else ()
    words = (*proxy, one.ip, "dev", one.dev) if verb == "del" else one.words
    at = f"at {one.mac}" if one.mac else "for whom it answers" if one.proxy else "that it looks for again and again"
    return step(phase, one.dev, f"{action} {at}", ip("neigh", verb, *words), risk=Risk.CHANGES, about="neighbours")


def _rule(verb: str, rule: RoutingRule) -> Step:
    words = ("rule", verb, "priority", str(rule.priority), *rule.words)
    action = f"{'' if verb == 'add' else 'remove rule '}{' '.join(rule.words)}"
    command = Command("ip -6" if rule.ipv6 else "ip", words)
    return step(Phase.RULE, rule.name, action, command, risk=Risk.CHANGES, about="rules")
