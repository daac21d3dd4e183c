"""Reading SUSE's files as wicked does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_interface
from typing import Any

from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import NOWHERE_TO, UNICAST, Ipv6
from bascule.model.links.wake_on_lan import ethtool_words
from bascule.model.values import parse_ifname, parse_mac, parse_vid
from bascule.persist.config import StaticRoute
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.host_routes import host_route
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.shell import AssignmentFile, assignments
from bascule.persist.formats.values import (
    ROUTE_TYPES,
    default_of,
    parse_address,
    parse_bool,
    parse_flag,
    parse_ip,
    parse_mtu,
    parse_number,
    parse_prefix,
    parse_table,
    ticks,
    up_to,
    words,
)
from bascule.persist.parsed import IGNORED, Files, Hardware, Parsed
from bascule.persist.wicked import FOLDER

SKIPPED = ("~", ".bak", ".old", ".orig", ".rpmnew", ".rpmsave", ".scpmbackup", ".template")
SILENT = words(
    """
    NAME BROADCAST NETWORK USERCONTROL _NM_NAME UNIQUE INTERFACETYPE VLAN
    """
)

ODD_KEYS = {  # keys that only such a link has, and what it is
    "TUNNEL": "a tunnel",
    "TUNNEL_DEVICE": "a tunnel",
    "WIRELESS_ESSID": "wireless",
    "WIRELESS": "wireless",
    "TEAM_RUNNER": "a team",
    "OVS_BRIDGE": "Open vSwitch's",
    "OVS_BRIDGE_VLAN_PARENT": "Open vSwitch's",
    "MACVLAN_DEVICE": "a macvlan",
    "MACVTAP_DEVICE": "a macvtap",
    "VXLAN_ID": "a VXLAN",
    "DUMMY": "a dummy",
}
DHCP = f"{FOLDER}/dhcp"
PROTOCOLS = {"ieee802-1q": "802.1Q", "ieee802-1ad": "802.1ad"}
STARTS = words("auto boot onboot hotplug nfsroot ifplugd")

BRIDGE: dict[str, tuple[str, Callable[[str], int]]] = {
    "BRIDGE_STP": ("stp_state", parse_flag),
    "BRIDGE_FORWARDDELAY": ("forward_delay", ticks),
    "BRIDGE_HELLOTIME": ("hello_time", ticks),
    "BRIDGE_MAXAGE": ("max_age", ticks),
    "BRIDGE_AGEINGTIME": ("ageing_time", ticks),
    "BRIDGE_PRIORITY": ("priority", up_to(65535)),
}


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:  # noqa: ARG001  # every dialect has this shape
    """The meaning of the files."""
    builder = Builder()
    of_all = {a.key: a.value for a in assignments(DHCP, files.get(DHCP, ""), builder.left)}
    for path in sorted(path for path in files if path.startswith(f"{FOLDER}/ifcfg-")):
        name = path.removeprefix(f"{FOLDER}/ifcfg-")
        if name.endswith(SKIPPED):
            builder.left.add(path, 0, "", f"{IGNORED} the scripts do with such a name")
        elif name != "lo":
            try:
                draft = builder.draft(name, path, 0)
            except ValueError as wrong:
                builder.left.add_file(path, files[path], str(wrong))
                continue
            _WickedFile(builder, path, draft, of_all).read(files[path])
    for path in sorted(path for path in files if re.match(rf"{FOLDER}/(ifroute-|routes$)", path)):
        _routes(path, files[path], builder)
    for path in sorted(path for path in files if re.match(rf"{FOLDER}/(ifrule-|rules$)", path)):
        _rules(path, files[path], builder)
    _name_servers(files, builder)
    return builder.finish()


def _name_servers(files: Files, builder: Builder) -> None:
    """Netconfig's name servers are the host's: they are said at the link with the default route, else at the first."""
    path = f"{FOLDER}/config"
    found = {a.key: a for a in assignments(path, files.get(path, ""), builder.left)}
    servers, domains = (found.get(f"NETCONFIG_DNS_STATIC_{key}") for key in ("SERVERS", "SEARCHLIST"))
    speak = [draft for draft in builder.drafts.values() if draft.master is None and (draft.addresses or draft.dhcp4)]
    speak.sort(key=lambda draft: not any(route.is_plain_default for route in draft.routes))
    for said in filter(None, (servers, domains)):
        for word in said.value.split():
            with builder.left.unless_taken(path, said.line, f"{said.key}: {word}"):
                if not speak:
                    raise ValueError("no link has an address")
                target = speak[0]
                target.dns.append(parse_ip(word)) if said is servers else target.search.append(word)


PER_PORT = {"BRIDGE_PATHCOSTS": "cost", "BRIDGE_PORTPRIORITIES": "priority"}


class _WickedFile(AssignmentFile):
    """One file."""

    def __init__(self, builder: Builder, path: str, draft: LinkDraft, of_all: Mapping[str, str]) -> None:
        super().__init__(builder, path)
        self.draft = draft
        self.of_all = of_all  # what /etc/sysconfig/network/dhcp says where the link does not

    def read(self, text: str) -> None:
        self.load(text)
        draft = self.draft
        odd = next((what for key, what in ODD_KEYS.items() if self.value(key).lower() not in {"", "no"}), None)
        if odd is not None:
            self.builder.exclude(draft.name, f"{odd}, which is not supported")
            self.builder.drafts.pop(draft.name)
            self.leave_all(f"{draft.name} is {odd}, which is not supported")
            return
        draft.onboot = self.value("STARTMODE").lower() in {*STARTS, ""}
        draft.mac = self.take("LLADDR", parse_mac)
        draft.mtu = self.take("MTU", parse_mtu)
        draft.wol = self.take("ETHTOOL_OPTIONS", ethtool_words)
        if self.value("BRIDGE").lower() == "yes":
            draft.kind = "bridge"
        elif self.value("BONDING_MASTER").lower() == "yes":
            draft.kind = "bond"
            draft.options["miimon"] = 0
        elif self.value("ETHERDEVICE"):
            self._vlan()
        boot = self.value("BOOTPROTO").lower()
        draft.dhcp4 = boot in {"dhcp", "dhcp4", "dhcp+autoip"}
        draft.ipv6 = Ipv6.AUTO if boot in {"dhcp", "static"} else Ipv6.DHCP if boot == "dhcp6" else Ipv6.OFF
        draft.metric = self._of_dhcp("DHCLIENT_ROUTE_PRIORITY", parse_number) if draft.dhcp4 else None
        if draft.dhcp4 and self._of_dhcp("DHCLIENT_SET_DEFAULT_ROUTE", parse_bool) is False:
            draft.unused.add((Offer.GATEWAY, 4))
        if boot not in {"dhcp", "dhcp4", "dhcp6", "dhcp+autoip", "static", "none", ""}:
            self.leave("BOOTPROTO", "neither static nor dhcp")
        for key in self.found:
            self._key(key)
        for key in self.unasked():
            if key in SILENT or re.fullmatch(r"BROADCAST(_.*)?", key):
                self.builder.left.passes(self.path, self.found[key].line, f"{key}={self.found[key].value}")
            else:
                self.leave(key, "not taken")

    def _of_dhcp(self, key: str, parse: Callable[[str], Any]) -> Any:
        """What the link says of its lease, else what is said for all of them."""
        if self.value(key) or not self.of_all.get(key):
            return self.take(key, parse)
        try:
            return parse(self.of_all[key])
        except ValueError as wrong:
            self.builder.left.add(DHCP, 0, f"{key}={self.of_all[key]}", str(wrong))
            return None

    def _key(self, key: str) -> None:
        draft = self.draft
        if key.startswith("IPADDR"):
            suffix = key.removeprefix("IPADDR")
            lengths = [self.value(f"{name}{suffix}") for name in ("PREFIXLEN", "NETMASK")]
            address = self.take(key, lambda text: parse_address(text, next(filter(None, lengths), None)))
            if address is not None:
                draft.addresses.append(address)
        elif key == "BRIDGE_PORTS":
            for port in self.value(key).split():
                self.builder.enslave(port, draft.name, self.path, self.found[key].line)
        elif re.fullmatch(r"BONDING_SLAVE_?[0-9]+", key):
            if self.value(key):
                self.builder.enslave(self.value(key), draft.name, self.path, self.found[key].line)
        elif key == "BONDING_MODULE_OPTS":
            self.bond_options(key, draft.options)
        elif key in PER_PORT:
            self._per_port(key)
        elif key in BRIDGE and draft.kind == "bridge":
            field, parse = BRIDGE[key]
            self.put(key, parse, draft.options, field)
        elif key == "DHCLIENT_SET_DEFAULT_ROUTE" and (Offer.GATEWAY, 4) not in draft.unused:
            self.builder.left.passes(self.path, self.found[key].line, f"{key}={self.value(key)}")

    def _per_port(self, key: str) -> None:
        """A number for each of the ports in their order, a dash for none."""
        for port, text in zip(self.value("BRIDGE_PORTS").split(), self.value(key).split(), strict=False):
            try:
                if text != "-":
                    number = parse_number(text, 0, 65535)
                    self.builder.draft(port, self.path, self.found[key].line).port[PER_PORT[key]] = number
            except ValueError as wrong:
                self.leave(key, str(wrong))

    def _vlan(self) -> None:
        draft = self.draft
        number = re.search(r"([0-9]{1,4})$", draft.name)
        try:
            draft.options["id"] = parse_vid(self.value("VLAN_ID") or (number[1] if number else ""))
            draft.parent = parse_ifname(self.value("ETHERDEVICE"))
            draft.kind = "vlan"
            if protocol := self.value("VLAN_PROTOCOL"):
                draft.options["protocol"] = PROTOCOLS[protocol.lower()]
        except KeyError:
            self.leave("VLAN_PROTOCOL", "neither ieee802-1Q nor ieee802-1ad")
        except ValueError as wrong:
            self.leave("ETHERDEVICE", str(wrong))


def _routes(path: str, text: str, builder: Builder) -> None:
    """``destination gateway netmask interface``; a dash stands for nothing."""
    own = path.removeprefix(f"{FOLDER}/ifroute-") if "ifroute-" in path else ""
    for number, line in enumerate(text.split("\n"), 1):
        cells = [("" if cell == "-" else cell) for cell in line.partition("#")[0].split()]
        if not cells:
            continue
        dst, gateway, mask, link = (*cells, "", "", "", "")[:4]
        with builder.left.unless_taken(path, number, line):
            if dst in ROUTE_TYPES:
                raise ValueError(f"a route of type {dst} is not supported")
            if mask and "/" in dst and parse_prefix(dst.partition("/")[0], mask) != parse_prefix(dst):
                raise ValueError(f"'{mask}' is a second length of {dst}")
            via = parse_ip(gateway) if gateway and gateway not in {"0.0.0.0", "::"} else ""
            kind = cells[4] if cells[4:5] and cells[4] in (UNICAST, *ROUTE_TYPES) else UNICAST
            rest = cells[5:] if cells[4:5] == [kind] else cells[4:]
            words = dict(zip(rest[::2], rest[1::2], strict=False))
            if set(words) - {"metric", "table"} or len(rest) % 2 or kind not in (UNICAST, *NOWHERE_TO):
                raise ValueError("these options of a route are not supported")
            if kind != UNICAST:
                to = "0.0.0.0/0" if dst == "default" else parse_prefix(dst, mask or None)
                found = host_route(to, kind, (), metric=words.get("metric", "0"), table=words.get("table", "main"))
                builder.routes.append((found, path, number, line))
                continue
            route = StaticRoute(
                dst=default_of(via) if dst == "default" else parse_prefix(dst, mask or None),
                gateway=via,
                metric=parse_number(words.get("metric", "0")),
                table=parse_table(words.get("table", "main")),
            )
            name = link or own or _nearest(via, builder)
            if not name:
                raise ValueError("no link has the gateway in its subnet")
            builder.draft(name, path, number).routes.append(route)


def _rules(path: str, text: str, builder: Builder) -> None:
    """``ipv4 from 10.0.0.0/8 table 52 pref 1000`` (ifrule(5))."""
    for number, line in enumerate(text.split("\n"), 1):
        words = line.partition("#")[0].split()
        family = words.pop(0) if words and words[0] in {"ipv4", "ipv6"} else ""
        with builder.left.unless_taken(path, number, line):
            builder.rules += [parse_rule_words(words, ipv6=family == "ipv6")] if words else []


def _nearest(gateway: str, builder: Builder) -> str:
    """The link in whose subnet a gateway lies."""
    for draft in builder.drafts.values():
        if gateway and any(ip_address(gateway) in ip_interface(address).network for address in draft.addresses):
            return draft.name
    return ""
