"""Reading networkd's units as networkd does: files sorted by name, the first .network that matches a link wins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bascule.model.host_links import Ipv6
from bascule.model.values import IfName, parse_ifname, parse_mac
from bascule.persist.formats import ini, linkfile
from bascule.persist.formats.builder import KINDS, Builder, LinkDraft, add_gateway
from bascule.persist.formats.ini import Item, Section
from bascule.persist.formats.values import (
    parse_address,
    parse_bool,
    parse_mtu,
    parse_number,
)
from bascule.persist.networkd import FOLDER
from bascule.persist.networkd.match import (
    GLOB,
    Located,
    match_items,
    matches,
    name_by_mac,
    names_outright,
    not_compared,
    server,
)
from bascule.persist.networkd.offers import Uses
from bascule.persist.networkd.routes import in_words, parse_route
from bascule.persist.networkd.words import (
    DHCP4,
    FLAG_FIELD,
    NETDEV,
    SILENT,
    TUNING,
    drops_untagged,
    parse_bridge_vlan,
    parse_networkd_privacy,
    parse_rule,
    put_client_id,
)
from bascule.persist.parsed import NO_LINK, Files, Hardware, Parsed


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:
    """The meaning of the files."""
    builder = Builder()
    reader = UnitReader(builder, files)
    linkfile.parse(files, builder)
    for path in reader.units(".netdev"):
        reader.netdev(path)
    units = [(path, reader.unit(path)) for path in reader.units(".network")]
    for name, mac in (hardware or {}).items():
        if any(matches(sections, name, mac) for _, sections in units):
            builder.draft(name, "", 0)
    for path, sections in units:
        reader.named(path, sections, is_host=bool(hardware))
    for unit, paths in reader.dropins.items():
        if unit not in files:
            for path in paths:
                builder.left.add_file(path, files[path], f"of {unit.rpartition('/')[2]}, which is not in {FOLDER}")
    claimed: set[str] = set()
    for path, sections in units:
        reader.network(path, sections, hardware or {}, claimed)
    return builder.finish()


class UnitReader:
    """Takes units apart; netplan's drop-ins are read by it as well."""

    def __init__(self, builder: Builder, files: Files) -> None:
        self.builder = builder
        self.files = files
        self.dropins = self._dropin_index()

    def _dropin_index(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for path in sorted(self.files):
            folder, _, name = path.rpartition("/")
            if folder.endswith(".d") and name.endswith(".conf"):
                index.setdefault(folder[:-2], []).append(path)
        return index

    def units(self, ending: str) -> list[str]:
        """The paths of units in the order of their names."""
        return sorted(path for path in self.files if path.endswith(ending) and path.rpartition("/")[0] == FOLDER)

    def unit(self, path: str) -> list[Located]:
        """A unit's sections, then those of its drop-ins, each with the file that it stands in."""
        return [
            (where, section)
            for where in (path, *self.dropins.get(path, ()))
            for section in ini.read(where, self.files[where], self.builder.left, continued=True)
        ]

    def leave(self, path: str, section: Section, item: Item, why: str) -> None:
        """An item that is not supported."""
        self.builder.left.add(path, item.line, f"[{section.name}] {item.key}={item.value}", why)

    def leave_all(self, sections: list[Located], why: str) -> None:
        """A whole unit, as one thing."""
        lines = [(i.line, f"[{section.name}] {i.key}={i.value}") for _, section in sections for i in section.items]
        self.builder.left.add_all(sections[0][0], lines or [(0, "")], why)

    def put(self, path: str, section: Section, item: Item, action: Callable[[str], None]) -> None:
        """Do something with a value; what it cannot take is left over."""
        try:
            action(item.value)
        except ValueError as wrong:
            self.leave(path, section, item, str(wrong))

    def netdev(self, path: str) -> None:
        """A .netdev: a link to be made."""
        sections = self.unit(path)
        head = {item.key: item for _, section in sections if section.name == "NetDev" for item in section.items}
        name, kind = head.get("Name"), head.get("Kind")
        if name is None or kind is None:
            self.builder.left.add_file(path, self.files[path], "no Name= or no Kind= in [NetDev]")
            return
        if kind.value not in KINDS or not kind.value:
            self.builder.exclude(name.value, f"a {kind.value}, which is not supported")
            self.leave_all(sections, f"{name.value} is a {kind.value}, which is not supported")
            return
        try:
            draft = self.builder.draft(name.value, path, name.line)
        except ValueError as wrong:
            self.builder.left.add_file(path, self.files[path], str(wrong), name.line)
            return
        if draft.kind:
            self.builder.left.add_file(
                path, self.files[path], f"{name.value} is made in {draft.file} already", name.line
            )
            return
        draft.kind = kind.value
        for where, section in sections:
            self.netdev_section(where, section, draft)

    def netdev_section(self, path: str, section: Section, draft: LinkDraft) -> None:
        """One section of a .netdev."""
        for item in section.items:
            known = NETDEV.get((section.name, item.key))
            if known is not None:
                self.put(path, section, item, lambda text, known=known: known(draft, text))  # type: ignore[misc]
            elif not (section.name == "NetDev" and item.key in {"Name", "Kind"}) and item.key not in SILENT:
                self.leave(path, section, item, "not taken")

    def named(self, path: str, sections: list[Located], *, is_host: bool) -> None:
        """Links that a [Match] names outright are there, and so are those that VLAN= and Bridge= name."""
        conditions = {(item.key, item.value.lower()) for item in match_items(sections)}
        elsewhere = conditions & {("Virtualization", word) for word in ("yes", "true", "container")}  # as systemd's own
        if self.is_unmanaged(sections) or elsewhere:
            return
        for where, section in sections:
            for item in section.items if section.name == "Match" else ():
                for word in names_outright([item]):
                    self._name(word, where, item)
        if not is_host:
            name_by_mac(self.builder, path, match_items(sections))

    def _name(self, word: str, path: str, item: Item) -> None:
        with self.builder.left.unless_taken(path, item.line, f"Name={word}"):
            self.builder.draft(word, path, item.line)

    @staticmethod
    def is_unmanaged(sections: list[Located]) -> bool:
        """Whether a .network says which links are not networkd's."""
        return any(
            section.name == "Link" and section.get("Unmanaged").lower() in {"yes", "true", "1", "on"}
            for _, section in sections
        )

    def network(self, path: str, sections: list[Located], hardware: Hardware, claimed: set[str]) -> None:
        """A .network, for every link that it matches and that no file before it has matched."""
        if self.is_unmanaged(sections):
            for _, section in sections:
                for item in section.items if section.name == "Match" else ():
                    if item.key == "Name":
                        self.builder.unmanaged += item.value.split()
                    else:
                        self.leave(path, section, item, "only names are taken for links that are left alone")
            return
        links = [
            draft
            for draft in self._candidates(sections)
            if draft.name not in claimed
            and matches(sections, draft.name, draft.pin_mac or hardware.get(draft.name), draft.kind)
        ]
        if not links:
            is_matched = any(section.name == "Match" for _, section in sections)
            why = f"{NO_LINK}, or an earlier file has it" if is_matched else "no [Match]"
            self.leave_all(sections, why) if sections else self.builder.left.add(path, 0, "", why)
            for item in (item for _, section in sections if section.name == "Network" for item in section.items):
                if item.key in {"Bridge", "Bond"}:
                    self.builder.doubt(item.value)
        for where, section, item in not_compared(sections) if links else ():
            self.leave(where, section, item, "whether it fits is not compared; the name does")
        for draft in links:
            claimed.add(draft.name)
            _Network(self, draft).read(sections)

    def _candidates(self, sections: list[Located]) -> list[LinkDraft]:
        """The links that a [Match] may mean: those that it names outright, else all."""
        drafts = self.builder.drafts
        items = match_items(sections)
        if len(items) == 1 and items[0].key == "Name" and not set(items[0].value) & GLOB:
            return [drafts[IfName(word)] for word in items[0].value.split() if word in drafts]
        return list(drafts.values())


MAKES = {  # what [Network] puts on a link, by its name
    **{key: f"a {key.lower()}" for key in ("MACVLAN", "MACVTAP", "IPVLAN", "IPVTAP", "MACsec")},
    "VXLAN": "a VXLAN",
    "Tunnel": "a tunnel",
}


class _Network:
    """One .network for one link."""

    def __init__(self, reader: UnitReader, draft: LinkDraft) -> None:
        self.reader = reader
        self.draft = draft
        self.link_local: str | None = None
        self.accept_ra: bool | None = None
        self.dhcp6 = False
        self.is_primary = False
        self.uses = Uses()

    def read(self, sections: list[Located]) -> None:
        whole = {
            "Route": self._route,
            "Address": self._address,
            "BridgeVLAN": self._vlans,
            "RoutingPolicyRule": self._rule,
        }
        for path, section in sections:
            if (reads := whole.get(section.name)) is not None:
                with self.reader.builder.left.unless_taken(path, section.line, in_words(section)):
                    reads(path, section)
                    for item in (item for item in section.items if section.name == "Route" and item.key in TUNING):
                        self.reader.leave(path, section, item, "not taken")
                continue
            for item in section.items:
                if section.name != "Match" and item.key in SILENT:
                    self.reader.builder.left.passes(path, item.line, f"[{section.name}] {item.key}={item.value}")
                elif section.name != "Match":
                    self.reader.put(path, section, item, lambda _, a=section, b=item, p=path: self._item(p, a, b))  # type: ignore[misc]
        draft = self.draft
        bond = self.reader.builder.drafts.get(draft.master) if draft.master and self.is_primary else None
        if bond is not None:
            bond.options["primary"] = str(draft.name)
        bridged = draft.master is not None
        local = (self.link_local or ("no" if bridged else "ipv6")).lower() in {"yes", "true", "ipv6", "1", "on"}
        if self.dhcp6:
            draft.ipv6 = Ipv6.DHCP
        elif self.accept_ra if self.accept_ra is not None else local:
            draft.ipv6 = Ipv6.AUTO
        else:
            draft.ipv6 = Ipv6.MANUAL if local else Ipv6.OFF
        self.uses.settle(draft)

    def _item(self, path: str, section: Section, item: Item) -> None:
        draft, key, text = self.draft, item.key, item.value
        if section.name == "Network":
            self._network(path, item)
        elif section.name == "Link" and key == "MACAddress":
            draft.mac = parse_mac(text)
        elif section.name == "Link" and key == "MTUBytes":
            draft.mtu = parse_mtu(text)
        elif section.name == "Link" and key == "ActivationPolicy":
            draft.onboot = text in {"up", "always-up"}
            if text not in {"up", "manual"}:
                raise ValueError(f"only whether it is {'up' if draft.onboot else 'down'} at boot is taken")
        elif section.name == "Link" and key == "Unmanaged":
            parse_bool(text)
        elif section.name == "Bridge" and key in {"Cost", "Priority"}:
            draft.port[key.lower()] = parse_number(text, 0, 65535 if key == "Cost" else 63)
        elif section.name == "Bridge" and key in FLAG_FIELD:
            name, inverse = FLAG_FIELD[key]
            draft.port[name] = parse_bool(text) != inverse
        elif self.uses.take(section.name, key, text, partial(self.reader.leave, path, section, item)):
            pass
        elif section.name in DHCP4 and key == "RouteMetric":
            draft.metric = parse_number(text)
        elif section.name in DHCP4:
            put_client_id(draft, section, item)
        elif section.name == "VLAN" and key in {"Id", "Protocol"}:
            raise ValueError("belongs into a .netdev")
        else:
            raise ValueError("not taken")

    def _network(self, path: str, item: Item) -> None:
        draft, key, text = self.draft, item.key, item.value
        builder = self.reader.builder
        if key in {"Bridge", "Bond"}:
            builder.enslave(draft.name, text, path, item.line)
        elif key == "PrimarySlave":
            self.is_primary = parse_bool(text)
        elif key == "VLAN":
            for name in text.split():
                above = builder.drafts.get(parse_ifname(name))
                if above is None or above.kind != "vlan":
                    raise ValueError(f"no .netdev makes the VLAN {name}")
                above.parent = draft.name
        elif key == "DHCP":
            word = {"both": "yes", "v4": "ipv4", "v6": "ipv6"}.get(text.lower(), text.lower())
            draft.dhcp4 = word == "ipv4" or (word != "ipv6" and parse_bool(word))
            self.dhcp6 = word == "ipv6" or (word != "ipv4" and parse_bool(word))
        elif key == "Address":
            draft.addresses.append(parse_address(text))
        elif key == "Gateway":
            add_gateway(draft, text)
        elif key == "DNS":
            found = [server(word) for word in text.split()]
            draft.dns += [address for address, _ in found]
            if rest := [more for _, more in found if more]:
                raise ValueError(f"only the address is taken, not {', '.join(rest)}")
        elif key == "Domains":
            draft.search += text.split()
        elif key == "LinkLocalAddressing":
            self.link_local = text
            if text.lower() in {"yes", "true", "on", "1", "ipv4"}:
                raise ValueError("a link-local address of IPv4 is not supported")
        elif key == "IPv6AcceptRA":
            self.accept_ra = parse_bool(text)
        elif key == "IPv6PrivacyExtensions":
            draft.ipv6_privacy = parse_networkd_privacy(text)
        elif key == "VRF":
            self.reader.builder.exclude(draft.name, f"in the VRF {text}, which is not supported")
        elif key in MAKES:
            for name in text.split():
                self.reader.builder.exclude(name, f"{MAKES[key]}, which is not supported")
            raise ValueError("not taken")
        else:
            raise ValueError("not taken")

    def _address(self, _: str, section: Section) -> None:
        self.draft.addresses += [parse_address(item.value) for item in section.items if item.key == "Address"]
        for item in section.items:
            if item.key != "Address":
                raise ValueError(f"'{item.key}' of an address is not supported")

    def _route(self, path: str, section: Section) -> None:
        self.reader.builder.add_route(self.draft, parse_route(section), path, section.line, in_words(section))

    def _rule(self, _: str, section: Section) -> None:
        self.reader.builder.rules.append(parse_rule(section))

    def _vlans(self, _: str, section: Section) -> None:
        self.draft.vlans += parse_bridge_vlan(section)
        self.draft.drops_untagged |= drops_untagged(section)
