"""The same configuration as commands to read or to paste: today's ``ip``, and the ``brctl`` of the classic recipe.

What brctl and ifconfig never learned (VLAN filtering, port flags, bonds) stands in the second script as ``ip``
commands, so that both say the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from ipaddress import ip_interface

from bascule.model.host_links import Ipv6
from bascule.model.links import Bond, Bridge, Dummy, Vlan
from bascule.model.links.wake_on_lan import letters
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats import sysfs
from bascule.persist.formats.host_routes import host_route_words
from bascule.persist.formats.rules import rule_words
from bascule.persist.formats.values import route_words, seconds
from bascule.persist.formats.vlans import bridge_commands

IP_FILE = "commands-ip.sh"
BRCTL_FILE = "commands-brctl.sh"

Lines = list[str]


def render(config: NetworkConfig) -> dict[str, str]:
    """Two shell scripts.

    What a command cannot say (DHCP, name servers, hardware pins) is a comment in them.
    """
    return {
        IP_FILE: _script("# With ip(8) and bridge(8).", config, _bridge_ip, _address_ip),
        BRCTL_FILE: _script("# With brctl(8) and ifconfig(8) where they do.", config, _bridge_old, _address_old),
    }


def _script(
    title: str,
    config: NetworkConfig,
    bridge: Callable[[LinkConfig, list[LinkConfig]], Lines],
    address: Callable[[LinkConfig], Lines],
) -> str:
    ports = config.ports()
    rules = [f"ip {'-6 ' if rule.ipv6 else ''}rule add {rule_words(rule)}" for rule in config.rules]
    rules += [f"ip {'-6 ' if r.to.version == 6 else ''}route add {host_route_words(r)}" for r in config.routes]
    out = ["#!/bin/sh", title, "set -e", ""]
    for link in config.in_order():
        members = [config.links[name] for name in ports.get(link.name, ())]
        body = _make(link) + _low(link)
        if link.is_bridge:
            body += bridge(link, members)
        else:
            for member in members:
                body += [
                    f"ip link set dev {_q(member.name)} down",
                    f"ip link set dev {_q(member.name)} master {link.name}",
                ]
                body.append(f"ip link set dev {_q(member.name)} up")
        if link.master is None:
            body.append(f"ip link set dev {_q(link.name)} up" if link.onboot else f"# {link.name} stays down")
            body += address(link) + _rest(link)
        out += [f"# {link.name}", *body, ""]
    return "\n".join([*out, *rules, *([""] if rules else [])])


def _q(text: object) -> str:
    return shlex.quote(str(text))


def _make(link: LinkConfig) -> Lines:
    options = link.options
    if isinstance(options, Bond):
        return [f"ip link add name {_q(link.name)} type bond {' '.join(options.arguments())}"]
    if isinstance(options, Vlan):
        words = f"protocol {options.protocol} id {options.id}"
        return [f"ip link add link {_q(link.parent)} name {_q(link.name)} type vlan {words}"]
    if isinstance(options, Dummy):
        return [f"ip link add name {_q(link.name)} type dummy"]
    return []


def _low(link: LinkConfig) -> Lines:
    """MAC, MTU and IPv6 of anything but a bridge, which does not exist yet."""
    name, out = _q(link.name), []
    if link.pin_mac or link.pin_path:
        out.append(f"# {link.name} is the NIC with {link.pin_mac or link.pin_path}")
    if link.is_bridge:
        return out
    if link.mac:
        out.append(f"ip link set dev {name} address {link.mac}")
    if link.mtu is not None:
        out.append(f"ip link set dev {name} mtu {link.mtu}")
    if link.wol is not None:
        out.append(f"ethtool -s {name} wol {letters(link.wol)}")
    if link.ipv6 is Ipv6.OFF:
        out.append(f"ip link set dev {name} addrgenmode none")
    return out


def _bridge_ip(link: LinkConfig, members: list[LinkConfig]) -> Lines:
    name = _q(link.name)
    mac = f"address {link.mac} " if link.mac else ""
    out = [f"ip link add name {name} {mac}type bridge {' '.join(link.options.arguments())}".rstrip()]
    out += _bridge_rest(link)
    for member in members:
        out.append(f"ip link set dev {_q(member.name)} master {name} up")
    return out + _ports(link, members)


def _bridge_old(link: LinkConfig, members: list[LinkConfig]) -> Lines:
    name, options = _q(link.name), link.options
    out = [f"brctl addbr {name}"]
    if not isinstance(options, Bridge):
        return out
    if link.mac:
        out.append(f"ifconfig {name} hw ether {link.mac}")
    default = Bridge()
    out += [
        f"brctl stp {name} {'on' if options.stp_state else 'off'}",
        f"brctl setfd {name} {seconds(options.forward_delay or 0)}",
    ]
    for field, verb in (("hello_time", "sethello"), ("max_age", "setmaxage"), ("ageing_time", "setageing")):
        if getattr(options, field) != getattr(default, field):
            out.append(f"brctl {verb} {name} {seconds(getattr(options, field))}")
    if options.priority != default.priority:
        out.append(f"brctl setbridgeprio {name} {options.priority}")
    for field in ("vlan_default_pvid", "vlan_filtering", "mcast_snooping", "mcast_querier", "group_fwd_mask"):
        value = getattr(options, field)
        if value != getattr(default, field):
            out.append(f"echo {value} > /sys/class/net/{name}/bridge/{sysfs.BRIDGE[field]}")
    out += _bridge_rest(link)
    for member in members:
        port = _q(member.name)
        out += [f"ifconfig {port} 0.0.0.0 up", f"brctl addif {name} {port}"]
    return out + _ports(link, members)


def _bridge_rest(link: LinkConfig) -> Lines:
    name, out = _q(link.name), []
    if link.mtu is not None:
        out.append(f"ip link set dev {name} mtu {link.mtu}")
    if link.ipv6 is Ipv6.OFF:
        out.append(f"ip link set dev {name} addrgenmode none")
    return out


def _ports(link: LinkConfig, members: list[LinkConfig]) -> Lines:
    out: Lines = []
    for member in members:
        if member.port is not None:
            words = " ".join(member.port.arguments())
            out.append(f"ip link set dev {_q(member.name)} type bridge_slave {words}")
        out += bridge_commands(member, _q(member.name), link)
    return out + bridge_commands(link, _q(link.name))


def _address_ip(link: LinkConfig) -> Lines:
    return [f"ip address add {address} dev {_q(link.name)}" for address in link.addresses]


def _address_old(link: LinkConfig) -> Lines:
    """Ifconfig has one IPv4 address for each name; further ones go to aliases."""
    name, out = _q(link.name), []
    v4, v6 = link.split()
    for number, address in enumerate(v4):
        alias = f"{name}:{number}" if number else name
        interface = ip_interface(address)
        out.append(f"ifconfig {alias} {interface.ip} netmask {interface.netmask}")
    return out + [f"ifconfig {name} inet6 add {address}" for address in v6]


def _rest(link: LinkConfig) -> Lines:
    out: Lines = []
    if link.dhcp4:
        out.append(f"dhclient {_q(link.name)}")
    if link.ipv6 is Ipv6.DHCP:
        out.append(f"dhclient -6 {_q(link.name)}")
    for route in link.routes:
        family = "-6 " if route.is_ipv6 else ""
        out.append(f"ip {family}route add {route_words(route, link.name)}")
    if link.dns or link.search:
        words: Mapping[str, tuple[str, ...]] = {"nameserver": link.dns, "search": link.search}
        told = "; ".join(f"{key} {' '.join(values)}" for key, values in words.items() if values)
        out.append(f"# /etc/resolv.conf: {told}")
    return out
