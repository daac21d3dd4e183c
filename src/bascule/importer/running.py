"""The kernel's state as a configuration, and what of it is somebody else's or has no words in a site file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from ipaddress import ip_interface

from msgspec import Struct
from msgspec.structs import replace

from bascule.importer.words import all_of, few, host_words
from bascule.model.host_links import HostRoute
from bascule.model.links import Bond, Bridge, BridgePort, Loopback, Other, Physical, Tap, Veth, Vlan
from bascule.model.state import ROUTING_DAEMONS, HostState, Link, Route
from bascule.model.values import IfName, patch_name
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.host_routes import kernel_host_route
from bascule.persist.formats.rules import kernel_rule
from bascule.persist.running import is_written, link_config, routes_by_link, table_of
from bascule.topology.foreign_links import is_bridge_of_program, is_end_of_guest
from bascule.topology.layer2 import patched

FALLBACK = {"gre0", "gretap0", "erspan0", "tunl0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"}
LAST_VLAN = 4094


class RunningConfig(Struct, frozen=True, kw_only=True):
    """A state as a configuration.

    ``notes`` are things of the host that a site file has no words for, ``others`` what comes by itself or with
    guests and programs, and goes with them. ``patches`` are the cables between bridges as the site file says them.
    """

    config: NetworkConfig
    patches: Mapping[str, list[dict[str, str]]]
    notes: tuple[str, ...]
    others: tuple[str, ...]


def _with_cost(said: LinkConfig, link: Link) -> LinkConfig:
    """With the cost of a port that somebody set: one that the kernel takes from no speed (port_cost of br_if.c)."""
    if said.master is None or link.port is None or link.port.cost in {None, 1, 2, 3, 4, 5, 19, 100}:
        return said
    return replace(said, port=replace(said.port or BridgePort(), cost=link.port.cost))


def running_config(state: HostState, taken: Collection[str] = ()) -> RunningConfig:
    """What the kernel has. ``taken`` are links that other programs are known to make."""
    links: dict[IfName, LinkConfig] = {}
    notes: list[str] = []
    passed: list[Link] = []
    theirs: list[str] = []  # of the links that are known to be made by others
    routes = routes_by_link(state)
    patches = _Patches(state)
    is_hardware = any(_is_hardware(link) for link in state.links.values())
    for name, link in state.links.items():
        said = link_config(link, state, routes)
        if name in patches.ends:
            continue
        reason = _left_out(link, state, taken, is_hardware=is_hardware)
        if reason is None:
            links[name] = _with_cost(said, link)
            notes += [f"{name}: {words}" for words in _beside(link)]
        elif isinstance(link.options, Loopback):
            notes += _on_loopback(link)
        elif reason or said.addresses or said.routes:
            own = _host_config(link, state, routes)
            told = "; ".join([*_of_its_own(link), *all_of(replace(own, mac=None)), *_vlan_words(link)])
            reason = reason or "left to whoever made it"
            words = f"{name}: {reason}{': ' if told else ''}{told}"
            theirs.append(words) if name in taken else notes.append(words)
        elif not link.options.is_link:
            notes.append(f"{name}: {link.options.noun} to {link.parent}: it stays as it is; its other end is not seen")
        elif not _is_idle(link):
            passed.append(link)
    notes += _of_others(links, state, routes)
    notes += _mirrors(links, state)
    notes += _other_ways_out(links, state)
    rules = []
    for rule in state.rules:
        try:
            rules.append(kernel_rule(rule))
        except ValueError as wrong:
            family = "IPv6 " if rule.ipv6 else ""
            notes.append(f"{family}rule {rule.priority}: {' '.join(rule.words)}: {wrong}")
    whole = {route: one for route in state.routes if (one := _whole_route(route, state, links)) is not None}
    return RunningConfig(
        config=NetworkConfig.of(links.values(), rules=rules, routes=whole.values()),
        patches=patches.said,
        notes=(*notes, *_route_notes(state, whole)),
        others=(*theirs, *_down(state), *_guest_ends(passed), *_leases(state), *_learned(state), *_neighbours(state)),
    )


class _Patches:
    """Cables of which at least one end is at a bridge of Open vSwitch."""

    def __init__(self, state: HostState) -> None:
        self.said: dict[str, list[dict[str, str]]] = {}
        self.ends: set[IfName] = set()
        for link in state.links.values():
            far = patched(link, state)
            if far is None or link.name in self.ends or link.master is None or far.master is None:
                continue
            if far.master == link.master:
                continue
            if state.links[link.master].options.by_kernel or not all(_is_sayable(one) for one in (link, far)):
                continue  # it is said at the other end, if at all
            self.ends |= {link.name, far.name}
            entry = {"to": str(far.master)} | ({"by": "veth"} if link.options.by_kernel else {})
            entry |= {"name": str(link.name)} if link.name != patch_name(link.master, far.master) else {}
            entry |= {"peer": str(far.name)} if far.name != patch_name(far.master, link.master) else {}
            self.said.setdefault(link.master, []).append(entry)


def _is_sayable(link: Link) -> bool:
    """Whether an end carries every VLAN, as the file has it."""
    carried = sum(one.last - one.first + 1 for one in link.vlans)
    return not is_bridge_of_program(link.master or "") and (not link.vlans or carried >= LAST_VLAN)


def _host_config(link: Link, state: HostState, routes: Mapping[str, Sequence[Route]]) -> LinkConfig:
    """A link with its addresses and routes, which a port has not, and what is in a VRF has."""
    said = link_config(link, state, routes)
    master = state.master_of(link)
    if master is None or not isinstance(master.options, Other) or master.options.info_kind != "vrf":
        return said
    return link_config(replace(link, master=None), state, routes)


def _of_its_own(link: Link) -> Iterator[str]:
    """What there is to say of a link of a kind that is not taken: where it leads, on what it sits, who is its peer."""
    kind = link.options.info_kind if isinstance(link.options, Other) else ""
    if kind in {"macvlan", "ipvlan"} and link.parent:
        yield f"on {link.parent}"
    yield from [link.facts.unread] if link.facts.unread else []
    yield from [f"MAC {link.mac}"] if kind == "macvlan" and link.mac else []
    yield from (f"peer {address.peer} of {address.ip}" for address in link.addresses if address.peer)


def _of_others(
    links: dict[IfName, LinkConfig], state: HostState, routes: Mapping[str, Sequence[Route]]
) -> Iterator[str]:
    """Tell of the ports of bridges that are left out, and leave out those that are no hardware."""
    for name, link in list(links.items()):
        master = state.master_of(state.links[name])
        if master is None or master.name in links:
            continue
        own = replace(_host_config(state.links[name], state, routes), master=None)
        if isinstance(link.options, Physical):  # the host's own hardware, whoever has put it there
            words = "; ".join(host_words(own))
            yield f"{name}: is a port of {master.name}, which another program makes{': ' if words else ''}{words}"
            links[name] = replace(link, master=None)
        else:
            yield f"{name}: left out, as is {master.name}, whose port it is: {'; '.join(all_of(own))}"
            del links[name]


def _other_ways_out(links: Mapping[IfName, LinkConfig], state: HostState) -> Iterator[str]:
    """Bridges of which the site file says that they have no uplink, though a tunnel or the like leads out of them."""
    for name, link in links.items():
        ports = state.ports(name)
        out = [port.name for port in ports if isinstance(port.options, Other) and not is_bridge_of_program(port.name)]
        if link.is_bridge and out and not any(port.name in links for port in ports):
            yield f"{name}: 'uplink: none' is not the whole truth: {', '.join(out)} leads out of it, and has no key"


def _mirrors(links: Mapping[IfName, LinkConfig], state: HostState) -> Iterator[str]:
    """Copies of frames that a switch makes: a site file names guests for them, and these are ports."""
    for name in links:
        for words in state.links[name].facts.mirrors if name in state.links else ():
            yield f"{name}: {words}: it stays as it is; name the guests under 'mirror' to keep it"


def _is_hardware(link: Link) -> bool:
    return isinstance(link.options, Physical) and link.mac is not None


def _left_out(link: Link, state: HostState, taken: Collection[str], *, is_hardware: bool) -> str | None:
    """None for a link that belongs to the host's configuration, else why it does not ("": not worth a word)."""
    if is_bridge_of_program(link.name) or link.name in taken:
        return "left out, another program makes and removes it"
    if isinstance(link.options, Bridge | Bond | Vlan):
        return None
    if isinstance(link.options, Physical):
        return None if link.mac is not None else ""  # tunnels' fallback links and the like have no MAC
    if isinstance(link.options, Veth):
        # the NIC of a host that is itself a namespace or a container
        is_cable = link.master is not None and patched(link, state) is not None
        is_nic = not is_hardware and not is_end_of_guest(link.name) and not is_cable
        return None if is_nic else ""
    if isinstance(link.options, Tap) or (link.name in FALLBACK and _is_idle(link)):
        return ""
    kind = link.options.info_kind if isinstance(link.options, Other) else link.options.kind
    return "" if kind in {"loopback", "macvtap"} else f"left out, links of kind '{kind}' are not supported"


