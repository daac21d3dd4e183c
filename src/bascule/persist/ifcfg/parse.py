"""Reading network-scripts as they are found: several files for one link, aliases, old and new keys."""

from __future__ import annotations

import re
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import Any

from msgspec.structs import replace

from bascule.model.host_links import Ipv6, Ipv6Privacy, PolicyRule
from bascule.model.links import BridgePort
from bascule.model.links.options import defaults_of
from bascule.model.links.wake_on_lan import ethtool_words
from bascule.model.values import IfName, Mac, classful, parse_ifname, parse_mac, parse_vid
from bascule.persist.config import StaticRoute
from bascule.persist.formats import sysfs
from bascule.persist.formats.builder import Builder, LinkDraft, add_gateway
from bascule.persist.formats.openvswitch import TYPES as SWITCHES
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.shell import Assignment, AssignmentFile, assignments
from bascule.persist.formats.values import (
    default_of,
    parse_address,
    parse_bool,
    parse_flag,
    parse_ip,
    parse_mask,
    parse_mtu,
    parse_number,
    ticks,
    up_to,
    words,
)
from bascule.persist.formats.vlans import from_name
from bascule.persist.ifcfg import FOLDER, SKIPPED, UNUSED
from bascule.persist.ifcfg.routes import read_routes
from bascule.persist.ifcfg.switches import SwitchKeys
from bascule.persist.keyfile import nmconf
from bascule.persist.keyfile.lists import parse_vlans
from bascule.persist.parsed import IGNORED, Files, Hardware, Parsed, UnparsedLines

GLOBAL = "etc/sysconfig/network"

TYPES = {"ethernet": "", "bridge": "bridge", "bond": "bond", "vlan": "vlan", **SWITCHES}

_OWN = words("UUID SLAVE BONDING_MASTER")  # said by what the file is, and what it is a port of
SILENT = words(
    # nothing that a network would differ by, or what other keys say already
    """
    NAME NM_CONTROLLED USERCTL NETWORK BROADCAST HOTPLUG PROXY_METHOD BROWSER_ONLY
    IPV4_FAILURE_FATAL IPV6_FAILURE_FATAL IPV6FORWARDING IPV6_ADDR_GEN_MODE NOZEROCONF LINKDELAY ARPCHECK
    AUTOCONNECT_PRIORITY PERSISTENT_DHCLIENT REORDER_HDR ONPARENT NETBOOT AUTOCONNECT_SLAVES
    DHCLIENT_IGNORE_GATEWAY IPV6_DISABLED VLAN_FLAGS GVRP
    """
)

ODD_KEYS = {  # keys that only such a link has, and what it is
    "TEAM_MASTER": "a port of a team",
    "TEAM_CONFIG": "a team",
    "ESSID": "wireless",
    "PEER_OUTER_IPADDR": "a tunnel",
}

_RULE, _RULE6 = re.compile(r"ROUTING_RULE6?_\w*"), "ROUTING_RULE6"
_NUMBERED = re.compile(r"(IPADDR|NETMASK|PREFIX|GATEWAY|DNS)([0-9]{0,4})")


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:
    """The meaning of the files."""
    builder = Builder()
    names = {mac: name for name, mac in (hardware or {}).items() if mac}
    gateways: list[tuple[Assignment, str]] = []
    settings = _global(files, builder, gateways)
    switches = SwitchKeys()
    uuids = _uuids(files)
    called: dict[str, str] = {}  # what the files are named after, and their links
    for path in sorted(path for path in files if path.startswith(f"{FOLDER}/ifcfg-")):
        suffix = path.removeprefix(f"{FOLDER}/ifcfg-")
        if suffix.endswith(SKIPPED):
            builder.left.add(path, 0, "", f"{IGNORED} the scripts do with such a name")
        elif re.search(r"-range[0-9]+$", suffix):
            builder.left.add_all(path, enumerate(files[path].strip().split("\n"), 1), "a range of aliases, not taken")
        elif suffix != "lo":
            called[suffix] = _IfcfgFile(builder, path, suffix, names, settings, switches, uuids).read(files[path])
    for path in sorted(path for path in files if re.match(rf"{FOLDER}/(route|rule)6?-", path)):
        read_routes(path, files[path], builder, called)
    _implied(builder)
    switches.settle(builder)
    for assignment, device in gateways:
        _global_gateway(assignment, device, builder)
    builder.unmanaged += nmconf.parse(files, builder.left)
    return builder.finish()


