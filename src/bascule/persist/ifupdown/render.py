"""ifupdown: /etc/network/interfaces of Debian and its kin, in words that ifupdown and ifupdown2 both read.

What neither has a word for stands as an ``up`` line with the ``ip`` command that an administrator would type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bascule.model.host_links import TEMPORARY, HostRoute, Ipv6, PolicyRule
from bascule.model.kernel_parameters import conf, dotted
from bascule.model.links import Bond, Bridge, Dummy, OpenVSwitch, Vlan
from bascule.model.links.wake_on_lan import letters
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats import linkfile
from bascule.persist.formats.bonding import bond_words
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.host_routes import host_route_words, routes_by_home
from bascule.persist.formats.neighbours import command, on_link
from bascule.persist.formats.openvswitch import is_of_switch, is_switch, port_columns, switch_commands
from bascule.persist.formats.rules import by_link, rule_words
from bascule.persist.formats.values import route_words, seconds
from bascule.persist.formats.vlans import bridge_commands, unwanted_vlan
from bascule.persist.ifupdown import FILE, MAIN, SCAFFOLD, dhclient
from bascule.persist.ifupdown.words import SECONDS, wait_for_link_local

NAME = "ifupdown"

Lines = list[str]

BY_COMMAND = frozenset(  # options of a bond for which ifenslave or ifupdown2's bond.py has no word; ip-link(8) has
    {
        "arp_interval",
        "arp_ip_target",
        "arp_validate",
        "arp_all_targets",
        "min_links",
        "resend_igmp",
        "all_slaves_active",
        "packets_per_slave",
        "lp_interval",
    }
)


def render(config: NetworkConfig) -> dict[str, str]:
    """The files. Raises Inexpressible."""
    gaps = Gaps(NAME)
    gaps.check_names(config)
    ports, ruled, above = config.ports(), by_link(config), config.above()
    homes = routes_by_home(config)
    stanzas = []
    links = config.in_order()  # they come up in the order in which they stand
    for link in sorted(
        links, key=lambda link: is_of_switch(link, config) and not link.is_bridge
    ):  # its ports behind it
        if isinstance(link.options, Dummy):
            gaps.add(link.name, "kind", "dummy")
        members = [config.links[name] for name in ports.get(link.name, ())]
        when_up = [
            *_rules(ruled.get(link.name, ())),
            *_host_routes(homes.get(link.name, ())),
            *(f"up {command(one)} || true" for one in on_link(config, link.name)),
        ]
        when_up += _inner_tags(link, above.get(link.name, ()))
        stanzas += _link(link, config, members, when_up, gaps)
    own = dhclient.hook(config, gaps)
    gaps.check()
    files = own | {MAIN: SCAFFOLD, FILE: _stays(config, ports) + "\n".join(stanzas)}
    return files | linkfile.render(config)


def _stays(config: NetworkConfig, ports: Mapping[IfName, Sequence[IfName]]) -> str:
    """What ``ifdown -a``, and so a restart of networking.service, shall leave up: it would take the guests' bridges.

    ifupdown2 takes nothing down that its files name, and calls the word an error. To it the line belongs to the
    comment, which it continues at the backslash; ifupdown continues no comments.
    """
    names: set[IfName] = set()
    below = {link.name for link in config.links.values() if link.is_bridge}
    while below:
        names |= below
        links = [config.links[name] for name in below if name in config.links]
        near = {link.parent for link in links if link.parent}
        below = near.union(*(ports.get(link.name, ()) for link in links)) - names
    if not names:
        return ""
    comment = "# a restart leaves these up, for the guests (to ifupdown2 a comment): \\"
    return f"{comment}\nno-auto-down {' '.join(sorted(names))}\n\n"


def _link(link: LinkConfig, config: NetworkConfig, members: list[LinkConfig], when_up: Lines, gaps: Gaps) -> Lines:
    low = [] if is_switch(link) else _low(link, config, members, gaps)
    low += _switched(link, config, members) if is_of_switch(link, config) else []
    v4, v6 = link.split()
    heads: list[tuple[str, Lines]] = []
    gaps.check_client_id(link)
    if link.dhcp4:
        heads.append(("inet dhcp", [f"metric {link.metric}"] if link.metric is not None else []))
    heads += [("inet static", [f"address {address}"]) for address in v4]
    if link.ipv6 is Ipv6.DHCP:  # ifupdown2 takes the method of the first stanza for all of a link's (iface.py, squash)
        heads.append(("inet6 dhcp", wait_for_link_local(link.name) if not link.options.kind else []))
    elif not heads:
        heads.append(("inet manual", []))
    heads[0] = (heads[0][0], low + heads[0][1])
    if link.ipv6 is Ipv6.AUTO:
        heads.append(("inet6 manual", ["accept_ra 1"]))  # ifupdown2 has no `inet6 auto`
    elif link.ipv6 is Ipv6.MANUAL and not v6:
        heads.append(("inet6 manual", []))
    ra_off = ["accept_ra 0"] if link.ipv6 is Ipv6.MANUAL else []
    if link.is_bridge:
        ra_off.append("dad-attempts 0")  # without carrier duplicate detection does not end, and ifup would fail
    heads += [("inet6 static", [f"address {address}", *ra_off]) for address in v6]
    if link.ipv6_privacy is not None:  # `privext` is ifupdown's alone, and not for every method
        key = dotted(conf(6, link.name, "use_tempaddr"))
        heads[-1][1].append(f"up sysctl -q -w {key}={TEMPORARY[link.ipv6_privacy]}")
    for offer, setting in dhclient.SYSCTLS.items():
        if offer in link.unused:
            heads[-1][1].append(f"up sysctl -q -w {dotted(conf(6, link.name, setting))}")
    _routes(link, heads)
    if link.dns:
        heads[0][1].append("dns-nameservers " + " ".join(link.dns))
    if link.search:
        heads[0][1].append("dns-search " + " ".join(link.search))
    heads[0][1].extend(_hooks(link, members) if link.options.is_link else [])  # a bond of Open vSwitch is none
    heads[0][1].extend(when_up)
    heads[0][1].extend(link.hooks)
    port = is_of_switch(link, config) and not link.is_bridge
    first = f"auto {link.name}\n" + (f"allow-{link.master} {link.name}\n" if port else "")  # its bridge brings it up
    out = [first if number == 0 and link.onboot else "" for number in range(len(heads))]
    for number, (head, lines) in enumerate(heads):
        out[number] += f"iface {link.name} {head}\n" + "".join(f"    {line}\n" for line in lines)
    return out


def _switched(link: LinkConfig, config: NetworkConfig, members: list[LinkConfig]) -> Lines:
    """The words of Open vSwitch's own scripts (/usr/share/doc/openvswitch-switch/README.Debian.gz).

    What stands in its database already they leave as it is.
    """
    names = [member.name for member in members]
    if isinstance(link.options, OpenVSwitch):
        out = ["ovs_type OVSBridge", *([f"ovs_ports {' '.join(names)}"] if names else [])]
        out += [f"ovs_extra {commands}"] if (commands := switch_commands(link)) else []
        # ifupdown2 takes every other port off when it reloads; to ifupdown the line says nothing
        return out + ([f"ovs_ports_condone_regex {unmanaged_regex(config.unmanaged)}"] if config.unmanaged else [])
    kind = "OVSBond" if is_switch(link) else "OVSPort"
    out = [f"ovs_type {kind}", f"ovs_bridge {link.master}", *([f"ovs_bonds {' '.join(names)}"] if names else [])]
    return [*out, f"ovs_options {' '.join(words)}"] if (words := port_columns(link)) else out


def _low(link: LinkConfig, config: NetworkConfig, members: list[LinkConfig], gaps: Gaps) -> Lines:
    """What belongs to the link itself and not to an address family."""
    options = link.options
    names = " ".join(member.name for member in members) or "none"
    out: Lines = []
    if isinstance(options, Bridge):
        out += [f"bridge-ports {names}", f"bridge-stp {'on' if options.stp_state else 'off'}"]
        out += [
            f"{key} {seconds(getattr(options, field))}"
            for key, field in SECONDS.items()
            if getattr(options, field) % 100 == 0
            and (field == "forward_delay" or getattr(options, field) != getattr(Bridge(), field))
        ]
        if not options.stp_state:
            out.append("bridge-maxwait 0")  # no guest, no carrier: do not wait for the bridge at boot
        if options.priority != 32768:
            out.append(f"bridge-bridgeprio {options.priority}")
        if options.vlan_filtering:
            out.append("bridge-vlan-aware yes")
        if config.unmanaged:
            out.append(f"bridge-ports-condone-regex {unmanaged_regex(config.unmanaged)}")
    elif isinstance(options, Bond):
        out += [f"bond-slaves {names}", f"bond-mode {options.mode}", f"bond-miimon {options.miimon}"]
        said = [(field, word) for field, word in bond_words(options) if field not in {"mode", "miimon", *BY_COMMAND}]
        out += [f"bond-{field.replace('_', '-')} {word}" for field, word in said]
    elif isinstance(options, Vlan):
        out += [f"vlan-raw-device {link.parent}", f"vlan-id {options.id}"]
        if link.name not in {f"{link.parent}.{options.id}", f"vlan{options.id}"}:
            gaps.add(link.name, "name", link.name, f"a VLAN is called {link.parent}.{options.id} or vlan{options.id}")
        if options.protocol != "802.1Q":
            gaps.add(link.name, "protocol", options.protocol, "ifupdown2 knows it, ifupdown does not")
    bridge = config.over(link)
    if unwanted_vlan(link, bridge) and not any(vlan.pvid for vlan in link.vlans):
        out.append("bridge-allow-untagged no")  # for ifupdown2, at every reload; to ifupdown it says nothing
    if link.mac:
        out.append(f"hwaddress {link.mac}")
    if link.mtu is not None:
        out.append(f"mtu {link.mtu}")
    return out


def _rules(rules: Iterable[PolicyRule]) -> Iterator[str]:
    """Policy rules; a reload of ifupdown2 asks again for what is there."""
    for rule in rules:
        ip = "ip -6" if rule.ipv6 else "ip"
        for when, verb in (("up", "add"), ("down", "del")):
            yield f"{when} {ip} rule {verb} {rule_words(rule)} || true"


def _host_routes(routes: Iterable[HostRoute]) -> Iterator[str]:
    """Routes that no link takes along when it goes down."""
    for route in routes:
        ip = "ip -6" if route.to.version == 6 else "ip"
        for when, verb in (("up", "replace"), ("down", "del")):
            yield f"{when} {ip} route {verb} {host_route_words(route)} || true"


def _inner_tags(link: LinkConfig, above: Iterable[LinkConfig]) -> Iterator[str]:
    """VLANs on a link whose own name has a point: of eth0.5.6 ifupdown makes VLAN 5 of eth0, whatever the stanza says.

    It makes none that is there already, so the link below makes it.
    """
    for each in above if "." in link.name else ():
        if isinstance(each.options, Vlan):
            yield f"up ip link add link {link.name} name {each.name} type vlan id {each.options.id} || true"


def unmanaged_regex(patterns: tuple[str, ...]) -> str:
    """The names as the regular expression that keeps ifupdown2 from taking the guests' taps off the bridge.

    Without a backslash, at which ifupdown2 joins lines wherever it stands. Names have no other sign with a meaning.
    """
    return "^(" + "|".join(pattern.replace(".", "[.]").replace("*", ".*") for pattern in patterns) + ")$"


def _routes(link: LinkConfig, heads: list[tuple[str, Lines]]) -> None:
    """A gateway stands with the first address of its family; everything else is an ``up`` line of its last stanza."""
    said: set[bool] = set()
    for route in link.routes:
        family = "inet6" if route.is_ipv6 else "inet"
        static = next((lines for head, lines in heads if head == f"{family} static"), None)
        if route.is_plain_default and static is not None and route.is_ipv6 not in said:
            said.add(route.is_ipv6)
            static.append(f"gateway {route.gateway}")
            continue
        mine = [lines for head, lines in heads if head.startswith(f"{family} ")]
        ip = "ip -6" if route.is_ipv6 else "ip"
        (mine or [heads[-1][1]])[-1].append(f"up {ip} route add {route_words(route, link.name)}")


def _hooks(link: LinkConfig, members: list[LinkConfig]) -> Lines:
    """What there is no word for, as commands."""
    out: Lines = []
    options, default = link.options, Bridge()
    if isinstance(options, Bridge) and not is_switch(link):
        words = []
        for field in (*SECONDS.values(), "vlan_default_pvid", "mcast_snooping", "mcast_querier", "group_fwd_mask"):
            value = getattr(options, field)
            is_said = value != getattr(default, field) or field == "mcast_snooping"
            if is_said and (field not in SECONDS.values() or value % 100):
                words += [field, str(value)]
        if words:
            out.append(f"up ip link set dev {link.name} type bridge {' '.join(words)}")
        for member in members:
            if member.port is not None:
                out.append(f"up ip link set dev {member.name} type bridge_slave {' '.join(member.port.arguments())}")
            out += [f"up {command}" for command in bridge_commands(member, member.name, link)]
        out += [f"up {command}" for command in bridge_commands(link, link.name)]
    if isinstance(options, Bond):
        words = [word for pair in bond_words(options) for word in pair if pair[0] in BY_COMMAND]
        out += [f"up ip link set dev {link.name} type bond {' '.join(words)}"] if words else []
    if link.wol is not None:
        out.append(f"up ethtool -s {link.name} wol {letters(link.wol)} || true")
    if link.ipv6 is Ipv6.OFF:
        out.append("ipv6-addrgen off")  # ifupdown2 would set it on again whenever it reloads; ifupdown passes over it
        if link.options.kind:  # it does not exist before it is up
            out.append(f"up ip link set dev {link.name} addrgenmode none")
            out.append(f"up ip -6 address flush dev {link.name} scope link")
        else:
            out.append(f"pre-up ip link set dev {link.name} addrgenmode none")
    return out
