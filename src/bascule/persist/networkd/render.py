"""networkd: systemd's .netdev and .network units (systemd.netdev(5), systemd.network(5))."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.dhcp.identity import ClientId, colons
from bascule.model.host_links import LISTENING, Ipv6, PolicyRule
from bascule.model.links import Bond, Bridge, BridgePort, Vlan
from bascule.model.links.wake_on_lan import wake_words
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats import ini, linkfile
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import routes_by_home
from bascule.persist.formats.neighbours import PROXY_NDP, kind_of, on_link
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.formats.rules import by_link
from bascule.persist.formats.values import seconds
from bascule.persist.formats.vlans import without_default_vlan
from bascule.persist.networkd import FOLDER
from bascule.persist.networkd.offers import ipv6_words, lease_words
from bascule.persist.networkd.routes import Items, Sections, host_routes, route_items
from bascule.persist.networkd.words import BOND, BOND_TIMES, DUID_TYPES, PORT_FLAGS, PRIVACY, RULE_KEYS, TIMES

NAME = "networkd"


def render(config: NetworkConfig) -> dict[str, str]:
    """The files. Raises Inexpressible."""
    gaps = Gaps(NAME)
    gaps.check_names(config)
    config = without_default_vlan(config)
    _primaries(config, gaps)
    above = config.above()
    files: dict[str, str] = {}
    ruled, homes = by_link(config), routes_by_home(config)
    for link in config.links.values():
        if not link.options.is_link:
            continue  # Open vSwitch's alone
        if link.options.kind and not is_switch(link):
            files[f"{FOLDER}/10-{link.name}.netdev"] = ini.write(netdev(link))
        sections = _network(link, config, [each.name for each in above.get(link.name, ())], gaps)
        sections += rules(ruled.get(link.name, ())) + host_routes(homes.get(link.name, ()), gaps)
        sections += neighbours(config, link)
        files[f"{FOLDER}/10-{link.name}.network"] = ini.write(sections)
    gaps.check()
    if config.unmanaged:
        files[f"{FOLDER}/05-bascule-unmanaged.network"] = ini.write(unmanaged(config.unmanaged))
    for link in config.links.values():
        if link.wol is not None and not (link.pin_mac or link.pin_path):
            gaps.add(link.name, "wol", wake_words(link.wol), "its .link file finds a NIC by 'mac' or 'path'")
    gaps.check()
    return files | linkfile.render(config, with_wake=True)


def _primaries(config: NetworkConfig, gaps: Gaps) -> None:
    """A bond's primary is said at the member itself."""
    for link in config.links.values():
        primary = link.options.primary if isinstance(link.options, Bond) else None
        member = config.links.get(IfName(primary)) if primary else None
        if primary and (member is None or member.master != link.name):
            gaps.add(link.name, "primary", primary, "that is not a member of it")


def unmanaged(patterns: tuple[str, ...]) -> Sections:
    """The mark on links that networkd must leave alone; it sorts before every other file."""
    return [("Match", [("Name", " ".join(patterns))]), ("Link", [("Unmanaged", "yes")])]


def netdev(link: LinkConfig) -> Sections:
    """How a virtual link is made."""
    options = link.options
    head: Items = [("Name", link.name), ("Kind", options.kind)]
    if link.mac:
        head.append(("MACAddress", link.mac))
    if link.mtu is not None:
        head.append(("MTUBytes", str(link.mtu)))
    out: Sections = [("NetDev", head)]
    if isinstance(options, Bridge):
        out.append(("Bridge", bridge(options)))
    elif isinstance(options, Bond):
        out.append(("Bond", bond(options)))
    elif isinstance(options, Vlan):
        words = [("Id", str(options.id))]
        if options.protocol != "802.1Q":
            words.append(("Protocol", options.protocol.lower()))
        out.append(("VLAN", words))
    return out


