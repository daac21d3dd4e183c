"""The kernel's network state, read through iproute2's JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from types import MappingProxyType
from typing import Any

from msgspec.json import decode
from msgspec.structs import replace

from bascule.errors import CommandFailed
from bascule.model.kernel_parameters import FORWARDING, secret_key
from bascule.model.links import BridgePort, LinkOptions, Other, read_kind
from bascule.model.route_tables import numbers, table_names
from bascule.model.state import (
    BY_SECRET,
    DEFAULT_DST,
    Address,
    FixedNeighbour,
    HostState,
    Link,
    LinkFacts,
    PortVlans,
)
from bascule.model.values import IfName, Mac
from bascule.model.volatile import Lifetime
from bascule.providers.kernel.routes import (
    TEXTS,
    behind,
    in_their_places,
    is_abridged,
    parse_routes,
    read_route,
    with_words,
)
from bascule.providers.kernel.rules import lost_rules, read_rule
from bascule.providers.kernel.virtual_functions import has_functions, virtual_functions
from bascule.providers.shaping.state import is_queue
from bascule.system.net.links import wireless_links
from bascule.system.net.neighbours import fixed_neighbours
from bascule.system.net.netns import Namespace
from bascule.system.net.route_tables import table_files
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import run_all

FOREVER = 0xFFFFFFFF  # seconds; the kernel's INFINITY_LIFE_TIME
ADDRESS_FLAGS = ("noprefixroute", "nodad", "home", "mngtmpaddr", "autojoin", "temporary")
SHAPERS = {"tbf", "htb", "hfsc", "netem", "red", "drr", "ets", "prio", "sfb", "choke", "multiq", "taprio"}  # tc(8)
PENDING = {"tentative", "dadfailed", "optimistic"}  # IPv6 addresses that the kernel does not route yet

Json = Mapping[str, Any]

_ENDS = dict.fromkeys(
    ("id", "link", "group", "group6", "remote", "remote6", "local", "local6", "port", "table", "mode"), "any"
)
_RARE: Mapping[str, Mapping[str, Any]] = {  # options with the kernel's defaults (bond_options.c, br_netlink.c)
    "bond": {
        "ad_user_port_key": 0,
        "ad_actor_sys_prio": 65535,
        "ad_actor_system": "00:00:00:00:00:00",
        "ad_lacp_active": "on",
        "arp_missed_max": 2,
        "peer_notify_delay": 0,
        "tlb_dynamic_lb": 1,
    },
    "vlan": {"ingress_qos": [], "egress_qos": [], "flags": ["REORDER_HDR"]},
    "bridge": {"vlan_protocol": "802.1Q", "mcast_igmp_version": 2},
}


PROGRAMS: tuple[tuple[str, ...], ...] = (
    ("ip", "-j", "-d", "link", "show"),
    ("ip", "-4", "-j", "addr", "show"),  # of one family, so that it leaves out the links that have none
    ("ip", "-6", "-j", "addr", "show"),
    ("ip", "-4", "-j", "-d", "route", "show", "table", "all"),
    ("ip", "-6", "-j", "-d", "route", "show", "table", "all"),
    ("ip", "-4", "-j", "rule", "show"),
    ("ip", "-6", "-j", "rule", "show"),
)


def read(
    texts: Callable[[], Sequence[str]],
    *,
    sysctls: Iterable[str] = (),
    further: Callable[[HostState], Iterable[str]] | None = None,
    namespace: Namespace | None = None,
) -> HostState:
    """The kernel's part, from what the programs printed.

    ``sysctls`` names the files below /proc/sys to read, and ``further`` those that follow from what is there; those
    that do not exist are left out, as is the whole of IPv6 where the kernel lacks it.
    """
    parameters = read_parameters(sysctls, namespace=namespace)  # while the programs run

    def vlans() -> str:
        return run_all((("bridge", "-j", "-compressvlans", "vlan", "show"),), namespace=namespace)[0]

    tables = numbers(table_names(table_files()))
    printed = texts()
    state = from_texts(printed, vlans, tables)
    if any(map(is_abridged, state.routes)):
        routes = with_words(state.routes, run_all(TEXTS, namespace=namespace), tables)
        state = replace(state, routes=routes)
    more = [secret_key(name) for name, link in state.links.items() if link.addrgenmode in BY_SECRET]
    more += further(state) if further is not None else ()
    if more:
        parameters = {**parameters, **read_sysctls(more, namespace=namespace)}
    wireless = wireless_links() if namespace is None else frozenset()  # sysfs tells of the one that we are in
    functions = virtual_functions(_parse("ip link", printed[0])) if namespace is None and has_functions() else {}
    links = {
        name: replace(link, facts=replace(link.facts, wireless=name in wireless, function=functions.get(name, ())))
        if name in wireless or name in functions
        else link
        for name, link in state.links.items()
    }
    neighbours = tuple(
        FixedNeighbour(ip=ip, dev=dev, mac=mac, proxy=proxy, flags=flags)
        for ip, dev, mac, proxy, flags in fixed_neighbours(namespace)
        if "noarp" not in flags or mac != getattr(links.get(IfName(dev)), "mac", None)  # one of a link without ARP
    )
    return replace(state, links=links, neighbours=neighbours, sysctls=parameters)


def from_texts(
    texts: Sequence[str], vlans_text: Callable[[], str], tables: Mapping[str, int] = MappingProxyType({})
) -> HostState:
    """Links, addresses, routes and rules from what PROGRAMS printed.

    ``vlans_text`` gives what ``bridge vlan`` prints, and is asked only where a bridge filters VLANs. ``tables`` are
    the names that iproute2 prints for numbers of routing tables.
    """
    links_text, addresses4, addresses6, routes4, routes6, rules4, rules6 = texts
    raw_links = _parse("ip link", links_text)
    by_name: dict[str, list[Json]] = {}
    for entry in (*_parse("ip -4 addr", addresses4), *_parse("ip -6 addr", addresses6)):
        by_name.setdefault(entry["ifname"], []).extend(entry.get("addr_info", ()))
    connected = {pair for name, entries in by_name.items() for entry in entries for pair in _connected(name, entry)}
    filtering = {entry["ifname"] for entry in raw_links if _filters_vlans(entry)}
    tagging = filtering | {entry["ifname"] for entry in raw_links if entry.get("master") in filtering}
    vlans = {name: each for name, each in _vlans(vlans_text()).items() if name in tagging} if filtering else {}
    raw_routes = [(_parse("ip route", routes4, parse_routes), DEFAULT_DST[4])]
    raw_routes.append((_parse("ip -6 route", routes6, parse_routes), DEFAULT_DST[6]))
    by_kernel = (x for entries, _ in raw_routes for x in entries if x.get("protocol") == "kernel")
    made = {(entry.get("dev", ""), entry.get("dst", "")) for entry in by_kernel}
    links = {
        IfName(entry["ifname"]): read_link(
            entry, by_name.get(entry["ifname"], ()), vlans.get(entry["ifname"], ()), made
        )
        for entry in raw_links
        if not is_queue(entry)
    }  # fmt: skip
    for dev, subnets in behind(entry for entries, _ in raw_routes for entry in entries).items():
        links[dev] = replace(links[dev], facts=replace(links[dev].facts, behind=tuple(subnets)))
    told = ((entry, default) for entries, default in raw_routes for entry in entries)
    read_ones = (read_route(_numbered(entry, tables), default, connected) for entry, default in told)
    routes = (route for route in read_ones if route is not None)
    return HostState(
        links=links,
        routes=tuple(in_their_places(routes)),
        rules=tuple(
            rule
            for entry, ipv6 in (
                *((entry, False) for entry in _parse("ip rule", rules4)),
                *((entry, True) for entry in _parse("ip -6 rule", rules6)),
            )
            if (rule := read_rule(_numbered(entry, tables), ipv6=ipv6)) is not None
        ),
        lost_rules=(
            *lost_rules(_parse("ip rule", rules4), ipv6=False),
            *lost_rules(_parse("ip -6 rule", rules6), ipv6=True),
        ),
    )


def _numbered(entry: Json, tables: Mapping[str, int]) -> Json:
    """A route or a rule with its table's number in place of the name that this host gives to it."""
    number = tables.get(str(entry.get("table", "")))
    return entry if number is None else {**entry, "table": str(number)}


