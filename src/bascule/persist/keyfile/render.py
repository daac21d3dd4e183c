"""keyfile: NetworkManager's own profiles (nm-settings-keyfile(5), nm-settings(5)).

Two defaults of NetworkManager differ from the kernel's and are always written down: a bridge has STP on, and a
profile of a bridge or bond does not start its ports.
"""

from __future__ import annotations

import re

from bascule.model.dhcp.identity import ClientId, colons
from bascule.model.host_links import MAIN_TABLE, TEMPORARY, HostRoute, Ipv6, PolicyRule
from bascule.model.links import Bond, Bridge, Dummy, OpenVSwitch, OpenVSwitchBond, Vlan
from bascule.model.links.wake_on_lan import manager_flags
from bascule.model.state import PortVlans
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats import ini, linkfile
from bascule.persist.formats.bonding import bond_words
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import routes_by_home
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.formats.rules import by_link, rule_words
from bascule.persist.formats.vlans import with_flags, without_default_vlan
from bascule.persist.keyfile import nmconf, switches
from bascule.persist.keyfile.profiles import path_of, profile_uuid
from bascule.persist.keyfile.words import TIMES, UNUSED

NAME = "keyfile"

PORT_WORDS = {"priority": "priority", "cost": "path-cost", "hairpin": "hairpin-mode"}

Items = list[tuple[str, str]]


def render(config: NetworkConfig) -> dict[str, str]:
    """The files. Raises Inexpressible."""
    gaps = Gaps(NAME)
    gaps.check_names(config)
    config = without_default_vlan(config)
    ruled, homes = by_link(config), routes_by_home(config)
    for route in config.routes:
        if route.hops:
            gaps.add("the host", "routes", f"{route.to} by {len(route.hops)} routers", "a profile speaks for one link")
    files: dict[str, str] = {}
    for link in config.links.values():
        files |= _switched(link, config, gaps)
        if link.options.is_link:  # a bond of Open vSwitch is none
            files[path_of(link.name)] = _link(link, config, ruled.get(link.name, []), homes.get(link.name, []), gaps)
    gaps.check()
    return files | linkfile.render(config) | nmconf.render(config) | nmconf.unit_dropin(config)


def _switched(link: LinkConfig, config: NetworkConfig, gaps: Gaps) -> dict[str, str]:
    """The profiles of Open vSwitch's rows: a bridge with the port of its own, or another port of it."""
    files: dict[str, str] = {}
    options = link.options
    over = config.over(link)
    parts: list[tuple[str, str, list[tuple[str, Items]]]] = []
    if isinstance(options, OpenVSwitch):
        parts = [("ovs-bridge", "", switches.bridge(link, options)), ("ovs-port", link.name, [("ovs-port", [])])]
    elif over is not None and isinstance(over.options, OpenVSwitch):
        parts = [("ovs-port", over.name, switches.port(link, gaps))]
    for kind, bridge, sections in parts:
        name = f"{link.name}-{kind.removeprefix('ovs-')}"
        head: Items = [("id", name), ("uuid", profile_uuid(name)), ("type", kind), ("interface-name", link.name)]
        if bridge:
            head += [("master", profile_uuid(f"{bridge}-bridge")), ("slave-type", "ovs-bridge")]
        files[path_of(name)] = ini.write([("connection", head), *sections])
    return files


