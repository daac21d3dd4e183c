"""The options of /etc/network/interfaces that say one thing each, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bascule.model.links.wake_on_lan import of_letters
from bascule.model.values import parse_mac
from bascule.persist.config import StaticRoute
from bascule.persist.formats.builder import Builder, LinkDraft, option_setter, setter
from bascule.persist.formats.values import (
    default_of,
    parse_address,
    parse_flag,
    parse_ip,
    parse_mtu,
    parse_number,
    parse_prefix,
    parse_tagging,
    up_to,
    words,
)
from bascule.persist.ifupdown.includes import Line, Stanza


def wait_for_link_local(name: str) -> list[str]:
    """What a DHCPv6 client needs of a NIC: dhclient ends at once where its address is still tentative.

    ifupdown waits by itself; ifupdown2 waits for an address, tentative or not (addons/dhcp.py).
    """
    there = f"ip -6 addr show dev {name} scope link -tentative | grep -q inet6"
    wait = f"timeout 10 sh -c 'until {there}; do sleep 0.1; done' || true"
    return [f"pre-up ip link set dev {name} up", f"pre-up {wait}"]


def patterns(regex: str) -> list[str]:
    """``^(tap.*|vnet.*)$`` back to names. Raises ValueError for any other expression."""
    inner = re.fullmatch(r"\^\((.*)\)\$", regex)
    parts = (inner[1] if inner else regex).split("|")
    found = []
    for part in parts:
        name = part.removesuffix(".*").replace("[.]", r"\.")
        plain = re.sub(r"\\(.)", r"\1", name)
        if not re.fullmatch(r"(?:[A-Za-z0-9_~-]|\\.)+", name):
            raise ValueError("only a list of names and beginnings of names is taken")
        found.append(plain + "*" * part.endswith(".*"))
    return found


def _servers(draft: LinkDraft, text: str) -> None:
    draft.dns += [parse_ip(word) for word in text.split()]


def _domains(draft: LinkDraft, text: str) -> None:
    draft.search += text.split()


SIMPLE: dict[str, Callable[[LinkDraft, str], None]] = {
    "hwaddress": setter("mac", lambda text: parse_mac(text.removeprefix("ether").strip())),
    "bridge-hw": setter("mac", parse_mac),
    "mtu": setter("mtu", parse_mtu),
    "ethernet-wol": setter("wol", of_letters),
    "dns-nameservers": _servers,
    "dns-nameserver": _servers,
    "dns-search": _domains,
    "dns-domain": _domains,
    "vlan-protocol": option_setter("protocol", parse_tagging),
}


ODD_TYPES = {  # an option that only such a link has: what that is
    "ovs-type": "Open vSwitch's",
    **dict.fromkeys(words("wpa-ssid wpa-psk wpa-conf wpa-roam"), "wireless"),
    **dict.fromkeys(words("vxlan-id vxlan-local-tunnelip"), "a VXLAN"),
    **dict.fromkeys(words("veth-peer-name"), "one end of a veth pair"),
    **dict.fromkeys(words("tunnel-mode endpoint"), "a tunnel"),
    **dict.fromkeys(words("batman-ifaces"), "a mesh"),
    **dict.fromkeys(words("vrf vrf-table"), "in a VRF"),
    **dict.fromkeys(words("link-type type"), "of another kind"),
}
HOOKS = words("up post-up pre-up down pre-down post-down")
SILENT = words(
    """
    bridge-maxwait bridge-waitport bridge-gcint network broadcast scope vlan-id vlan-raw-device dad-attempts
    preferred-lifetime autoconf address-virtual-ipv6-addrgen
    alias description requires
    """
)
_EXECUTORS = {  # of ifupdown-ng, by the word behind ``use``: what a link is by it, where that is not taken
    **dict.fromkeys(words("bond bridge dhcp ethtool link loopback static vlan"), ""),
    **dict.fromkeys(words("gre tunnel wireguard"), "a tunnel"),
    **dict.fromkeys(words("wifi"), "wireless"),
    "batman": "a mesh",
    "ppp": "a modem's",
    "veth": "one end of a veth pair",
    "vrf": "in a VRF",
    "vxlan": "a VXLAN",
    "macvlan": "a macvlan",
}

BRIDGE: dict[str, tuple[str, Callable[[str], int]]] = {
    "bridge-stp": ("stp_state", parse_flag),
    "bridge-bridgeprio": ("priority", up_to(65535)),
    "bridge-vlan-aware": ("vlan_filtering", parse_flag),
    "bridge-mcsnoop": ("mcast_snooping", parse_flag),
    "bridge-mcquerier": ("mcast_querier", parse_flag),
}

SECONDS = {  # option: field of a bridge, both counted in time
    "bridge-fd": "forward_delay",
    "bridge-hello": "hello_time",
    "bridge-maxage": "max_age",
    "bridge-ageing": "ageing_time",
}


def take_executors(builder: Builder, stanza: Stanza) -> None:
    """``use dhcp`` and its kin of ifupdown-ng, whose stanzas have no method; they are taken out of the stanza."""
    for line in [line for line in stanza.options if line.key == "use" and len(line.words) == 2]:
        what = _EXECUTORS.get(line.words[1])
        if what is None:
            continue
        stanza.options.remove(line)
        if line.words[1] == "dhcp":
            stanza.method = "dhcp"
        if what:
            builder.exclude(stanza.name, f"{what}, which is not supported")
    for line in stanza.options:
        line.key = "bond-slaves" if line.key == "bond-members" else line.key


def own_address(text: str, options: Sequence[Line]) -> str:
    """An address of a stanza with its prefix length; beside a ``pointopoint`` it stands alone (ip-address(8), peer)."""
    is_alone = any(line.key == "pointopoint" for line in options)
    return parse_address(text.partition("/")[0]) if is_alone else _with_prefix(text, options)


def _with_prefix(text: str, options: Sequence[Line]) -> str:
    masks = [line.words[1] for line in options if line.key == "netmask" and len(line.words) > 1]
    return parse_address(text, masks[0] if masks else "64" if ":" in text else None)


def put_peer(builder: Builder, draft: LinkDraft, options: Sequence[Line], line: Line) -> None:
    """``pointopoint`` is on the wire, and nothing else of the address's subnet is."""
    peer = parse_ip(line.words[-1])
    if all(each.key != "gateway" or parse_ip(each.words[-1]) != peer for each in options):
        draft.routes.append(StaticRoute(dst=parse_prefix(peer)))
    given = [_with_prefix(each.words[-1], options) for each in options if each.key == "address"]
    lengths = {text.partition("/")[2] for text in given} - {"32", "128"}
    if lengths:
        why = f"ifupdown gives the address alone with it, ifupdown2 as a /{', /'.join(sorted(lengths))}"
        builder.left.add(line.file, line.number, line.text, why)
    else:
        builder.left.passes(line.file, line.number, line.text)