def _is_idle(link: Link) -> bool:
    """Whether it came with a module of the kernel, and nobody uses it."""
    return link.name in FALLBACK and not link.up and not link.addresses and link.master is None


def _beside(link: Link) -> Iterator[str]:
    """What a link of the configuration has that a site file has no words for; the host keeps it."""
    if link.facts.unread:
        yield f"{link.facts.unread}; the site file does not say it"
    if isinstance(link.options, Bridge) and link.options.no_linklocal_learn:
        yield "no_linklocal_learn 1; a guard at one of its ports sets it, and the site file has no key for it"
    for address in link.addresses:
        if address.dynamic or address.is_link_local:
            continue
        words = [f"label {address.label}" if address.label else "", f"peer {address.peer}" if address.peer else ""]
        if told := " and ".join(filter(None, words)):
            yield f"{told} of {address.ip}; the site file does not say it"


def _on_loopback(link: Link) -> Iterator[str]:
    """Addresses on the loopback that are not the kernel's own."""
    own = [address.ip for address in link.addresses if not ip_interface(address.ip).is_loopback]
    if own:
        yield f"{link.name}: the host's address {', '.join(own)}; a site file does not cover the loopback"


def _vlan_words(link: Link) -> list[str]:
    """A port's VLANs on its bridge, where they are not just VLAN 1."""
    told = [
        f"VLAN {vlan.span}{' untagged' * vlan.untagged}" for vlan in link.vlans if (vlan.first, vlan.last) != (1, 1)
    ]
    return few(told, "VLANs")


