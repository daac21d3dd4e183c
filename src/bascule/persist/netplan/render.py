"""netplan: YAML below /etc/netplan for networkd (netplan-yaml.md).

netplan has no word for multicast snooping, VLAN filtering, a DHCP client's IAID and DUID or most port options. networkd
has, so they stand in drop-ins beside the units that netplan generates (10-netplan-NAME), as netplan's own documentation
does it.
"""

from __future__ import annotations

from typing import Any

from bascule.model.host_links import LISTENING, MAIN_TABLE, HostRoute, Ipv6, Ipv6Privacy, PolicyRule
from bascule.model.links import Bond, Bridge, BridgePort, Dummy, OpenVSwitch, OpenVSwitchBond, Vlan
from bascule.model.links.wake_on_lan import MAGIC, wake_words
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats import ini, linkfile
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import routes_by_home
from bascule.persist.formats.openvswitch import BOND, BRIDGE, bond_config, is_switch
from bascule.persist.formats.rules import by_link
from bascule.persist.formats.vlans import without_default_vlan
from bascule.persist.netplan import BOND_WORDS, FOLDER, SWITCH_UNITS
from bascule.persist.netplan.dropins import DROPIN, UNIT
from bascule.persist.netplan.overrides import overrides
from bascule.persist.networkd import render as networkd
from bascule.persist.networkd.routes import Sections, host_routes
from bascule.site.write import block

NAME = "netplan"
FILE = f"{FOLDER}/60-bascule.yaml"
GROUPS = {"bond": "bonds", "bridge": "bridges", "vlan": "vlans", BOND: "bonds", BRIDGE: "bridges"}
OWN_BRIDGE_WORDS = {  # field: netplan's parameter
    "ageing_time": "ageing-time",
    "priority": "priority",
    "hello_time": "hello-time",
    "max_age": "max-age",
}

# netplan orders them behind ovsdb-server alone and gives them 10 s, of ovs-vsctl's waiting for ovs-vswitchd among that
# (its pull requests 165 and 266): a machine that boots slowly ends them half-way
BEHIND_SWITCHD: Sections = [
    ("Unit", [("After", "ovs-vswitchd.service")]),
    ("Service", [("TimeoutStartSec", "5min")]),
]


def render(config: NetworkConfig) -> dict[str, str]:
    """The files. Raises Inexpressible."""
    gaps = Gaps(NAME)
    gaps.check_names(config)
    config = without_default_vlan(config)
    files: dict[str, str] = {}
    groups: dict[str, dict[str, Any]] = {"ethernets": {}, "bonds": {}, "bridges": {}, "vlans": {}}
    ports, ruled, homes = config.ports(), by_link(config), routes_by_home(config)
    for link in config.links.values():
        members = [config.links[name] for name in ports.get(link.name, ())]
        if isinstance(link.options, Dummy):
            gaps.add(link.name, "kind", "dummy", "netplan before 1.0 knows no such link")
        if is_switch(config.links.get(link.parent or link.name)) and link.parent:
            gaps.add(link.name, "link", link.parent, "over a bridge of Open vSwitch netplan makes a fake bridge of it")
        if link.wol not in {None, (), MAGIC}:
            gaps.add(link.name, "wol", wake_words(link.wol or ()), "it knows 'magic' and 'off' alone")
        group = GROUPS.get(link.options.kind, "ethernets")
        rules = ruled.get(link.name, [])
        own, nowhere = _link(link, members), [r for r in homes.get(link.name, ()) if not r.hops]
        if nowhere:
            own["routes"] = [*own.get("routes", ()), *map(_nowhere, nowhere)]
        groups[group][link.name] = own | _policy([rule for rule in rules if _has_words(rule)])
        only_networkd = networkd.rules(rule for rule in rules if not _has_words(rule))
        if link.options.is_link:  # a bond of Open vSwitch is none
            only_networkd += host_routes([r for r in homes.get(link.name, ()) if r.hops], gaps)
            besides = only_networkd + networkd.neighbours(config, link)
            of_switch = is_switch(config.links.get(link.master or link.name))
            files |= _dropins(link, besides, gaps, of_switch=of_switch)
    gaps.check()
    tree = {"network": {"version": 2, **{key: value for key, value in groups.items() if value}}}
    files[FILE] = "\n".join(block(tree, 0, 3)) + "\n"
    if any(map(is_switch, config.links.values())):
        files[SWITCH_UNITS] = ini.write(BEHIND_SWITCHD)
    if config.unmanaged:
        files[f"{linkfile.FOLDER}/05-bascule-unmanaged.network"] = ini.write(networkd.unmanaged(config.unmanaged))
    by_path = {name: link for name, link in config.links.items() if link.pin_path}
    return files | linkfile.render(NetworkConfig(links=by_path))


