"""Reading NetworkManager's profiles as they are found: old and new words, masters by name, UUID or id."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from bascule.model.host_links import LISTENING, MAIN_TABLE, Ipv6
from bascule.model.links.wake_on_lan import of_manager_flags
from bascule.model.values import IfName, Mac, parse_mac, parse_vid
from bascule.persist.config import StaticRoute
from bascule.persist.formats import ini, linkfile
from bascule.persist.formats.bonding import parse_bond_option
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.ini import Section
from bascule.persist.formats.openvswitch import BRIDGE
from bascule.persist.formats.rules import parse_rule_words
from bascule.persist.formats.values import (
    OPEN_MODES,
    OWN_IPV6,
    parse_address,
    parse_bool,
    parse_ip,
    parse_mtu,
    parse_number,
    parse_privacy,
    parse_table,
    parse_tagging,
    up_to,
)
from bascule.persist.keyfile import FOLDER, nmconf
from bascule.persist.keyfile.gateways import NONE, UNSAID, default_route
from bascule.persist.keyfile.lists import merged, only_name, parse_vlans, split_list
from bascule.persist.keyfile.routes import route_of
from bascule.persist.keyfile.switches import KINDS, Switches
from bascule.persist.keyfile.words import (
    BRIDGE_KEYS,
    IDENTITY,
    IPV6_METHODS,
    SILENT,
    SILENT_SECTIONS,
    TIMES,
    TYPES,
    UNUSED,
    client_id_of,
)
from bascule.persist.parsed import IGNORED, Files, Hardware, Parsed

IPV6_IS_OFF = {"disabled", "ignore"}


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:
    """The meaning of the files."""
    builder = Builder()
    names = {mac: name for name, mac in (hardware or {}).items() if mac}
    profiles: list[tuple[str, dict[str, Section]]] = []
    seen: set[str] = set()
    called: dict[str, str] = {}  # UUID or id of a profile: the name of its link
    for path in sorted(
        (path for path in files if path.startswith(f"{FOLDER}/")), key=lambda path: ("/!" in path, path)
    ):
        if path.endswith(("~", ".bak", ".rpmsave", ".swp")):
            builder.left.add(path, 0, "", f"{IGNORED} NetworkManager does with such a name")
            continue
        sections = merged(path, files[path], builder)
        if "connection" not in sections:
            builder.left.add_file(path, files[path], "no [connection]: not a profile")
            continue
        connection = sections["connection"]
        uuid = connection.get("uuid")
        is_again = bool(uuid) and uuid in seen
        seen.add(uuid)
        if path.rpartition("/")[2].startswith("!") and is_again:  # of a package
            builder.left.add(path, 0, "", f"{IGNORED} there is a profile with its UUID in /etc or /run")
            continue
        profiles.append((path, sections))
        link = connection.get("interface-name")
        if link:
            called |= {key: link for key in (connection.get("uuid"), connection.get("id")) if key}
    configured: dict[IfName, str] = {}
    switches = Switches(profiles, builder)
    profiles = [(path, sections) for path, sections in profiles if sections["connection"].get("type") not in KINDS]
    for path, sections in sorted(profiles, key=lambda each: _rank(*each)):
        _Profile(builder, path, sections, called, names, configured, switches).read()
    switches.finish()
    linkfile.parse(files, builder)
    builder.unmanaged += nmconf.parse(files, builder.left)
    return builder.finish()


def _rank(path: str, sections: dict[str, Section]) -> tuple[bool, int, str]:
    """Which of several profiles of a link comes first: those that connect by themselves, by their priority."""
    connection = sections["connection"]
    priority = connection.get("autoconnect-priority", "0").strip()
    number = int(priority) if re.fullmatch(r"-?[0-9]{1,3}", priority) else 0
    return connection.get("autoconnect").strip().lower() in {"false", "no", "0"}, -number, path


class _Profile:
    """One profile."""

    def __init__(
        self,
        builder: Builder,
        path: str,
        sections: dict[str, Section],
        called: dict[str, str],
        names: dict[Mac, IfName],
        configured: dict[IfName, str],
        switches: Switches,
    ) -> None:
        self.builder = builder
        self.path = path
        self.sections = sections
        self.called = called
        self.names = names
        self.configured = configured
        self.switches = switches
        self.taken: set[tuple[str, str]] = set()
        self.near: list[tuple[str, ini.Item]] = []  # gateways behind an address

    def leave(self, section: str, key: str, why: str) -> None:
        found = self.sections[section]
        line = next((item.line for item in reversed(found.items) if item.key == key), found.line)
        self.taken.add((section, key))
        self.builder.left.add(self.path, line, f"[{section}] {key}={found.get(key)}", why)

    def value(self, section: str, key: str) -> str:
        found = self.sections.get(section)
        if found is None:
            return ""
        self.taken.add((section, key))
        return found.get(key).strip()

    def take(self, section: str, key: str, parse: Any) -> Any:
        text = self.value(section, key) if section in self.sections else ""
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as wrong:
            self.leave(section, key, str(wrong))
            return None

    def put(self, section: str, key: str, parse: Any, into: dict[str, Any], field: str) -> None:
        value = self.take(section, key, parse)
        if value is not None:
            into[field] = value

    def read(self) -> None:
        kind = self.value("connection", "type")
        port_of = self.value("connection", "slave-type") or self.value("connection", "port-type")
        if kind not in TYPES or port_of not in {"", "bridge", "bond", "ovs-port"} or self._is_odd_port(kind):
            odd = f"of type {kind or 'none'}" if kind not in TYPES else f"a port of a {port_of}"
            name = self.value("connection", "interface-name")
            if name:
                self.builder.exclude(name, f"{odd}, which is not supported")
            self._leave_all(f"{odd}, which is not supported")
            return
        pin = self.take("ethernet", "mac-address", parse_mac)
        name = self.value("connection", "interface-name") or self.value(kind, "interface-name")  # the latter of old
        name = name or only_name(self.value("match", "interface-name")) or self.names.get(pin, "")
        if not name and kind == "vlan":
            parent = self.value("vlan", "parent")
            name = f"{self.called.get(parent, parent)}.{self.value('vlan', 'id')}"
        if not name and pin is not None and not self.names:  # on no host a profile's id stands for its link
            called = re.sub(r"^(?:cloud-init|System) ", "", self.value("connection", "id"))  # cloud-init's, Red Hat's
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", called)[:15].strip("-")
        if not name:
            self._leave_all("no interface-name, and its MAC is not among the known NICs")
            return
        try:
            draft = self.builder.draft(name, self.path, self.sections["connection"].line)
        except ValueError as wrong:
            self.leave("connection", "interface-name", str(wrong))
            return
        if set(split_list(self.value("match", "interface-name"))) - {name}:
            self.leave("match", "interface-name", f"a site file has its name alone, {name}")
        if draft.name in self.configured:
            self._leave_all(f"{name} has a profile that takes precedence: {self.configured[draft.name]}")
            return
        self.configured[draft.name] = draft.file = self.path
        draft.kind = TYPES[kind]
        if pin is not None and draft.kind:
            self.leave("ethernet", "mac-address", "only hardware is known by its MAC")
        elif pin is not None:
            draft.pin_mac = pin
        if self.value("ethernet", "cloned-mac-address") not in {"permanent", "preserve"}:  # its own
            draft.mac = self.take("ethernet", "cloned-mac-address", parse_mac)
        draft.mac = draft.mac or self.take("bridge", "mac-address", parse_mac)
        draft.wol = self.take("ethernet", "wake-on-lan", of_manager_flags)
        draft.mtu = self.take("ethernet", "mtu", lambda text: parse_mtu(text) if text != "0" else None)
        onboot = self.take("connection", "autoconnect", parse_bool)
        draft.onboot = True if onboot is None else onboot
        is_port = self._master(draft)
        self._own(draft)
        self._port(draft)
        if "ipv4" in self.sections:
            self._family(draft, "ipv4")
        elif draft.master is None and not is_port:
            draft.dhcp4 = True  # NetworkManager's default is method=auto
        if "ipv6" in self.sections:
            self._family(draft, "ipv6")
        elif draft.master is None and not is_port:
            draft.ipv6 = Ipv6.AUTO
        self._rest(draft.name)

    def _is_odd_port(self, kind: str) -> bool:
        """Whether it is an interface of Open vSwitch's that is not a bridge's own."""
        if kind != "ovs-interface":
            return False
        name, *above = (self.value("connection", key) for key in ("interface-name", "controller", "master"))
        return not self.switches.internal(name, "".join(above))

    def _leave_all(self, why: str) -> None:
        """A whole profile, as one thing; the master that it names has a port that nobody can tell."""
        for key in ("master", "controller"):
            master = self.value("connection", key)
            if master:
                self.builder.doubt(self.called.get(master, master))
        items = [
            (item.line, f"[{name}] {item.key}={item.value}") for name, s in self.sections.items() for item in s.items
        ]
        self.builder.left.add_all(self.path, items or [(0, "")], why)

    def _master(self, draft: LinkDraft) -> bool:
        """Whether its master is a port of Open vSwitch, which stands for a bridge to come."""
        above = next(filter(None, [self.value("connection", key) for key in ("master", "controller")]), "")
        if "ovs-port" in {self.value("connection", "slave-type"), self.value("connection", "port-type")}:
            if draft.kind != BRIDGE:
                self.switches.enslave(draft.name, above)
            return draft.kind != BRIDGE
        if above:
            self.builder.enslave(draft.name, self.called.get(above, above), self.path, draft.line)
        return False

    def _own(self, draft: LinkDraft) -> None:
        if draft.kind == "bridge":
            self._bridge(draft)
        elif draft.kind == "bond":
            self._bond(draft)
        elif draft.kind == "vlan":
            parent = self.value("vlan", "parent")
            draft.parent = IfName(self.called.get(parent, parent)) or None
            self.put("vlan", "id", parse_vid, draft.options, "id")
            self.put("vlan", "protocol", parse_tagging, draft.options, "protocol")

    def _bridge(self, draft: LinkDraft) -> None:
        stp = self.take("bridge", "stp", parse_bool)
        draft.options["stp_state"] = int(stp is not False)
        for name, (key, _, high, default) in TIMES.items():
            value = self.take("bridge", key, up_to(high))
            draft.options[name] = 100 * (default if value is None else value)
        for key, (field, parse) in BRIDGE_KEYS.items():
            self.put("bridge", key, parse, draft.options, field)
        draft.vlans += self.take("bridge", "vlans", parse_vlans) or []

    def _bond(self, draft: LinkDraft) -> None:
        section = self.sections.get("bond", Section("bond", 0))
        for item in section.items:
            words = item.value.split(",") if item.key == "options" else [f"{item.key}={item.value}"]
            self.taken.add(("bond", item.key))
            for word in words:
                key, _, text = word.partition("=")
                with self.builder.left.unless_taken(self.path, item.line, f"[bond] {word}"):
                    field, value = parse_bond_option(key.strip(), text.strip())
                    draft.options[field] = value
        if not draft.options.get("arp_interval"):  # what NetworkManager sets where neither is given
            draft.options.setdefault("miimon", 100)

    def _port(self, draft: LinkDraft) -> None:
        for key, field, parse in (
            ("priority", "priority", up_to(63)),
            ("path-cost", "cost", up_to(65535)),
            ("hairpin-mode", "hairpin", parse_bool),
        ):
            self.put("bridge-port", key, parse, draft.port, field)
        draft.vlans += self.take("bridge-port", "vlans", parse_vlans) or []

    def _family(self, draft: LinkDraft, family: str) -> None:
        method = self.value(family, "method") or "auto"
        draft.dhcp4 = method == "auto" if family == "ipv4" else draft.dhcp4
        if family == "ipv6":
            draft.ipv6 = IPV6_METHODS.get(method, Ipv6.OFF)
            if self.value(family, "ip6-privacy") not in {"", "-1"}:
                draft.ipv6_privacy = self.take(family, "ip6-privacy", parse_privacy)
        known = {"auto", "manual", "disabled", "ignore", *(("dhcp", "link-local") if family == "ipv6" else ())}
        if method not in known:
            self.leave(family, "method", "this method is not supported")
        before, self.near = len(draft.routes), []
        for item in self.sections[family].items:
            if re.fullmatch(r"address(es)?[0-9]*", item.key):
                self._addresses(draft, family, item)
            elif re.fullmatch(r"routes?[0-9]*", item.key):
                self._route(draft, family, item)
            elif re.fullmatch(r"routing-rule[0-9]+", item.key):
                self._rule(family, item)
        never = [item.line for item in self.sections[family].items if item.key == "never-default"]
        draft.routes += default_route(
            self.builder, self.path, family, self.take(family, "gateway", parse_ip), self.near,
            never=never[0] if self.take(family, "never-default", parse_bool) else 0,
        )  # fmt: skip
        draft.routes[before:] = self._ranked(draft, family, draft.routes[before:])
        for server in split_list(self.value(family, "dns")):
            try:
                draft.dns.append(parse_ip(server))
            except ValueError as wrong:
                self.leave(family, "dns", str(wrong))
        draft.search += split_list(self.value(family, "dns-search"))
        self._client_id(draft, family)
        for key, offer in UNUSED.items():
            if self.take(family, key, parse_bool):
                draft.unused.add((offer, 4 if family == "ipv4" else 6))

    def _ranked(self, draft: LinkDraft, family: str, routes: list[StaticRoute]) -> list[StaticRoute]:
        """The routes of a family with the metric and in the table of its profile, where they have none themselves."""
        metric = self.take(family, "route-metric", parse_number)
        if metric is not None and family == "ipv4":
            draft.metric = metric
        elif metric is not None and draft.ipv6 in LISTENING:
            self.leave(family, "route-metric", "the metric of what an advertisement brings is not supported")
        table = self.take(family, "route-table", lambda text: parse_table(text) if text != "0" else MAIN_TABLE)
        if table not in {None, MAIN_TABLE} and (draft.dhcp4 if family == "ipv4" else draft.ipv6 is Ipv6.AUTO):
            self.leave(family, "route-table", "what a lease or an advertisement brings is not moved to another table")
        return [
            replace(
                route,
                metric=route.metric if route.metric != UNSAID else metric or 0,
                table=table if table is not None and route.table == MAIN_TABLE else route.table,
            )
            for route in routes
        ]

    def _client_id(self, draft: LinkDraft, family: str) -> None:
        """Who the link is to its DHCP server, as far as it is told without the link's name and connection."""
        section = self.sections[family]
        if draft.dhcp4 and section.get("dhcp-iaid").strip().isdigit():
            draft.client_id = replace(draft.client_id, iaid=self.take(family, "dhcp-iaid", parse_number))
        said = client_id_of(section.get("dhcp-client-id").strip(), draft.client_id)
        if family == "ipv4" and said is not None:
            self.taken.add((family, "dhcp-client-id"))
            draft.client_id = said

    def _addresses(self, draft: LinkDraft, family: str, item: ini.Item) -> None:
        """``address1=192.168.1.10/24,192.168.1.1``: the gateway behind the comma is the old way."""
        self.taken.add((family, item.key))
        for text in filter(None, item.value.split(";")):
            parts = re.split(r"[,\s]+", text.strip())
            with self.builder.left.unless_taken(self.path, item.line, f"[{family}] {item.key}={item.value}"):
                draft.addresses.append(parse_address(parts[0], "24" if family == "ipv4" else "64"))
                if len(parts) > 1 and parts[1] not in NONE:
                    self.near.append((parse_ip(parts[1]), item))

    def _rule(self, family: str, item: ini.Item) -> None:
        self.taken.add((family, item.key))
        with self.builder.left.unless_taken(self.path, item.line, f"[{family}] {item.key}={item.value}"):
            self.builder.rules.append(parse_rule_words(item.value.split(), ipv6=family == "ipv6"))

    def _route(self, draft: LinkDraft, family: str, item: ini.Item) -> None:
        self.taken |= {(family, item.key), (family, f"{item.key}_options")}
        options = self.sections[family].get(f"{item.key}_options")
        said = f"[{family}] {item.key}={item.value}{f' {item.key}_options={options}' if options else ''}"
        try:
            route, tuning = route_of(item.value, options)
        except ValueError as wrong:
            self.builder.left.add(self.path, item.line, said, str(wrong))
            return
        self.builder.add_route(draft, route, self.path, item.line, said)
        for word in tuning:
            self.builder.left.add(self.path, item.line, f"{item.key}_options {word}", "not taken")

    def _rest(self, name: str) -> None:
        for section in self.sections.values():
            if section.name in SILENT_SECTIONS:
                continue
            for item in section.items:
                said = f"[{section.name}] {item.key}={item.value}"
                if item.key == "id" and section.name == "connection" and item.value != name:
                    self.builder.left.passes(self.path, item.line, said)
                if (section.name, item.key) in self.taken or item.key in IDENTITY:
                    continue
                mode = item.key == "addr-gen-mode"
                if item.key in SILENT or (mode and (item.value in OPEN_MODES or section.get("method") in IPV6_IS_OFF)):
                    self.builder.left.passes(self.path, item.line, said)
                elif mode:
                    self.builder.left.add(self.path, item.line, said, OWN_IPV6)
                else:
                    self.builder.left.add(self.path, item.line, said, "not taken")