def give_name_servers(builder: Builder, lines: Sequence[Line]) -> None:
    """Name servers that stand on the loopback are those of the host: of the link by which it goes out."""
    speaking = [draft for draft in builder.drafts.values() if draft.master is None and draft.onboot]
    ranks: tuple[Callable[[LinkDraft], bool], ...] = (
        lambda draft: any(route.dst == default_of(route.dst) and route.gateway for route in draft.routes),
        lambda draft: draft.dhcp4,
        lambda draft: bool(draft.addresses),
    )
    found = next((draft for is_first in ranks for draft in speaking if is_first(draft)), None)
    for line in lines:
        take, text = SIMPLE.get(line.key), " ".join(line.words[1:])
        with builder.left.unless_taken(line.file, line.number, line.text):
            if found is None or take is None:
                raise ValueError("is on the loopback, which a site file does not cover")
            take(found, text)


PORT_FLAGS = {  # ifupdown2's, in the stanza of a port
    "bridge-learning": "learning",
    "bridge-unicast-flood": "flood",
    "bridge-multicast-flood": "mcast_flood",
    "bridge-broadcast-flood": "bcast_flood",
    "bridge-arp-nd-suppress": "neigh_suppress",
}


def per_port(builder: Builder, key: str, line: Line) -> None:
    """``bridge-pathcosts eth4=100 eth5=4`` of ifupdown2, ``bridge_pathcost eth4 100`` of bridge-utils."""
    field_name = "cost" if "pathcost" in key else "priority"
    given = line.words[1:]
    if not given:
        raise ValueError("names no port")
    pairs = [word.partition("=")[::2] for word in given] if "=" in line.text else [(given[0], given[-1])]
    for port, number in pairs:
        builder.draft(port, line.file, line.number).port[field_name] = parse_number(number, 0, 65535)


def port_names(given: list[str]) -> tuple[list[str], bool]:
    """The ports of ``bridge-ports``, and whether they are all: a pattern stands for those that only the host knows.

    ifupdown2 has ranges (``glob swp1-4``).
    """
    found: list[str] = []
    are_all, is_pattern = True, False
    for before, word in zip(["", *given], given, strict=False):
        spread = re.fullmatch(r"([A-Za-z_.-]+(?:[0-9]+[A-Za-z]+)*)\[?([0-9]{1,4})-([0-9]{1,4})\]?((?:\.[0-9]+)?)", word)
        if word in {"none", "glob"}:
            continue
        if before == "glob" and spread is not None:
            found += [f"{spread[1]}{n}{spread[4]}" for n in range(int(spread[2]), int(spread[3]) + 1)]
        elif word in {"regex", "noregex"}:
            is_pattern, are_all = word == "regex", are_all and word != "regex"
        elif word == "all" or is_pattern or set(word) & set("*?[]()^$|"):
            are_all = False
        else:
            found.append(word)
    return found, are_all
