"""ifcfg: the network-scripts of RHEL 5 to 8 and their kin, as in the classic recipe (ifcfg-br3, ifcfg-eth4).

Keys as the scripts read them (initscripts, sysconfig.txt); where NetworkManager's reader of the same files knows a
second spelling (PHYSDEV and VLAN_ID, IPV6INIT=no), both are served.
"""

from __future__ import annotations

from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import Ipv6, Ipv6Privacy
from bascule.model.links import Bond, Bridge, Dummy, OpenVSwitch, Vlan
from bascule.model.links.wake_on_lan import letters
from bascule.persist.config import LinkConfig, NetworkConfig, by_family
from bascule.persist.formats import sysfs
from bascule.persist.formats.bonding import bond_words
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import host_route_words, routes_by_home
from bascule.persist.formats.openvswitch import is_of_switch, is_switch, port_columns, switch_commands
from bascule.persist.formats.rules import by_link, rule_words
from bascule.persist.formats.shell import assign
from bascule.persist.formats.values import route_words, seconds
from bascule.persist.formats.vlans import from_name, with_flags, without_default_vlan
from bascule.persist.ifcfg import FOLDER, SKIPPED, UNUSED
from bascule.persist.keyfile import nmconf

NAME = "ifcfg"
Lines = list[tuple[str, str]]


def render(config: NetworkConfig) -> dict[str, str]:
    """The files. Raises Inexpressible."""
    gaps = Gaps(NAME)
    gaps.check_names(config, SKIPPED)
    config = without_default_vlan(config)
    files: dict[str, str] = {}
    for name, rules in by_link(config).items():
        for rule in rules:
            path = f"{FOLDER}/rule{'6' if rule.ipv6 else ''}-{name}"
            files[path] = files.get(path, "") + rule_words(rule) + "\n"
    for link in config.links.values():
        lines = _link(link, config, gaps)
        files[f"{FOLDER}/ifcfg-{link.name}"] = "".join(assign(key, value) + "\n" for key, value in lines)
        _routes(link, files)
    for name, routes in routes_by_home(config).items():
        for route in routes:
            path = f"{FOLDER}/route{'6' if route.to.version == 6 else ''}-{name}"
            files[path] = files.get(path, "") + host_route_words(route) + "\n"
    gaps.check()
    return files | nmconf.render(config)


def _link(link: LinkConfig, config: NetworkConfig, gaps: Gaps) -> Lines:
    out: Lines = [("DEVICE", link.name)]
    options = link.options
    over = config.over(link)
    if is_of_switch(link, config):
        out += _switched(link, config, gaps)
    elif isinstance(options, Bridge):
        out += _bridge(options)
    elif isinstance(options, Bond):
        out += _bond(options)
    elif isinstance(options, Vlan):
        out += _vlan(link, options, gaps)
    else:
        out.append(("TYPE", "Ethernet"))
        if isinstance(options, Dummy):
            gaps.add(link.name, "kind", "dummy")
    if link.pin_path:
        gaps.add(link.name, "path", link.pin_path, "it knows hardware by its MAC only")
    if link.pin_mac:
        out.append(("HWADDR", link.pin_mac))
    if link.mac and not is_switch(link):
        out.append(("MACADDR", link.mac))
    out.append(("ONBOOT", "yes" if link.onboot else "no"))
    if link.mtu is not None and not is_switch(link):
        out.append(("MTU", str(link.mtu)))
    if link.wol is not None:
        out.append(("ETHTOOL_OPTS", f"wol {letters(link.wol)}"))
    out += _port(link, config, gaps) if link.master else _ip(link, gaps)
    if link.vlans and not is_switch(over):
        words = ", ".join(map(with_flags, link.vlans))
        out.append(("BRIDGE_VLANS" if link.is_bridge else "BRIDGE_PORT_VLANS", words))
    return out


def _switched(link: LinkConfig, config: NetworkConfig, gaps: Gaps) -> Lines:
    """The words of Open vSwitch's ifup-ovs (README.RHEL of Open vSwitch)."""
    if isinstance(link.options, Bond | Vlan) and not is_switch(link):
        gaps.add(link.name, "kind", link.options.kind, "what ifup-ovs puts on a bridge of Open vSwitch is a NIC")
    members = " ".join(config.ports().get(link.name, ()))
    if isinstance(link.options, OpenVSwitch):
        out: Lines = [("TYPE", "OVSBridge"), ("DEVICETYPE", "ovs")]
        return [*out, ("OVS_EXTRA", commands)] if (commands := switch_commands(link)) else out
    out = [
        ("TYPE", "OVSBond" if is_switch(link) else "OVSPort"),
        ("DEVICETYPE", "ovs"),
        ("OVS_BRIDGE", str(link.master)),
    ]
    out += [("BOND_IFACES", members)] if members else []
    return [*out, ("OVS_OPTIONS", " ".join(words))] if (words := port_columns(link)) else out


def _bridge(options: Bridge) -> Lines:
    out: Lines = [("TYPE", "Bridge"), ("STP", "on" if options.stp_state else "off")]
    out.append(("DELAY", seconds(options.forward_delay or 0)))
    defaults = Bridge()
    words = [
        f"{file}={getattr(options, name)}"
        for name, file in sysfs.BRIDGE.items()
        if getattr(options, name) != getattr(defaults, name) or name == "mcast_snooping"
    ]
    return [*out, ("BRIDGING_OPTS", " ".join(words))] if words else out


