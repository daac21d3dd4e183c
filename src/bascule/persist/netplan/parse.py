"""Reading netplan's files as netplan does: in the order of their names, mappings merged, lists joined."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial

import yaml
from msgspec.structs import replace

from bascule.model.host_links import Ipv6, Ipv6Privacy
from bascule.model.links.wake_on_lan import MAGIC
from bascule.model.values import parse_ifname, parse_mac, parse_vid
from bascule.persist.formats import linkfile
from bascule.persist.formats.builder import Builder, LinkDraft, add_gateway, option_setter, setter
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.values import parse_bool, parse_ip, parse_mtu, parse_number, words
from bascule.persist.netplan import BOND_WORDS
from bascule.persist.netplan.dropins import read_dropins
from bascule.persist.netplan.nodes import (
    Node,
    definitions,
    in_words,
    items_of,
    networks,
    pairs,
    refused_members,
    renderer_of,
    text_of,
    texts_of,
)
from bascule.persist.netplan.overrides import OVERRIDES, override
from bascule.persist.netplan.passthrough import read_passthrough
from bascule.persist.netplan.routes import destination_of, parse_whole_address, route_of, tuning_of
from bascule.persist.netplan.switches import KINDS as SWITCHES
from bascule.persist.netplan.switches import SwitchRows, foreign_kind, is_switched
from bascule.persist.networkd.offers import Uses
from bascule.persist.networkd.words import parse_bond_value, span_ticks
from bascule.persist.parsed import Files, Hardware, Parsed

KINDS = {"ethernets": "", "bridges": "bridge", "bonds": "bond", "vlans": "vlan", "dummy-devices": "dummy"}
BRIDGE = {
    "ageing-time": "ageing_time",
    "aging-time": "ageing_time",
    "forward-delay": "forward_delay",
    "hello-time": "hello_time",
    "max-age": "max_age",
}
SILENT = words(
    """
    renderer optional critical optional-addresses ignore-carrier emit-lldp match set-name
    ipv6-address-generation interfaces
    """
)


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:
    """The meaning of the files."""
    builder = Builder()
    documents = networks(files, builder)
    reader = NetplanFiles(builder, hardware or {})
    for path, network in documents.items():
        reader.names(path, network)
    reader.choose()
    for path, network in documents.items():
        reader.read(path, network)
    reader.enslave()
    reader.switches.settle(builder)
    for draft in builder.drafts.values():
        reader.settle(draft)
    linkfile.parse(files, builder)
    read_dropins(files, builder)
    return replace(builder.finish(), networkmanagers=frozenset(filter(reader.is_networkmanagers, builder.drafts)))


class NetplanFiles:
    """All files, onto the same drafts."""

    def __init__(self, builder: Builder, hardware: Hardware) -> None:
        self.builder = builder
        self.hardware = hardware
        self.called: dict[str, list[str]] = {}  # netplan's ids and the links that they stand for
        self.matched: dict[str, dict[str, Node]] = {}
        self.speaker: dict[str, str] = {}  # of each link the id that networkd goes by
        self.members: list[tuple[str, str, str, int]] = []
        self.local: dict[str, bool] = {}
        self.accept: dict[str, bool] = {}
        self.dhcp6: set[str] = set()
        self.manager: dict[str, str] = {}
        self.renderer = "networkd"
        self.stp: dict[str, bool | None] = {}
        self.switches = SwitchRows()
        self.uses: dict[str, Uses] = {}

    def leave(self, path: str, node: Node, text: str, why: str) -> None:
        """Something that is not supported."""
        self.builder.left.add(path, node.start_mark.line + 1, text, why)

    def names(self, path: str, network: yaml.MappingNode) -> None:
        """Which links the ids stand for: the id itself, ``set-name``, or the known NICs that ``match`` fits."""
        self.renderer = renderer_of(network) or self.renderer
        for group, links in pairs(network):
            if group.value not in KINDS:
                continue
            for name, body in definitions(links):
                ident = str(name.value)
                keys = {str(key.value): value for key, value in pairs(body)}
                known = self.matched.setdefault(ident, {})
                known.update({key: keys[key] for key in ("match", "set-name") if key in keys})
                self.called[ident] = self._names(ident, known) if known else [ident]

    def choose(self) -> None:
        """Of several ids for one link networkd takes the first unit by its name; netplan makes one of each id."""
        for ident in sorted(self.called, key=lambda ident: f"{ident}.network"):
            for name in self.called[ident]:
                self.speaker.setdefault(name, ident)

    def _names(self, ident: str, known: dict[str, Node]) -> list[str]:
        if isinstance(known.get("set-name"), yaml.ScalarNode):
            return [str(known["set-name"].value)]
        if "match" not in known:
            return [ident]
        wanted = {str(key.value): str(value.value) for key, value in pairs(known["match"])}
        fits: list[str] = []
        for nic, mac in self.hardware.items():
            by_name = fnmatchcase(nic, wanted.get("name", "*"))
            by_mac = "macaddress" not in wanted or (mac is not None and mac == wanted["macaddress"].lower())
            if wanted and by_name and by_mac:
                fits.append(nic)
        if not fits and set(wanted) == {"macaddress"} and not self.hardware:
            fits.append(ident)  # netplan's ids are the names that people give: on no host they stand for themselves
        if not fits and set(wanted) == {"name"} and not set(wanted["name"]) & set("*?["):
            fits.append(wanted["name"])
        return fits

    def read(self, path: str, network: yaml.MappingNode) -> None:
        """One file."""
        for group, links in pairs(network):
            if group.value in KINDS:
                renderer = renderer_of(links)
                for name, body in definitions(links):
                    kind = KINDS[group.value]
                    if renderer:
                        self.manager.update(dict.fromkeys(self.called[str(name.value)], renderer))
                    if odd := foreign_kind(kind, body):
                        self._exclude(path, name, body, odd)
                    else:
                        self._definition(path, SWITCHES.get(kind, kind) if is_switched(body) else kind, name, body)
            elif group.value not in {"version", "renderer"}:
                kind = {"wifis": "wireless", "openvswitch": "Open vSwitch's"}.get(group.value, f"among {group.value}")
                for name, body in definitions(links):
                    self._exclude(path, name, body, kind)
                    for link, why in refused_members(group.value, name, body, self.called):
                        self.builder.exclude(link, f"{why}, which is not supported")
                if not definitions(links):
                    self.leave(path, group, str(group.value), "such links are not supported")

    def _exclude(self, path: str, ident: yaml.ScalarNode, body: Node, kind: str) -> None:
        """A definition that is not supported, with all that it says."""
        self.builder.exclude(str(ident.value), f"{kind}, which is not supported")
        self.leave(path, ident, f"{ident.value}: {in_words(body)}", f"{ident.value} is {kind}, which is not supported")

    def _definition(self, path: str, kind: str, ident: yaml.ScalarNode, body: Node) -> None:
        names = self.called[str(ident.value)]
        if not names:
            why = "its match fits no known NIC, and it has no set-name"
            self.leave(path, ident, f"{ident.value}: {in_words(body)}", why)
        for name in names:
            if self.speaker[name] != ident.value:
                why = f"networkd takes the unit of {self.speaker[name]} for {name}, whose name sorts first"
                self.leave(path, ident, f"{ident.value}: {in_words(body)}", why)
                continue
            try:
                draft = self.builder.draft(name, path, ident.start_mark.line + 1)
            except ValueError as wrong:
                self.leave(path, ident, name, str(wrong))
                continue
            if draft.kind and draft.kind != kind:
                self.leave(path, ident, name, f"it is a {draft.kind} already")
                continue
            draft.kind = kind
            if draft.name != ident.value:
                self.builder.left.passes(path, ident.start_mark.line + 1, f"{ident.value}: is {draft.name}")
            for key, value in pairs(body):
                try:
                    self._key(path, draft, str(key.value), value)
                except ValueError as wrong:
                    self.leave(path, key, f"{draft.name}: {key.value}: {in_words(value)}".rstrip(": "), str(wrong))

    def _key(self, path: str, draft: LinkDraft, key: str, node: Node) -> None:
        simple = _SIMPLE.get(key)
        if simple is not None:
            simple(draft, text_of(node))
        elif key == "interfaces":
            if not isinstance(node, yaml.SequenceNode):
                self.builder.doubt(draft.name)
            for item in texts_of(node):
                self.members.append((item, draft.name, path, node.start_mark.line + 1))
        elif key == "parameters":
            self._parameters(path, draft, node)
        elif key == "match":
            for word, value in pairs(node):
                if word.value == "macaddress":
                    draft.pin_mac = parse_mac(text_of(value))
        elif key == "renderer":
            self.manager[draft.name] = text_of(node)
        elif key == "addresses":
            self._addresses(path, draft, node)
        elif key == "routes":
            self._routes(path, draft, node)
        elif key == "nameservers":
            self._nameservers(path, draft, node)
        elif key == "routing-policy":
            self._policy(path, draft, node)
        elif key in OVERRIDES:
            self._overrides(path, draft, key, node)
        elif key == "dhcp6":
            (self.dhcp6.add if parse_bool(text_of(node)) else self.dhcp6.discard)(draft.name)
        elif key == "accept-ra":
            self.accept[draft.name] = parse_bool(text_of(node))
        elif key == "ipv6-privacy":
            is_used = parse_bool(text_of(node))
            draft.ipv6_privacy = Ipv6Privacy.PREFER_TEMPORARY if is_used else Ipv6Privacy.OFF
        elif key == "link-local":
            self.local[draft.name] = "ipv6" in texts_of(node)
            if "ipv4" in texts_of(node):
                raise ValueError("a link-local address of IPv4 is not supported")
        elif key == "link":
            named = self.called.get(text_of(node), [text_of(node)])
            if len(named) != 1:
                raise ValueError("stands for no link, or for several")
            draft.parent = parse_ifname(named[0])
        elif key == "openvswitch":
            self.switches.read(draft, node, partial(self.leave, path))
        elif key == "networkmanager":
            passes = self.builder.left.passes
            told = partial(self.leave, path), lambda at, said: passes(path, at.start_mark.line + 1, said)
            read_passthrough(draft, node, *told)
        elif key in SILENT:
            said = f"{draft.name}: {key}: {in_words(node)}"
            if key not in {"set-name", "interfaces"}:
                self.builder.left.passes(path, node.start_mark.line + 1, said)
        else:
            raise ValueError("not taken")

    def _parameters(self, path: str, draft: LinkDraft, node: Node) -> None:
        if draft.kind == "bridge":
            self.stp.setdefault(draft.name, None)
        for key, value in pairs(node):
            try:
                self._parameter(draft, str(key.value), value)
            except ValueError as wrong:
                self.leave(path, key, f"{draft.name}: {key.value}: {in_words(value)}", str(wrong))

    def _parameter(self, draft: LinkDraft, key: str, value: Node) -> None:
        if draft.kind == SWITCHES["bond"]:
            self.switches.parameter(draft, key, value)
        elif draft.kind == "bond" and (field := BOND_WORDS.get(key.replace("member", "slave"))):
            many = texts_of(value) if isinstance(value, yaml.SequenceNode) else [text_of(value)]
            draft.options[field] = parse_bond_value(field, many)
        elif draft.kind == "bridge" and key == "stp":
            self.stp[draft.name] = parse_bool(text_of(value))
        elif draft.kind == "bridge" and key == "priority":
            draft.options["priority"] = parse_number(text_of(value), 0, 65535)
        elif draft.kind == "bridge" and key in BRIDGE:
            draft.options[BRIDGE[key]] = span_ticks(text_of(value))
        elif draft.kind == "bridge" and key in {"path-cost", "port-priority"}:
            for port, number in pairs(value):
                names = self.called.get(str(port.value), [str(port.value)])
                for name in names:
                    high = 65535 if key == "path-cost" else 63
                    member = self.builder.draft(name, draft.file, draft.line)
                    field = "cost" if key == "path-cost" else "priority"
                    member.port[field] = parse_number(text_of(number), 0, high)
        else:
            raise ValueError("not taken")

    def _addresses(self, path: str, draft: LinkDraft, node: Node) -> None:
        for item in items_of(node):
            given = [(item, None)] if isinstance(item, yaml.ScalarNode) else pairs(item)
            for address, options in given:
                said = f"{draft.name}: address {in_words(item)}"
                try:
                    draft.addresses.append(parse_whole_address(str(address.value)))
                except ValueError as wrong:
                    self.leave(path, item, said, str(wrong))
                if options is not None and pairs(options):
                    self.leave(path, item, said, "lifetime and label of an address are not supported")

    def _nameservers(self, path: str, draft: LinkDraft, node: Node) -> None:
        for key, value in pairs(node):
            if key.value == "addresses":
                for text in texts_of(value):
                    try:
                        draft.dns.append(parse_ip(text))
                    except ValueError as wrong:
                        self.leave(path, value, f"{draft.name}: name server {text}", str(wrong))
            elif key.value == "search":
                draft.search += texts_of(value)

    def _routes(self, path: str, draft: LinkDraft, node: Node) -> None:
        for item in items_of(node):
            try:
                words = f"{draft.name}: route {in_words(item)}"
                self.builder.add_route(draft, route_of(item), path, item.start_mark.line + 1, words)
                if said := tuning_of(item):
                    self.leave(path, item, f"{draft.name}: route {destination_of(item)}: {said}", "not taken")
            except ValueError as wrong:
                self.leave(path, item, f"{draft.name}: route {in_words(item)}", str(wrong))

    def _policy(self, path: str, draft: LinkDraft, node: Node) -> None:
        for item in items_of(node):
            words = {"mark": "fwmark"}
            given = [(words.get(str(key.value), str(key.value)), text_of(value)) for key, value in pairs(item)]
            try:
                self.builder.rules.append(parse_rule_words([word for pair in given for word in pair]))
            except ValueError as wrong:
                self.leave(path, item, f"{draft.name}: routing-policy {in_words(item)}", str(wrong))

    def _overrides(self, path: str, draft: LinkDraft, group: str, node: Node) -> None:
        uses = self.uses.setdefault(draft.name, Uses())
        for key, value in pairs(node):
            said = f"{draft.name}: {group}: {key.value}: {in_words(value)}"
            leave = partial(self.leave, path, key, said)
            if (group, key.value) == ("dhcp4-overrides", "route-metric"):
                draft.metric = parse_number(text_of(value))
            elif not override(uses, group, str(key.value), value, leave):
                leave("not taken")

    def enslave(self) -> None:
        """Ports are named by their masters."""
        for ident, master, path, line in self.members:
            names = self.called.get(ident, [ident])
            if not names:
                self.builder.doubt(master)
                self.builder.left.add(path, line, f"{ident} under {master}", "its match fits no known NIC")
            for name in names:
                if ident not in self.called or self.speaker[name] == ident:  # another unit knows of no master
                    self.builder.enslave(name, master, path, line)

    def is_networkmanagers(self, name: str) -> bool:
        """Whether NetworkManager is to make a link, and not systemd-networkd."""
        return self.manager.get(name, self.renderer) == "NetworkManager"

    def settle(self, draft: LinkDraft) -> None:
        """What follows from several keys together."""
        if draft.kind == "bridge":
            # netplan says STP=true as soon as any parameter is given; without one networkd leaves the kernel's off
            stp = self.stp.get(draft.name, self.is_networkmanagers(draft.name))
            draft.options["stp_state"] = int(True if stp is None else stp)
        below = self.builder.drafts.get(draft.parent) if draft.parent else None
        if below is not None and below.kind == SWITCHES["bridge"]:
            self.builder.exclude(draft.name, "a fake bridge of Open vSwitch, which is not supported")
        local = self.local.get(draft.name, draft.master is None)
        if draft.name in self.dhcp6:
            draft.ipv6 = Ipv6.DHCP
            if self.accept.get(draft.name) is False:
                said = f"{draft.name}: accept-ra: false"
                self.builder.left.add(draft.file, draft.line, said, "beside DHCPv6 a site file cannot say it")
        elif self.accept.get(draft.name, local):
            draft.ipv6 = Ipv6.AUTO
        else:
            draft.ipv6 = Ipv6.MANUAL if local else Ipv6.OFF
        if (uses := self.uses.get(draft.name)) is not None:
            if self.is_networkmanagers(draft.name):
                uses.as_network_manager()
            uses.settle(draft)


def _port_flag(field: str) -> Callable[[LinkDraft, str], None]:
    def put(draft: LinkDraft, text: str) -> None:
        draft.port[field] = parse_bool(text)

    return put


def _identifier(draft: LinkDraft, text: str) -> None:
    if text not in {"mac", "duid"}:
        raise ValueError(f"'{text}' is neither mac nor duid")
    draft.client_id = replace(draft.client_id, by_mac=text == "mac")


_SIMPLE: dict[str, Callable[[LinkDraft, str], None]] = {
    "macaddress": setter("mac", parse_mac),
    "mtu": setter("mtu", parse_mtu),
    "wakeonlan": setter("wol", lambda text: MAGIC if parse_bool(text) else ()),
    "dhcp4": setter("dhcp4", parse_bool),
    "dhcp-identifier": _identifier,
    "activation-mode": setter("onboot", lambda text: text not in {"manual", "off"}),
    "id": option_setter("id", parse_vid),
    "gateway4": add_gateway,
    "gateway6": add_gateway,
    "hairpin": _port_flag("hairpin"),
    "port-mac-learning": _port_flag("learning"),
    "neigh-suppress": _port_flag("neigh_suppress"),
}