def bridge(options: Bridge) -> Items:
    """[Bridge] of a .netdev: STP and the delay are always said, the rest where it differs from the kernel's."""
    default = Bridge()
    delay = seconds(options.forward_delay or 0)
    out: Items = [("STP", "yes" if options.stp_state else "no"), ("ForwardDelaySec", delay)]
    for name, key in TIMES.items():
        if name != "forward_delay" and getattr(options, name) != getattr(default, name):
            out.append((key, seconds(getattr(options, name))))
    if options.priority != default.priority:
        out.append(("Priority", str(options.priority)))
    if options.vlan_filtering:
        out.append(("VLANFiltering", "yes"))
    if options.vlan_default_pvid != default.vlan_default_pvid:
        out.append(("DefaultPVID", str(options.vlan_default_pvid) if options.vlan_default_pvid else "none"))
    out.append(("MulticastSnooping", "yes" if options.mcast_snooping else "no"))
    if options.mcast_querier:
        out.append(("MulticastQuerier", "yes"))
    if options.group_fwd_mask:
        out.append(("GroupForwardMask", str(options.group_fwd_mask)))
    return out


def bond(options: Bond) -> Items:
    """[Bond] of a .netdev; times are written in milliseconds."""
    default = Bond()
    out: Items = [("Mode", options.mode)]
    for name, key in BOND.items():
        value = getattr(options, name)
        if value != getattr(default, name):
            text = " ".join(value) if isinstance(value, tuple) else f"{value}{'ms' if name in BOND_TIMES else ''}"
            out.append((key, text))
    return out


def _network(link: LinkConfig, config: NetworkConfig, above: list[str], gaps: Gaps) -> Sections:
    low: Items = []
    if not link.options.kind:  # a virtual link has its MAC and MTU in its .netdev
        if link.mac:
            low.append(("MACAddress", link.mac))
        if link.mtu is not None:
            low.append(("MTUBytes", str(link.mtu)))
    if not link.onboot:
        low.append(("ActivationPolicy", "manual"))
    if link.is_bridge and not (link.has_address and any(other.master == link.name for other in config.links.values())):
        low.append(("RequiredForOnline", "no"))  # without guests it has no carrier; boot must not wait for it
    out: Sections = [("Match", [("Name", link.name)]), ("Link", low)]
    network: Items = []
    if link.master is not None:
        master = config.links.get(link.master)
        if is_switch(master):
            network.append(("KeepMaster", "yes"))  # it would take the port off
        else:
            network.append(("Bond" if master and isinstance(master.options, Bond) else "Bridge", link.master))
        if master and isinstance(master.options, Bond) and master.options.primary == link.name:
            network.append(("PrimarySlave", "yes"))
    out.append(("Network", network))
    _ip(link, network)
    network += keep(link)
    if link.is_bridge:
        network.append(("ConfigureWithoutCarrier", "yes"))
    network += [("VLAN", name) for name in above]
    out.append(("DHCPv4", lease(link) + lease_words(link)))
    out += ipv6_words(link)
    out += [("Route", route_items(route)) for route in link.routes if not route.is_plain_default]
    if link.port is not None:
        out.append(("Bridge", port(link, link.port, gaps)))
    return out if is_switch(link) or is_switch(config.links.get(link.master or link.name)) else out + vlans(link)


def keep(link: LinkConfig) -> Items:
    """Without it networkd takes a link's address away when it meets the link or reads its file anew, and sets it again.

    Some 50 ms without the address; the leased ones it must be free to drop.
    """
    return [("KeepConfiguration", "static")] if link.addresses and not link.dhcp4 else []


def client_id(link: LinkConfig) -> Items:
    """[DHCPv4]: who it is to its server. networkd takes the IAID for DHCPv6 as well (networkd-dhcp-common.c)."""
    said = link.client_id or ClientId()
    out: Items = [("ClientIdentifier", "mac")] if said.by_mac else []
    if said.iaid is not None:
        out.append(("IAID", str(said.iaid)))
    if said.duid:
        number = int(said.duid[:4], 16)  # which only new versions take as one
        kind = next((word for word, known in DUID_TYPES.items() if known == number), str(number))
        out += [("DUIDType", kind), ("DUIDRawData", colons(said.duid[4:]))]
    return out