def _bond(options: Bond) -> Lines:
    words = " ".join(f"{key}={value}" for key, value in bond_words(options))
    return [("TYPE", "Bond"), ("BONDING_MASTER", "yes"), ("BONDING_OPTS", words)]


def _vlan(link: LinkConfig, options: Vlan, gaps: Gaps) -> Lines:
    """The scripts take the number from the name alone: eth4.30, or vlan30 with PHYSDEV."""
    parent, vid = from_name(link.name)
    if not vid or int(vid) != options.id or parent not in {"", link.parent}:
        gaps.add(link.name, "name", link.name, f"a VLAN is called {link.parent}.{options.id} or vlan{options.id}")
    if options.protocol != "802.1Q":
        gaps.add(link.name, "protocol", options.protocol)
    return [("TYPE", "Vlan"), ("VLAN", "yes"), ("PHYSDEV", str(link.parent)), ("VLAN_ID", str(options.id))]


def _port(link: LinkConfig, config: NetworkConfig, gaps: Gaps) -> Lines:
    master = config.over(link)
    if is_switch(master):
        return [("BOOTPROTO", "none")]  # said by OVS_BRIDGE, or by the bond
    if master is not None and isinstance(master.options, Bond):
        return [("BOOTPROTO", "none"), ("MASTER", master.name), ("SLAVE", "yes")]
    out: Lines = [("BOOTPROTO", "none"), ("BRIDGE", str(link.master))]
    if link.port is not None:
        words = []
        for key, value in link.port.as_json().items():
            if key not in sysfs.PORT:
                gaps.add(link.name, key, value)
            else:
                words.append(f"{sysfs.PORT[key]}={int(value)}")
        out.append(("BRIDGING_OPTS", " ".join(words)))
    return out


def _ip(link: LinkConfig, gaps: Gaps) -> Lines:
    v4, v6 = link.split()
    out: Lines = [("BOOTPROTO", "dhcp" if link.dhcp4 else "none")]
    out += [("METRIC", str(link.metric))] if link.metric is not None else []
    out += [(key, "no") for key, offer in UNUSED.items() if offer in link.unused]
    gaps.check_client_id(link)
    if link.dhcp4 and v4:
        gaps.add(link.name, "address", ", ".join(v4), "the scripts ignore IPADDR where BOOTPROTO=dhcp")
    for number, address in enumerate(v4):
        suffix = str(number) if number else ""
        ip, _, prefix = address.partition("/")
        out += [(f"IPADDR{suffix}", ip), (f"PREFIX{suffix}", prefix)]
    gateways4, gateways6 = by_family(route.gateway for route in link.routes if route.is_plain_default)
    if gateways4 and _is_key(link, ipv6=False):
        out.append(("GATEWAY", gateways4[0]))
    out.append(("IPV6INIT", "no" if link.ipv6 is Ipv6.OFF else "yes"))
    if link.ipv6 is not Ipv6.OFF:
        out.append(("IPV6_AUTOCONF", "yes" if link.ipv6 is Ipv6.AUTO else "no"))
    if link.ipv6 is Ipv6.DHCP:
        out.append(("DHCPV6C", "yes"))
    if link.ipv6_privacy is Ipv6Privacy.PREFER_PUBLIC:
        gaps.add(
            link.name, "ipv6_privacy", link.ipv6_privacy, "the scripts know temporary addresses that are preferred"
        )
    elif link.ipv6_privacy is not None:
        out.append(("IPV6_PRIVACY", "no" if link.ipv6_privacy is Ipv6Privacy.OFF else "rfc3041"))
    if v6:
        out.append(("IPV6ADDR", v6[0]))
    if v6[1:]:
        out.append(("IPV6ADDR_SECONDARIES", " ".join(v6[1:])))
    if gateways6 and _is_key(link, ipv6=True):
        out.append(("IPV6_DEFAULTGW", gateways6[0]))
    out += [(f"DNS{number}", server) for number, server in enumerate(link.dns, 1)]
    if link.search:
        out.append(("DOMAIN", " ".join(link.search)))
    return out


def _is_key(link: LinkConfig, *, ipv6: bool) -> bool:
    """Whether a gateway has a key of its own: METRIC is for that as well, and DEFROUTE=no says that there is none."""
    return (ipv6 or link.metric is None) and (Offer.GATEWAY, 6 if ipv6 else 4) not in link.unused


def _routes(link: LinkConfig, files: dict[str, str]) -> None:
    """What GATEWAY and IPV6_DEFAULTGW do not say stands in files of their own."""
    said: set[bool] = set()
    for route in link.routes:
        if route.is_plain_default and _is_key(link, ipv6=route.is_ipv6) and route.is_ipv6 not in said:
            said.add(route.is_ipv6)
            continue
        path = f"{FOLDER}/route{'6' if route.is_ipv6 else ''}-{link.name}"
        files[path] = files.get(path, "") + route_words(route, link.name) + "\n"