def read_parameters(sysctls: Iterable[str], *, namespace: Namespace | None = None) -> Mapping[str, str]:
    """The kernel parameters of a state: what is asked for, and what Bascule always wants to know."""
    return read_sysctls((FORWARDING[6], *sysctls), namespace=namespace)


def _parse(what: str, text: str, load: Callable[[str], Any] = decode) -> list[dict[str, Any]]:
    """iproute2 prints nothing at all for an empty list, and empty objects for what a filter left out."""
    try:
        return [entry for entry in load(text or "[]") if entry]
    except ValueError as error:
        raise CommandFailed.of(
            "IPROUTE-JSON",
            f"'{what}' printed JSON that cannot be read: {error}",
            hint="Bascule needs iproute2 5.0 or newer; see 'ip -V'",
        ) from error


def _filters_vlans(entry: Json) -> bool:
    return bool(entry.get("linkinfo", {}).get("info_data", {}).get("vlan_filtering"))


def _vlans(text: str) -> dict[str, tuple[PortVlans, ...]]:
    return {
        entry["ifname"]: tuple(
            PortVlans(
                first=vlan["vlan"],
                last=vlan.get("vlanEnd", vlan["vlan"]),
                pvid="PVID" in vlan.get("flags", ()),
                untagged="Egress Untagged" in vlan.get("flags", ()),
            )
            for vlan in entry.get("vlans", ())
        )
        for entry in _parse("bridge vlan", text)
    }