def _link(
    link: LinkConfig, config: NetworkConfig, rules: list[PolicyRule], nowhere: list[HostRoute], gaps: Gaps
) -> str:
    options = link.options
    kind = "ovs-interface" if isinstance(options, OpenVSwitch) else options.kind or "ethernet"
    head: Items = [("id", link.name), ("uuid", profile_uuid(link.name)), ("type", kind)]
    head.append(("interface-name", link.name))
    if not link.onboot:
        head.append(("autoconnect", "false"))
    own: Items = []
    # no autoconnect-slaves: a port comes up by itself, and with it twice at boot, where 1.42 then loses a bond
    if isinstance(options, OpenVSwitch):
        own = [("type", "internal")]
    elif isinstance(options, Bridge):
        own = _bridge(link, options, gaps)
    elif isinstance(options, Bond):
        own = bond_words(options)
    elif isinstance(options, Vlan):
        own = [("flags", "1"), ("id", str(options.id)), ("parent", str(link.parent))]
        if options.protocol != "802.1Q":
            own.append(("protocol", options.protocol))
    elif not isinstance(options, Dummy) and kind != "ethernet":
        gaps.add(link.name, "kind", kind)
    sections: list[tuple[str, Items]] = [("connection", head)]
    if kind != "ethernet":
        sections.append((kind, own))
    sections.append(("ethernet", _ethernet(link)))
    master = config.over(link)
    if is_switch(link) or is_switch(master):
        port = master.name if master is not None and isinstance(master.options, OpenVSwitchBond) else link.name
        head += [("master", profile_uuid(f"{port}-port")), ("slave-type", "ovs-port")]
    elif link.master is not None:
        head += [("master", link.master), ("slave-type", master.options.kind if master else "bridge")]
        sections.append(("bridge-port", _port(link, gaps)))
    if link.master is None:
        v4, v6 = _ip(link, gaps)
        for items, ipv6 in ((v4, False), (v6, True)):
            these = [rule for rule in rules if rule.ipv6 == ipv6]
            ends = [route for route in nowhere if (route.to.version == 6) == ipv6]
            items.extend(_nowhere(link, ends, items, gaps))
            for rule in these:
                if rule.action is not None:
                    gaps.add("the host", "rule", rule_words(rule), "NetworkManager's rules lead to tables only")
            said = [rule_words(rule, by_number=True) for rule in these]  # NetworkManager takes no name of a protocol
            items.extend((f"routing-rule{number}", words) for number, words in enumerate(said, 1))
        sections += [("ipv4", v4), ("ipv6", v6)]
    return ini.write(sections)


def _ethernet(link: LinkConfig) -> Items:
    out: Items = []
    if link.mac:
        out.append(("cloned-mac-address", link.mac))
    if link.pin_mac:
        out.append(("mac-address", link.pin_mac))
    if link.mtu is not None:
        out.append(("mtu", str(link.mtu)))
    if link.wol is not None:
        out.append(("wake-on-lan", str(manager_flags(link.wol))))
    return out


def _bridge(link: LinkConfig, options: Bridge, gaps: Gaps) -> Items:
    out: Items = [("stp", "true" if options.stp_state else "false")]
    for name, (key, low, high, default) in TIMES.items():
        value = getattr(options, name)
        whole, rest = divmod(value, 100)
        if rest or not low <= whole <= high:
            gaps.add(link.name, name, f"{value / 100:g} s", f"whole seconds from {low} to {high}")
        if whole != default:
            out.append((key, str(whole)))
    if options.priority != 32768:
        out.append(("priority", str(options.priority)))
    out.append(("multicast-snooping", "true" if options.mcast_snooping else "false"))
    if options.mcast_querier:
        out.append(("multicast-querier", "true"))
    if options.group_fwd_mask:
        out.append(("group-forward-mask", str(options.group_fwd_mask)))
    if options.vlan_filtering:
        out.append(("vlan-filtering", "true"))
    if options.vlan_default_pvid != 1:
        out.append(("vlan-default-pvid", str(options.vlan_default_pvid)))
    return [*out, ("vlans", _vlans(link.vlans))] if link.vlans else out


def _port(link: LinkConfig, gaps: Gaps) -> Items:
    out: Items = []
    for key, value in link.port.as_json().items() if link.port else ():
        if key not in PORT_WORDS:
            gaps.add(link.name, key, value)
        else:
            out.append((PORT_WORDS[key], str(value).lower()))
    return [*out, ("vlans", _vlans(link.vlans))] if link.vlans else out


def _vlans(vlans: tuple[PortVlans, ...]) -> str:
    return ", ".join(map(with_flags, vlans))