def _link(link: LinkConfig, members: list[LinkConfig]) -> dict[str, Any]:
    # said of each link: one word for all would also take from NetworkManager whatever other files leave to it
    out: dict[str, Any] = {"renderer": "networkd"}
    if link.pin_mac and not link.pin_path:
        out["match"] = {"macaddress": link.pin_mac}
        out["set-name"] = link.name
    options = link.options
    if isinstance(options, Bridge | Bond):
        out["interfaces"] = [member.name for member in members]
    if isinstance(options, OpenVSwitch | OpenVSwitchBond):
        out |= _switched(link, options)
    elif isinstance(options, Bridge):
        out["parameters"] = _bridge(options, members)
    elif isinstance(options, Bond):
        out["parameters"] = _bond(options)
    elif isinstance(options, Vlan):
        out |= {"id": int(options.id), "link": link.parent}
    if link.mac and not is_switch(link):
        out["macaddress"] = link.mac
    if link.mtu is not None:
        out["mtu"] = link.mtu
    if link.wol is not None:
        out["wakeonlan"] = bool(link.wol)
    if not link.onboot:
        out["activation-mode"] = "manual"
    if link.is_bridge and not (link.has_address and members):
        out["optional"] = True  # without guests it has no carrier; boot must not wait for it
    if link.master is None:
        out |= _ip(link)
    return out


def _switched(link: LinkConfig, options: OpenVSwitch | OpenVSwitchBond) -> dict[str, Any]:
    """A bridge or bond of Open vSwitch; VLANs of its ports stand in its database alone, as netplan has no words."""
    if isinstance(options, OpenVSwitchBond):
        words: dict[str, Any] = {"lacp": options.lacp} if options.lacp else {}
        config = bond_config(options)
        delays = {"up-delay": options.updelay, "down-delay": options.downdelay}
        parameters = {"mode": options.mode, **{key: value for key, value in delays.items() if value}}
    else:
        words = {"fail-mode": options.fail_mode} if options.fail_mode else {}
        words |= {"mcast-snooping": True} if options.mcast_snooping else {}
        words |= {"rstp": True} if options.rstp else {}
        config = {"hwaddr": str(link.mac)} if link.mac else {}
        parameters = {}
    words |= {"other-config": config} if config else {}
    return {"openvswitch": words, **({"parameters": parameters} if parameters else {})}


def _bridge(options: Bridge, members: list[LinkConfig]) -> dict[str, Any]:
    default = Bridge()
    out: dict[str, Any] = {"stp": bool(options.stp_state), "forward-delay": _span(options.forward_delay or 0)}
    for name, key in OWN_BRIDGE_WORDS.items():
        value = getattr(options, name)
        if value != getattr(default, name):
            out[key] = value if name == "priority" else _span(value)
    costs = {member.name: member.port.cost for member in members if member.port and member.port.cost is not None}
    priorities = {member.name: member.port.priority for member in members if member.port and member.port.priority != 32}
    if costs:
        out["path-cost"] = costs
    if priorities:
        out["port-priority"] = priorities
    return out


def _span(ticks: int) -> Any:
    """Whole seconds as a number, else milliseconds."""
    return ticks // 100 if ticks % 100 == 0 else f"{ticks * 10}ms"


def _bond(options: Bond) -> dict[str, Any]:
    said = {"mode": options.mode, **options.as_json()}
    values = {key: said[field] for key, field in BOND_WORDS.items() if field in said}
    values |= {"arp-ip-targets": list(options.arp_ip_target)} if options.arp_ip_target else {}
    return values | ({"all-slaves-active": True} if options.all_slaves_active else {})