def _uuids(files: Files) -> dict[str, str]:
    """The links of NetworkManager's profiles in such files, by UUID."""
    found: dict[str, str] = {}
    for path in (path for path in files if path.startswith(f"{FOLDER}/ifcfg-") and "UUID" in files[path]):
        said = {a.key: a.value for a in assignments(path, files[path], UnparsedLines())}
        if said.get("UUID") and said.get("DEVICE"):
            found[said["UUID"]] = said["DEVICE"]
    return found


def _global(files: Files, builder: Builder, gateways: list[tuple[Assignment, str]]) -> dict[str, str]:
    found = {a.key: a for a in assignments(GLOBAL, files.get(GLOBAL, ""), builder.left)}
    for key in ("GATEWAY", "IPV6_DEFAULTGW"):
        if key in found:
            device = found.get("GATEWAYDEV") or found.get("IPV6_DEFAULTDEV")
            gateways.append((found[key], device.value if device else ""))
    known = {"GATEWAY", "GATEWAYDEV", "IPV6_DEFAULTGW", "IPV6_DEFAULTDEV", "NETWORKING", "NETWORKING_IPV6", "HOSTNAME"}
    for key, assignment in found.items():
        if key in SILENT:
            builder.left.passes(GLOBAL, assignment.line, f"{key}={assignment.value}")
        elif key not in known:
            builder.left.add(GLOBAL, assignment.line, f"{key}={assignment.value}", "not taken")
    return {key: assignment.value for key, assignment in found.items()}


def _global_gateway(assignment: Assignment, device: str, builder: Builder) -> None:
    """The gateway of /etc/sysconfig/network belongs to GATEWAYDEV, or to the link in whose subnet it lies."""
    text, _, zone = assignment.value.partition("%")
    device = zone or device
    try:
        gateway = parse_ip(text)
    except ValueError as wrong:
        builder.left.add(GLOBAL, assignment.line, f"{assignment.key}={assignment.value}", str(wrong))
        return
    route = StaticRoute(dst=default_of(gateway), gateway=gateway)
    for draft in builder.drafts.values():
        near = any(ip_address(gateway) in ip_interface(address).network for address in draft.addresses)
        if draft.name == device or (not device and near):
            if not any(other.is_plain_default and other.is_ipv6 == route.is_ipv6 for other in draft.routes):
                draft.routes.append(route)
            return
    builder.left.add(GLOBAL, assignment.line, f"{assignment.key}={assignment.value}", "no link has it in its subnet")