def read_link(
    entry: Json,
    addresses: Collection[Json],
    vlans: tuple[PortVlans, ...] = (),
    routes: Collection[tuple[str, str]] | None = None,
) -> Link:
    """One link from an entry of ``ip -j -d link`` and its ``addr_info`` of ``ip -j addr``.

    ``routes`` are the link and the destination of all that there are, where they are known.
    """
    name = IfName(entry["ifname"])
    info = entry.get("linkinfo", {})
    kind = info.get("info_kind", "loopback" if entry.get("link_type") == "loopback" else "")
    port = info.get("info_slave_data", {}) if info.get("info_slave_kind") == "bridge" else None
    mac = entry.get("address") if entry.get("link_type") == "ether" else None
    flags = entry.get("flags", ())
    found = tuple(read_address(name, address) for address in addresses)
    options = read_kind(kind, info.get("info_data", {}))
    return Link(
        name=name,
        options=options,
        up="UP" in flags,
        mac=Mac(mac) if mac else None,
        mtu=entry.get("mtu", 0),
        master=IfName(entry["master"]) if "master" in entry else None,
        parent=IfName(entry["link"]) if "link" in entry and "link_netnsid" not in entry else None,
        port=None if port is None else BridgePort.read(port),
        vlans=vlans,
        addresses=tuple(address for address in found if not address.is_temporary),
        addrgenmode=entry.get("inet6_addr_gen_mode", "eui64"),
        alias=entry.get("ifalias", ""),
        altnames=tuple(sorted(entry.get("altnames", ()))),
        arp="NOARP" not in flags,
        multicast="MULTICAST" in flags or entry.get("link_type") != "ether",
        group=str(entry.get("group", "default")),
        facts=LinkFacts(
            index=entry.get("ifindex", 0),
            carrier="LOWER_UP" in flags,
            operstate=entry.get("operstate", ""),
            stp_port_state="" if port is None else str(port.get("state", "")),
            permanent_mac=Mac(permanent) if (permanent := _permanent(entry, mac if not kind else None)) else None,
            bus=f"{entry['parentbus']}/{entry['parentdev']}" if "parentbus" in entry and "parentdev" in entry else "",
            unread=" ".join(_unread(info.get("info_data", {}), options)),
            temporaries=tuple(address for address in found if address.is_temporary),
            queue=queue if (queue := entry.get("qdisc", "")) in SHAPERS else "",
            unrouted=tuple(_unrouted(name, addresses, routes)) if routes is not None and "UP" in flags else (),
            protodown=bool(entry.get("proto_down")),
            xdp=tuple(
                str(one["prog"].get("name") or one["prog"]["id"]) for one in entry.get("xdp", {}).get("attached", ())
            ),
            deprecated=tuple(found[n].ip for n, one in enumerate(addresses) if one.get("deprecated")),
        ),
    )