def lease(link: LinkConfig) -> Items:
    """[DHCPv4]: who it is to its server, and the rank of the routes that come with a lease."""
    return client_id(link) + ([("RouteMetric", str(link.metric))] if link.metric is not None else [])


def rules(these: Iterable[PolicyRule]) -> Sections:
    """One [RoutingPolicyRule] for each; networkd sets those of a .network when its link comes."""
    out: Sections = []
    for rule in these:
        items = [("Priority", str(rule.priority))]
        items.append(("Type", rule.action) if rule.action else ("Table", str(rule.table)))
        items += [(key, str(value)) for key, value in (("From", rule.source), ("To", rule.to)) if value is not None]
        items += [(RULE_KEYS[word], value) for word, value in rule.selectors]
        if rule.suppress_prefixlength is not None:
            items.append((RULE_KEYS["suppress_prefixlength"], str(rule.suppress_prefixlength)))
        items += [("InvertRule", "yes")] if rule.inverted else []
        if rule.source is None and rule.to is None:
            items.append(("Family", "ipv6" if rule.ipv6 else "ipv4"))
        out.append(("RoutingPolicyRule", items))
    return out


def neighbours(config: NetworkConfig, link: LinkConfig) -> Sections:
    """One [Neighbor] for each, and those for whom the link answers; networkd has no word for proxy ARP by address."""
    out: Sections = []
    for one in on_link(config, link.name):
        if not one.proxy:
            out.append(("Neighbor", [("Address", one.ip), ("LinkLayerAddress", one.mac)]))
        elif kind_of(one) == PROXY_NDP:
            out.append(("Network", [("IPv6ProxyNDPAddress", one.ip)]))
    return out


def _ip(link: LinkConfig, network: Items) -> None:
    if link.dhcp4 or link.ipv6 is Ipv6.DHCP:
        both = link.dhcp4 and link.ipv6 is Ipv6.DHCP
        network.append(("DHCP", "yes" if both else "ipv4" if link.dhcp4 else "ipv6"))
    network += [("Address", address) for address in link.addresses]
    network += [("Gateway", route.gateway) for route in link.routes if route.is_plain_default]
    network += [("DNS", server) for server in link.dns]
    if link.search:
        network.append(("Domains", " ".join(link.search)))
    network.append(("LinkLocalAddressing", "no" if link.ipv6 is Ipv6.OFF else "ipv6"))
    network.append(("IPv6AcceptRA", "yes" if link.ipv6 in LISTENING else "no"))
    network += privacy(link)


def privacy(link: LinkConfig) -> Items:
    """IPv6PrivacyExtensions= of [Network]."""
    words = {value: key for key, value in PRIVACY.items()}
    return [("IPv6PrivacyExtensions", words[link.ipv6_privacy])] if link.ipv6_privacy is not None else []


def port(link: LinkConfig, options: BridgePort, gaps: Gaps) -> Items:
    """[Bridge] of a port's .network."""
    out: Items = []
    for name, value in options.as_json().items():
        if name in PORT_FLAGS:
            key, inverse = PORT_FLAGS[name]
            out.append((key, "yes" if value != inverse else "no"))
        elif name in {"cost", "priority"}:
            out.append((name.capitalize(), str(value)))
        else:
            gaps.add(link.name, name, value)
    return out


def vlans(link: LinkConfig) -> Sections:
    """One [BridgeVLAN] for each range; networkd knows the PVID apart from the ranges."""
    out: Sections = []
    for vlan in link.vlans:
        items = [("VLAN", vlan.span)]
        if vlan.pvid:
            items.append(("PVID", str(vlan.first)))
        if vlan.untagged:
            items.append(("EgressUntagged", vlan.span))
        out.append(("BridgeVLAN", items))
    return out