class _IfcfgFile(AssignmentFile):
    """One ifcfg file."""

    def __init__(
        self,
        builder: Builder,
        path: str,
        suffix: str,
        names: dict[Mac, IfName],
        settings: dict[str, str],
        switches: SwitchKeys,
        uuids: dict[str, str],
    ) -> None:
        super().__init__(builder, path)
        self.uuids = uuids
        self.suffix = suffix
        self.names = names
        self.settings = settings
        self.switches = switches

    def read(self, text: str) -> str:
        """The name of its link."""
        self.load(text)
        kind = self._kind()
        if kind is None or not self.found:
            return self.suffix
        hwaddr = self.take("HWADDR", parse_mac)
        name = self.value("DEVICE") or self.names.get(hwaddr, "") or self.suffix
        base, colon, _ = name.partition(":")  # eth0:1 is an alias: an address of eth0
        line = self.found["DEVICE"].line if "DEVICE" in self.found else 0
        try:
            draft = self.builder.draft(base, self.path, line)
        except ValueError as wrong:
            self.builder.left.add(self.path, line, name, str(wrong))
            return name
        if colon:
            self._addresses(draft)
            self.asked |= {"ONBOOT", "BOOTPROTO"}  # an alias comes with its link
            self._rest()
            return name
        draft.kind = kind or draft.kind
        if draft.kind == "":
            draft.pin_mac = hwaddr
        elif hwaddr is not None:
            self.leave("HWADDR", "only hardware is known by its MAC; MACADDR gives one to a link")
        draft.mac = self.take("MACADDR", parse_mac)
        draft.mtu = self.take("MTU", parse_mtu)
        draft.wol = self.take("ETHTOOL_OPTS", ethtool_words)
        onboot = self.take("ONBOOT", parse_bool)
        draft.onboot = True if onboot is None else onboot
        self._master(draft)
        self._options(draft)
        self.switches.read(self.builder, draft, self)
        self._ip(draft)
        self._rules()
        self._rest()
        return name

    def _kind(self) -> str | None:
        """The kind of link; None for one that is not supported."""
        said = (self.value("TYPE"), self.value("DEVICETYPE"))
        text = next(filter(None, said), "").lower()
        if self.value("VLAN").lower() in {"yes", "true"}:
            return "vlan"
        if self.value("BONDING_OPTS") or self.value("BONDING_MASTER").lower() == "yes":
            return "bond"
        odd = f"of type {text}" if text and text not in TYPES else ""
        odd = next((what for key, what in ODD_KEYS.items() if key in self.found), odd)
        if odd:
            name = self.value("DEVICE") or self.suffix
            self.builder.exclude(name, f"{odd}, which is not supported")
            self.leave_all(f"{name} is {odd}, which is not supported")
            for master in filter(None, (self.value("BRIDGE"), self.value("MASTER"))):
                self.builder.doubt(master)
            return None
        return TYPES.get(text, "")

    def _master(self, draft: LinkDraft) -> None:
        for key in ("BRIDGE", "MASTER"):  # NetworkManager names them by their UUID, alone or as well
            if (own := f"{key}_UUID") in self.found and self.value(own) not in self.uuids and not self.value(key):
                self.leave(own, "no file has this UUID, so it is not known what it is a port of")
        bridge, bond = self._named("BRIDGE"), self._named("MASTER")
        for key, master in (("BRIDGE", bridge), ("MASTER", bond)):
            if master and not (key == "MASTER" and bridge):
                line = self.found[key if key in self.found else f"{key}_UUID"].line
                self.builder.enslave(draft.name, master, self.path, line)
                self.builder.implied[master] = "bridge" if key == "BRIDGE" else "bond"
            elif master:
                self.leave(key, f"it is a port of {bridge} as well")

    def _named(self, key: str) -> str:
        return self.value(key) or self.uuids.get(self.value(f"{key}_UUID"), "")

    def _options(self, draft: LinkDraft) -> None:
        for key in ("BRIDGE_VLANS", "BRIDGE_PORT_VLANS"):
            draft.vlans += self.take(key, parse_vlans) or []
        if draft.kind == "bridge":
            for key, field, parse in (
                ("STP", "stp_state", parse_flag),
                ("DELAY", "forward_delay", ticks),
                ("AGEING", "ageing_time", ticks),
                ("PRIO", "priority", up_to(65535)),
            ):
                self.put(key, parse, draft.options, field)
            self._words("BRIDGING_OPTS", sysfs.BRIDGE_FIELD, draft.options)
        elif "BRIDGING_OPTS" in self.found:
            self._words("BRIDGING_OPTS", sysfs.PORT_FIELD, draft.port)
        if draft.kind == "bond":
            self.bond_options("BONDING_OPTS", draft.options)
        if draft.kind == "vlan":
            self._vlan(draft)

    def _words(self, key: str, fields: dict[str, str], into: dict[str, Any]) -> None:
        flags = {name for name, default in defaults_of(BridgePort) if isinstance(default, bool)}
        for word in self.value(key).split():
            name, _, text = word.partition("=")
            if name not in fields:
                self.leave(key, f"the option '{name}' is not supported")
                continue
            try:
                number = parse_mask(text)
            except ValueError as wrong:
                self.leave(key, str(wrong))
                continue
            into[fields[name]] = bool(number) if fields is sysfs.PORT_FIELD and fields[name] in flags else number

    def _vlan(self, draft: LinkDraft) -> None:
        parent, vid = from_name(draft.name)
        vid = self.value("VLAN_ID") or vid
        with self.builder.left.unless_taken(self.path, draft.line, draft.name):
            draft.parent = parse_ifname(self.value("PHYSDEV") or parent)
            draft.options["id"] = parse_vid(vid.lstrip("0") or vid)

    def _addresses(self, draft: LinkDraft) -> None:
        numbers = {m[2] for key in self.found if (m := _NUMBERED.fullmatch(key)) and m[1] == "IPADDR"}
        for suffix in sorted(numbers, key=lambda text: int(text) if text else -1):
            key = f"IPADDR{suffix}"
            if not self.value(key):
                continue
            length, mask = self.value(f"PREFIX{suffix}"), self.value(f"NETMASK{suffix}")
            prefix = length or mask or classful(self.value(key))
            address = self.take(key, partial(parse_address, prefix=prefix))
            if address is not None:
                draft.addresses.append(address)
        for key in self.found:
            match = _NUMBERED.fullmatch(key)
            if match and match[1] == "GATEWAY":
                gateway = self.take(key, parse_ip)
                if gateway is not None:
                    add_gateway(draft, gateway)

    def _ip(self, draft: LinkDraft) -> None:
        proto = self.value("BOOTPROTO").lower()
        if proto in {"dhcp", "bootp"}:
            draft.dhcp4 = True
            for key in [key for key in self.found if key.startswith("IPADDR") and self.value(key)]:
                self.leave(key, "the scripts ignore it where BOOTPROTO=dhcp")
                del self.found[key]
        elif proto not in {"", "none", "static"}:
            self.leave("BOOTPROTO", "neither none, static nor dhcp")
        self._addresses(draft)
        if self.value("DEFROUTE").lower() == "no":
            draft.routes = [route for route in draft.routes if not route.is_plain_default]
        metric = self.take("METRIC", parse_number) or self.take("IPV4_ROUTE_METRIC", parse_number)
        if metric is not None:
            draft.metric = metric
            draft.routes = [replace(r, metric=metric) if r.is_plain_default else r for r in draft.routes]
        servers = sorted(
            (int(m[2] or 0), key) for key in self.found if (m := _NUMBERED.fullmatch(key)) and m[1] == "DNS"
        )
        draft.dns += [server for _, key in servers if (server := self.take(key, parse_ip)) is not None]
        draft.search += self.value("DOMAIN").split()
        self._ip6(draft)
        draft.unused |= {offer for key, offer in UNUSED.items() if self.value(key).lower() == "no"}

    def _rules(self) -> None:
        """What NetworkManager writes where initscripts have rule-eth0."""
        for key in [key for key in self.found if _RULE.fullmatch(key)]:
            rule = self.take(key, partial(_rule, ipv6=key.startswith(_RULE6)))
            if rule is not None:
                self.builder.rules.append(rule)

    def _ip6(self, draft: LinkDraft) -> None:
        if not self.value("IPV6INIT") and self.settings.get("NETWORKING_IPV6", "yes").lower() != "no":
            draft.ipv6 = Ipv6.AUTO if draft.addresses or draft.dhcp4 else Ipv6.OFF  # left to the kernel, which listens
        init = self.take("IPV6INIT", parse_bool)
        if not init or self.settings.get("NETWORKING_IPV6", "yes").lower() == "no":
            for key in ("IPV6ADDR", "IPV6ADDR_SECONDARIES", "IPV6_DEFAULTGW"):
                if self.value(key):
                    self.leave(key, "IPV6INIT is not yes, so the scripts ignore it")
            return
        auto = self.take("IPV6_AUTOCONF", parse_bool)
        draft.ipv6 = Ipv6.MANUAL if auto is False else Ipv6.AUTO
        draft.ipv6_privacy = self.take("IPV6_PRIVACY", _privacy)
        if self.take("DHCPV6C", parse_bool):
            draft.ipv6 = Ipv6.DHCP
        for key in ("IPV6ADDR", "IPV6ADDR_SECONDARIES"):
            for text in self.value(key).split():
                try:
                    draft.addresses.append(_six(parse_address(text, None if "/" in text else "64")))
                except ValueError as wrong:
                    self.leave(key, str(wrong))
        gateway = self.take("IPV6_DEFAULTGW", lambda text: parse_ip(text.partition("%")[0]))
        if gateway is not None and self.value("IPV6_DEFROUTE").lower() != "no":
            add_gateway(draft, gateway)

    def _rest(self) -> None:
        for key in self.found:
            if key in UNUSED and self.value(key).lower() == "no":
                continue
            if key in SILENT or key in UNUSED:
                self.builder.left.passes(self.path, self.found[key].line, f"{key}={self.found[key].value}")
        for key in self.unasked():
            if key not in SILENT and key not in _OWN:
                self.leave(key, "not taken")


def _rule(text: str, *, ipv6: bool) -> PolicyRule:
    return parse_rule_words(text.split(), ipv6=ipv6)


def _privacy(text: str) -> Ipv6Privacy:
    if text.lower() in {"rfc3041", "rfc4941"}:
        return Ipv6Privacy.PREFER_TEMPORARY
    return Ipv6Privacy.PREFER_TEMPORARY if parse_bool(text) else Ipv6Privacy.OFF


def _six(address: str) -> str:
    if ":" not in address:
        raise ValueError(f"'{address}' is not an IPv6 address")
    return address


def _implied(builder: Builder) -> None:
    """A bridge that a port names is made by the scripts even without a file of its own."""
    for draft in list(builder.drafts.values()):
        if draft.master is not None and not (draft.master in builder.drafts or draft.master in builder.excluded):
            builder.draft(draft.master, draft.file, draft.line).kind = builder.implied.get(draft.master, "bridge")