def _ip(link: LinkConfig) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if link.dhcp4:
        out["dhcp4"] = True
    if said := overrides(link)[0]:
        out["dhcp4-overrides"] = said
    if link.client_id and link.client_id.by_mac:
        out["dhcp-identifier"] = "mac"
    if link.ipv6 is Ipv6.DHCP:
        out["dhcp6"] = True
    if link.ipv6 is Ipv6.OFF:
        out["link-local"] = []
    out["accept-ra"] = link.ipv6 in LISTENING
    if link.ipv6_privacy in {Ipv6Privacy.OFF, Ipv6Privacy.PREFER_TEMPORARY}:
        out["ipv6-privacy"] = link.ipv6_privacy is Ipv6Privacy.PREFER_TEMPORARY
    if link.addresses:
        out["addresses"] = list(link.addresses)
    if link.routes:
        out["routes"] = [_route(route) for route in link.routes]
    servers: dict[str, Any] = {}
    if link.dns:
        servers["addresses"] = list(link.dns)
    if link.search:
        servers["search"] = list(link.search)
    if servers:
        out["nameservers"] = servers
    return out


def _route(route: StaticRoute) -> dict[str, Any]:
    out: dict[str, Any] = {"to": "default" if route.gateway and route.dst.endswith("/0") else route.dst}
    if route.gateway:
        out["via"] = route.gateway
    else:
        out["scope"] = "link"
    if route.metric:
        out["metric"] = route.metric
    if route.table != MAIN_TABLE:
        out["table"] = route.table
    if route.prefsrc:
        out["from"] = route.prefsrc
    if route.onlink:
        out["on-link"] = True
    return out


def _nowhere(route: HostRoute) -> dict[str, Any]:
    out: dict[str, Any] = {"to": str(route.to), "type": route.type}
    given = {"metric": route.metric, "table": route.table}
    return out | {key: value for key, value in given.items() if value is not None}


def _has_words(rule: PolicyRule) -> bool:
    """Whether netplan can say a rule: by addresses and a mark without a mask, none that is inverted, and a table."""
    plain = {word for word, _ in rule.selectors} <= {"fwmark"} and "/" not in (rule.fwmark or "")
    more = rule.inverted or rule.action is not None or rule.suppress_prefixlength is not None
    return plain and not more and (rule.source or rule.to) is not None


def _policy(rules: list[PolicyRule]) -> dict[str, Any]:
    told = []
    for rule in rules:
        ends = {"from": rule.source, "to": rule.to}
        words: dict[str, Any] = {key: str(value) for key, value in ends.items() if value is not None}
        words |= {"table": rule.table, "priority": rule.priority}
        told.append(words | ({"mark": int(rule.fwmark, 0)} if rule.fwmark else {}))
    return {"routing-policy": told} if told else {}


def _dropins(link: LinkConfig, more: Sections, gaps: Gaps, *, of_switch: bool) -> dict[str, str]:
    """What only networkd has words for."""
    files: dict[str, str] = {}
    options, default = link.options, Bridge()
    made: Sections = []
    if isinstance(options, Bridge) and not is_switch(link):
        said = {"STP", "ForwardDelaySec", "AgeingTimeSec", "HelloTimeSec", "MaxAgeSec", "Priority"}
        if options != default:
            made.append(("Bridge", [item for item in networkd.bridge(options) if item[0] not in said]))
    elif isinstance(options, Vlan) and options.protocol != "802.1Q":
        made.append(("VLAN", [("Protocol", options.protocol.lower())]))
    used: Sections = []
    if link.port is not None:
        rest = {key: value for key, value in link.port.as_json().items() if key not in {"cost", "priority"}}
        used.append(("Bridge", networkd.port(link, BridgePort(**rest), gaps)))
    used += [] if of_switch else networkd.vlans(link)
    own = networkd.privacy(link) if link.ipv6_privacy is Ipv6Privacy.PREFER_PUBLIC else []
    used.append(("Network", networkd.keep(link) + own))
    used += more
    used.append(("DHCPv4", [item for item in networkd.client_id(link) if item[0] != "ClientIdentifier"]))
    used += overrides(link)[1]
    for sections, kind in ((made, "netdev"), (used, "network")):
        text = ini.write(sections)
        if text:
            files[f"{linkfile.FOLDER}/{UNIT}{link.name}.{kind}.d/{DROPIN}"] = text
    return files