def _whole_route(route: Route, state: HostState, links: Container[IfName]) -> HostRoute | None:
    """A route on no single link as a site file says it, by links that are in the file."""
    if route.protocol in ROUTING_DAEMONS or not is_written(route, state):
        return None
    said = kernel_host_route(route)
    return said if said is not None and all(hop.link in links for hop in said.hops) else None


def _route_notes(state: HostState, taken: Container[Route]) -> Iterator[str]:
    """Routes that stand on no link, and what a route says beside where it leads."""
    for route in state.routes:
        if route.protocol in ROUTING_DAEMONS or not is_written(route, state):
            continue
        words = [
            route.kind if route.kind != "unicast" else "",
            route.destination,
            f"dev {route.dev}" if route.dev else "",
        ]
        words += [f"via {route.gateway}" if route.gateway else "", *route.nexthops]
        words += [f"metric {route.metric}" if route.metric else ""]
        words += [f"table {route.table}" if route.table != "main" else "", *route.extra]
        said = " ".join(filter(None, words))
        if route not in taken and (route.kind != "unicast" or route.nexthops or table_of(route) is None):
            yield f"route {said}: left out, a site file has no key for it"
        elif route.extra:
            yield f"route {said}: without its {' '.join(route.extra)}, which a site file does not cover"


def _down(state: HostState) -> Iterator[str]:
    """Hardware that is down and without a use, which is known by its MAC alone."""
    idle = [link for link in state.links.values() if _is_hardware(link) and not link.up and link.master is None]
    if idle:
        yield f"down: {', '.join(few((f'{link.name} ({link.hardware_mac})' for link in idle), 'NICs'))}"


def _guest_ends(links: Sequence[Link]) -> Iterator[str]:
    """The ends of guests' and containers' NICs, bridge by bridge."""
    found: dict[str, list[str]] = {}
    for link in links:
        vlans = _vlan_words(link)
        found.setdefault(link.master or "", []).append(f"{link.name} ({', '.join(vlans)})" if vlans else link.name)
    for master, names in found.items():
        yield f"{f'on {master}: ' if master else 'on no bridge: '}{', '.join(few(names, 'links'))}"


def _leases(state: HostState) -> Iterator[str]:
    """What a lease, a router's advertisement or a program brought: it comes again by itself."""
    found: dict[str, list[str]] = {}
    for link in state.links.values():
        for address in link.addresses:
            if address.dynamic and not address.is_link_local:
                found.setdefault(link.name, []).append(address.ip)
            if address.lifetime.kept_by:
                yield f"{address.ip} on {link.name}, which {address.lifetime.kept_by} gives to it"
    for route in state.routes:
        if route.protocol in {"dhcp", "ra"} and route.gateway and route.dev:
            dst = "the default gateway" if route.is_default else f"the route to {route.dst} via"
            found.setdefault(route.dev, []).append(f"{dst} {route.gateway}")
    for name, words in found.items():
        yield f"leased or advertised on {name}: {', '.join(few(dict.fromkeys(words), 'of them'))}"


def _neighbours(state: HostState) -> Iterator[str]:
    """Neighbours that somebody has set, those of hosts behind a VXLAN among them only by number."""
    set_by_hand = [one for one in state.neighbours if "extern_learn" not in one.flags]
    if set_by_hand:
        yield f"static neighbour entries: {'; '.join(few((' '.join(one.words) for one in set_by_hand), 'neighbours'))}"
    learned = len(state.neighbours) - len(set_by_hand)
    if learned:
        yield f"{learned} neighbour entries that another program has learned for the kernel (EVPN)"


def _learned(state: HostState) -> Iterator[str]:
    """Routes that a routing daemon has learned."""
    counted: Mapping[str, int] = Counter(r.protocol for r in state.routes if r.protocol in ROUTING_DAEMONS)
    for protocol, number in counted.items():
        yield f"{number} {'route' if number == 1 else 'routes'} of protocol {protocol}"