def _unrouted(link: IfName, addresses: Iterable[Json], routes: Collection[tuple[str, str]]) -> Iterator[str]:
    """The routes of its own that the kernel makes for the addresses of a link that is up, and that are not there."""
    for entry in addresses:
        if not entry or link == "lo" or entry.get("scope") == "link" or entry.keys() & PENDING:
            continue
        if (link, entry["local"]) not in routes:
            yield f"local {entry['local']}"
        for dev, dst, _ in _connected(link, entry):
            if (dev, dst) not in routes and ip_network(dst).num_addresses > 1:
                yield dst


def _unread(info: Json, options: LinkOptions) -> Iterator[str]:
    """What is set of a link and no field of its kind holds: where a tunnel leads, a bond's rarer options."""
    for key, default in (_ENDS if isinstance(options, Other) else _RARE.get(options.kind, {})).items():
        value = info.get(key, default)
        if key not in options.__struct_fields__ and value not in (default, "none", "0x0", "0.0.0.0", "::", []):
            yield f"{key} {','.join(map(_text, value)) if isinstance(value, list) else value}"


def _text(value: object) -> str:
    """One of several values; ``1:2`` for a rank of the one side that becomes another on the other."""
    return f"{value['from']}:{value['to']}" if isinstance(value, Mapping) and {"from", "to"} <= {*value} else str(value)


def _permanent(entry: Json, otherwise: str | None) -> str | None:
    """A NIC's own MAC: the hardware's, or what a bond keeps for its member while that has the bond's."""
    kept = entry.get("linkinfo", {}).get("info_slave_data", {}).get("perm_hwaddr")
    found: str | None = entry.get("permaddr") or kept or otherwise
    return found


def read_address(link: str, entry: Json) -> Address:
    """One entry of ``addr_info``."""
    valid, preferred = entry.get("valid_life_time", FOREVER), entry.get("preferred_life_time", FOREVER)
    label = entry.get("label", "")
    return Address(
        ip=f"{entry['local']}/{entry['prefixlen']}",
        scope=entry.get("scope", "global"),
        broadcast=entry.get("broadcast", ""),
        peer=entry.get("address", ""),
        label="" if label == link else label,
        metric=entry.get("metric", 0),
        flags=tuple(flag for flag in ADDRESS_FLAGS if entry.get(flag)),
        dynamic=valid != FOREVER or bool(entry.get("dynamic")),
        lifetime=Lifetime(
            valid_s=None if valid == FOREVER else valid,
            preferred_s=None if preferred == FOREVER else preferred,
        ),
    )


def _connected(link: str, entry: Json) -> Iterator[tuple[str, str, int]]:
    """The routes that the kernel makes for an address: link, destination, metric; for a further one of IPv4 none."""
    if not entry or entry.get("noprefixroute") or entry.get("secondary"):
        return
    own, far = entry["local"], entry.get("address", entry["local"])  # of a point-to-point address, the other end
    six = ":" in own
    metric = entry.get("metric", 256 if six else 0)
    yield link, str(ip_network(f"{own if six else far}/{entry['prefixlen']}", strict=False)), metric
    if six and far != own:
        yield link, str(ip_network(far)), metric