def _ip(link: LinkConfig, gaps: Gaps) -> tuple[Items, Items]:
    v4, v6 = link.split()
    method4 = "auto" if link.dhcp4 else "manual" if v4 else "disabled"
    method6 = {Ipv6.OFF: "disabled", Ipv6.MANUAL: "manual" if v6 else "link-local"}.get(link.ipv6, str(link.ipv6))
    families = []
    for method, addresses, ipv6 in ((method4, v4, False), (method6, v6, True)):
        items: Items = [("method", method)]
        if link.metric is not None and not ipv6:
            items.append(("route-metric", str(link.metric)))
        if ipv6 and link.ipv6_privacy is not None:
            items.append(("ip6-privacy", str(TEMPORARY[link.ipv6_privacy])))
        if link.client_id and method in {"auto", "dhcp"}:
            items += _client_id(link, link.client_id, gaps, ipv6=ipv6)
        items += [(word, "true") for word, offer in UNUSED.items() if (offer, 6 if ipv6 else 4) in link.unused]
        items += [(f"address{number}", address) for number, address in enumerate(addresses, 1)]
        routes = [route for route in link.routes if route.is_ipv6 == ipv6]
        servers = [server for server in link.dns if (":" in server) == ipv6]
        if method == "disabled":
            for route in routes:
                gaps.add(link.name, "route", route.dst, f"the link speaks no {'IPv6' if ipv6 else 'IPv4'}")
        if method in {"disabled", "link-local"}:
            for server in servers:
                gaps.add(link.name, "dns", server, f"the link has no {'IPv6' if ipv6 else 'IPv4'} address")
        if servers:
            items.append(("dns", ";".join(servers) + ";"))
        ranked = link.metric is not None and not ipv6  # then a route without a metric of its own would have that one
        families.append(items + _routes(routes, gateway=method == "manual" and not ranked, ranked=ranked))
    if link.search:
        if method4 == "disabled" and method6 in {"disabled", "link-local"}:
            gaps.add(link.name, "search", " ".join(link.search), "the link has no address")
        families[0 if method4 != "disabled" else 1].append(("dns-search", ";".join(link.search) + ";"))
    return families[0], families[1]


def _client_id(link: LinkConfig, said: ClientId, gaps: Gaps, *, ipv6: bool) -> Items:
    """Who it is to its server (nm-settings(5)): left alone, the MAC for DHCPv4, for DHCPv6 an IAID of the link's name.

    ``duid`` of dhcp-client-id is put together from dhcp-iaid and the machine's DUID.
    """
    out: Items = []
    if said.iaid is None and said.duid:
        gaps.add(link.name, "DHCP client identifier", said, "a DUID stands together with an IAID")
    if not ipv6 and (said.by_mac or said.iaid is not None):
        out.append(("dhcp-client-id", "mac" if said.by_mac else colons(said.identifier) or "duid"))
    return [*out, ("dhcp-iaid", str(said.iaid))] if said.iaid is not None else out


def _nowhere(link: LinkConfig, routes: list[HostRoute], beside: Items, gaps: Gaps) -> Items:
    """Routes that lead nowhere, behind the others of their family."""
    out: Items = []
    first = 1 + sum(bool(re.fullmatch("route[0-9]+", key)) for key, _ in beside)
    for number, route in enumerate(routes, first):
        if ("method", "disabled") in beside:
            gaps.add("the host", "routes", route.to, f"{link.name} speaks no IPv{route.to.version}")
        out.append((f"route{number}", f"{route.to}{f',,{route.metric}' if route.metric else ''}"))
        table = f"table={route.table}," if route.table else ""
        out.append((f"route{number}_options", f"{table}type={route.type}"))
    return out


def _routes(routes: list[StaticRoute], *, gateway: bool, ranked: bool) -> Items:
    out: Items = []
    number = 0
    for route in routes:
        if gateway and route.is_plain_default:
            out.append(("gateway", route.gateway))
            gateway = False
            continue
        number += 1
        words = [route.dst]
        if route.gateway or route.metric or ranked:
            words.append(route.gateway or ("::" if route.is_ipv6 else "0.0.0.0"))
        if route.metric or ranked:
            words.append(str(route.metric))
        out.append((f"route{number}", ",".join(words)))
        extra = []
        if route.table != MAIN_TABLE:
            extra.append(f"table={route.table}")
        if route.prefsrc:
            extra.append(f"src={route.prefsrc}")
        if route.onlink:
            extra.append("onlink=true")
        if extra:
            out.append((f"route{number}_options", ",".join(extra)))
    return out
