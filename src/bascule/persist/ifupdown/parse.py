"""Reading /etc/network/interfaces as it is found: includes, continuation lines, old and new words, Proxmox's too."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from bascule.model.host_links import Ipv6
from bascule.model.values import parse_ifname, parse_vid
from bascule.persist.config import StaticRoute
from bascule.persist.formats import linkfile
from bascule.persist.formats.bonding import parse_bond_option
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.openvswitch import TYPES
from bascule.persist.formats.values import (
    default_of,
    parse_bool,
    parse_ip,
    parse_number,
    parse_privacy,
    ticks,
)
from bascule.persist.formats.vlans import from_name
from bascule.persist.ifupdown import MAIN
from bascule.persist.ifupdown.dhclient import read_hook
from bascule.persist.ifupdown.hooks import hook, takes_host_route
from bascule.persist.ifupdown.includes import Line, Stanza, absolute, logical_lines
from bascule.persist.ifupdown.makers import made_by
from bascule.persist.ifupdown.switches import SWITCHES, SwitchWords, is_taken
from bascule.persist.ifupdown.vlans import VlanWords
from bascule.persist.ifupdown.words import (
    BRIDGE,
    HOOKS,
    ODD_TYPES,
    PORT_FLAGS,
    SECONDS,
    SILENT,
    SIMPLE,
    give_name_servers,
    own_address,
    patterns,
    per_port,
    port_names,
    put_peer,
    take_executors,
)
from bascule.persist.parsed import Files, Hardware, Parsed

FOLDER = "etc/network/interfaces.d/"

_SET_ASIDE = re.compile(r"\.(dpkg|ucf)-[a-z]+$|\.(bak|old|orig|save|rpmsave|swp)$")
_RUN_PARTS = re.compile(r"[A-Za-z0-9_.-]+")  # names that source-directory takes


def parse(files: Files, hardware: Hardware | None = None) -> Parsed:  # noqa: ARG001  # every dialect has this shape
    """The meaning of the files."""
    builder = Builder()
    reader = InterfacesFiles(builder, files)
    if MAIN in files:
        reader.file(MAIN, ())
    for path in sorted(files):
        if path.startswith(FOLDER) and path not in reader.seen:
            builder.left.add(path, 0, "", f"not included by /{MAIN}")
    reader.settle()
    linkfile.parse(files, builder)
    read_hook(files, builder)
    return builder.finish()


class InterfacesFiles:
    """All files that the first one leads to."""

    def __init__(self, builder: Builder, files: Files) -> None:
        self.builder = builder
        self.files = files
        self.seen: set[str] = set()
        self.autos: set[str] = set()
        self.classes: dict[str, set[str]] = {}  # of links that somebody brings up together
        self.raised: dict[str, Line] = {}  # names of stanzas, each with the line that brings it up
        self.named = {"lo"}  # by stanzas of all kinds
        self.stanzas: list[Stanza] = []
        self.loopback: list[Stanza] = []
        self.current: Stanza | None = None
        self.called: dict[str, str] = {}  # of stanzas that are a logical interface: the link
        self.patterns: list[str] = []  # of links that come up by themselves
        self.refused: list[tuple[Stanza, str]] = []
        self.inheriting: list[tuple[Stanza, str]] = []  # stanzas with the name of another one whose options are theirs
        self.vlans = VlanWords()
        self.of_ipv6: set[str] = set()  # links whose stanzas speak of IPv6
        self.resolver: list[Line] = []  # name servers of no link
        self.switches = SwitchWords()

    def leave(self, line: Line, why: str) -> None:
        """A line that is not supported."""
        self.builder.left.add(line.file, line.number, line.text, why)

    def file(self, path: str, chain: tuple[str, ...]) -> None:
        """One file; ``chain`` are the files that led to it."""
        if path in self.seen:
            return
        self.seen.add(path)
        self.current = None
        for number, text in logical_lines(self.files[path]):
            line = self._line(path, number, text)
            first = line.words[0]
            if first in {"source", "source-directory"}:
                self._source(line, (*chain, path))
                self.current = None
            elif first == "auto" or first.startswith("allow-"):
                self._auto(line)
                self.current = None
            elif first == "iface":
                self._iface(line)
            elif first in {"mapping", "rename", "template"}:
                self.named.update(line.words[1:])
                self.current = Stanza(first, "", "", line)
                self.refused.append((self.current, "not taken"))
            elif first in {"no-auto-down", "no-scripts"}:
                self.builder.left.passes(path, number, text)
                self.current = None
            elif self.current is not None:
                self.current.options.append(line)
            else:
                self.leave(line, "outside of a stanza")

    def _line(self, path: str, number: int, text: str) -> Line:
        """A line without the comment behind its value, which ifupdown itself takes for a part of the value."""
        said, sign, _ = text.partition(" #" if " #" in text else "\t#")
        if not sign or not said.strip() or said.split()[0] in HOOKS:  # a shell knows comments
            return Line(path, number, text.split(), text)
        line = Line(path, number, said.split(), text)
        self.leave(line, "the comment behind the value is cut; ifupdown takes it for a part of the value")
        return line

    def _source(self, line: Line, chain: tuple[str, ...]) -> None:
        for pattern in line.words[1:]:
            directory = line.words[0] == "source-directory"
            wanted = absolute(pattern, line.file) + "/*" * directory
            hits = sorted(
                path
                for path in ([wanted] if wanted in self.files else self.files)
                if fnmatchcase(path, wanted) and path.count("/") == wanted.count("/")
            )
            if directory:
                hits = [path for path in hits if _RUN_PARTS.fullmatch(path.rpartition("/")[2])]
                hits = [path for path in hits if not _SET_ASIDE.search(path)]
            if len(chain) > 20:
                self.leave(line, "files include each other too deeply")
                return
            for path in hits:
                if directory and "." in path.rpartition("/")[2]:
                    self.builder.left.add(path, 0, "", "Debian's ifupdown ignores a name with a dot; read here")
                if path in chain:
                    self.leave(line, f"a loop: {path} includes itself")
                else:
                    self.file(path, chain)
            if not (hits or directory or set(pattern) & set("*?[")):
                self.leave(line, "there is no such file")

    def _auto(self, line: Line) -> None:
        for name in line.words[1:]:
            physical, sign, logical = name.partition("=")
            if sign and not set(name) & set("*?[/"):  # the stanza of one name configures a link of another
                self.called[logical] = physical
                self.autos.add(physical)
            elif name.startswith("/") and "/" not in name[1:]:
                self.patterns.append(name[1:])
            elif set(name) & set("*?[/="):
                self.leave(line, "patterns are not supported")
            elif line.words[0] in {"auto", "allow-auto", "allow-hotplug", "allow-ovs"}:
                self.autos.add(name)
            else:
                self.classes.setdefault(name, set()).add(line.words[0].removeprefix("allow-"))
            if not set(name) & set("*?[/"):
                self.raised.setdefault(logical or name, line)

    def _iface(self, line: Line) -> None:
        """Open a stanza; one that is not supported is told with all its lines."""
        name, family, method = ([*line.words[1:], "", "", ""])[:3]
        family, method = family or "inet", method or "manual"
        self.current = Stanza(name, family, method, line)
        self.named.add(name)
        known = {"static", "manual", "dhcp", "loopback", *(("auto",) if family == "inet6" else ())}
        if not name or family not in {"inet", "inet6"}:
            self.refused.append((self.current, "this address family is not supported"))
        elif method not in known:
            self.refused.append((self.current, f"the method '{method}' is not supported"))
        elif name == "lo":
            self.loopback.append(self.current)
        else:
            self.stanzas.append(self.current)
        if "inherits" in line.words[3:]:
            self.inheriting.append((self.current, line.words[-1]))

    def settle(self) -> None:
        """From stanzas to links."""
        for stanza in (*self.stanzas, *self.loopback):
            stanza.name = self.called.get(stanza.name, stanza.name)
            take_executors(self.builder, stanza)
            self.autos |= {stanza.name for pattern in self.patterns if fnmatchcase(stanza.name, pattern)}
        self._inherit()
        self._exclude_unsupported()
        for stanza in self.stanzas:
            base, colon, _ = stanza.name.partition(":")
            try:
                draft = self.builder.draft(base, stanza.head.file, stanza.head.number)
            except ValueError as wrong:
                self.leave(stanza.head, str(wrong))
                continue
            if not colon:
                draft.onboot = base in self.autos
            elif stanza.name not in self.autos:
                self.leave(stanza.head, "nothing brings this address up; the site file does")
            self._kind(draft, stanza)
        for stanza in self.stanzas:
            draft_or_none = self.builder.drafts.get(stanza.name.partition(":")[0])  # type: ignore[call-overload]
            if draft_or_none is not None:
                self._stanza(draft_or_none, stanza)
        for draft in self.builder.drafts.values():
            if draft.name not in self.of_ipv6 and (draft.addresses or draft.dhcp4):
                draft.ipv6 = Ipv6.AUTO  # ifup leaves it to the kernel, which listens
        self._implied()
        give_name_servers(self.builder, self.resolver)
        self.switches.settle(self.builder)
        for name in self.raised.keys() - self.named - self.builder.drafts.keys():
            self.leave(self.raised[name], f"there is no stanza for {name}")
        self.vlans.settle(self.builder)

    def _inherit(self) -> None:
        """Options of another stanza, where it does not say them itself."""
        for stanza, name in self.inheriting:
            above = next((one for one in self.stanzas if one.name == name), None)
            if above is None:
                self.leave(stanza.head, f"there is no stanza '{name}' to inherit from")
                continue
            own = {line.key for line in stanza.options}
            stanza.options += [line for line in above.options if line.key not in own]

    def _exclude_unsupported(self) -> None:
        """Stanzas of links that are not supported, and what stands in those of the loopback."""
        for stanza in [*self.stanzas]:
            odd = next((line for line in stanza.options if line.key in ODD_TYPES and not is_taken(line)), None)
            if odd is not None:
                kind = ODD_TYPES[odd.key]
                kind = f"a {odd.words[1]}" if kind == "of another kind" and len(odd.words) > 1 else kind
                self.builder.exclude(stanza.name, f"{kind}, which is not supported")
            for line in stanza.options if odd is None else ():
                if line.key in HOOKS and not line.key.endswith("down"):
                    for name, kind in made_by(" ".join(line.words[1:]), stanza.name):
                        self.builder.exclude(name, f"{kind} that a command makes, which is not supported")
        for stanza in [*self.stanzas]:
            if stanza.name in self.builder.excluded:
                self.refused.append((stanza, f"{stanza.name} is {self.builder.excluded[stanza.name]}"))
                self.stanzas.remove(stanza)
        for stanza, why in self.refused:
            lines = [(line.number, line.text) for line in (stanza.head, *stanza.options)]
            self.builder.left.add_all(stanza.head.file, lines, why)
        for line in (line for stanza in self.loopback for line in stanza.options):
            if line.key.startswith("dns-"):
                self.resolver.append(line)
            elif line.key not in HOOKS or not takes_host_route(self.builder, line):
                self.leave(line, "is on the loopback, which a site file does not cover")

    def _implied(self) -> None:
        """What a line makes without a stanza: a VLAN that bridge-ports names, a bond that a member names."""
        told = {stanza.name for stanza in self.stanzas}
        for draft in [*self.builder.drafts.values()]:
            parent, vid = from_name(draft.name)
            if draft.name not in told and not draft.kind and parent and draft.master is not None:
                draft.kind = "vlan"
                with self.builder.left.unless_taken(draft.file, draft.line, draft.name):
                    draft.parent, draft.options["id"] = parse_ifname(parent), parse_vid(vid.lstrip("0") or vid)
        for name, kind in self.builder.implied.items():
            master = self.builder.draft(name, MAIN, 0)
            master.kind = master.kind or kind

    def _kind(self, draft: LinkDraft, stanza: Stanza) -> None:
        """What a link is follows from the options that it has; a VLAN may follow from its name alone."""
        keys = {line.key: line for line in stanza.options}
        if "ovs-type" in keys:
            draft.kind = TYPES[" ".join(keys["ovs-type"].words[1:]).lower()]
            bridge = " ".join(keys["ovs-bridge"].words[1:]) if "ovs-bridge" in keys else ""
            draft.onboot = draft.onboot or bridge in self.classes.get(draft.name, ())
        if draft.kind in SWITCHES:
            return
        if "bridge-ports" in keys:
            draft.kind = "bridge"
        elif "bond-master" in keys:
            pass  # whatever else it says of a bond, it says of its master
        elif any(key.startswith("bond-") and key != "bond-primary" for key in keys) or "slaves" in keys:
            draft.kind = draft.kind or "bond"
        parent, text = from_name(draft.name)
        raw, ident = keys.get("vlan-raw-device"), keys.get("vlan-id")
        if draft.kind in {"", "vlan"} and (raw is not None or parent):
            draft.kind = "vlan"
            text = ident.words[1] if ident and len(ident.words) > 1 else text
            parent = raw.words[1] if raw and len(raw.words) > 1 else parent
            try:
                if text:
                    draft.options["id"] = parse_vid(text.lstrip("0") or text)
                if parent:
                    draft.parent = parse_ifname(parent)
            except ValueError as wrong:
                self.leave(stanza.head, str(wrong))

    def _stanza(self, draft: LinkDraft, stanza: Stanza) -> None:
        if stanza.method == "dhcp" and stanza.family == "inet":
            draft.dhcp4 = True
        elif stanza.family == "inet6":
            keys = {line.key: line.words[-1] for line in stanza.options}
            listens = keys.get("accept_ra", "0") not in {"0", "off"} or keys.get("autoconf", "0") == "1"
            mode = {"auto": Ipv6.AUTO, "dhcp": Ipv6.DHCP}.get(stanza.method, Ipv6.AUTO if listens else Ipv6.MANUAL)
            order = [Ipv6.OFF, Ipv6.MANUAL, Ipv6.AUTO, Ipv6.DHCP]
            draft.ipv6 = max(draft.ipv6, mode, key=order.index)
            self.of_ipv6.add(draft.name)
        for line in stanza.options:
            key, text = line.key, " ".join(line.words[1:])
            try:
                self._option(draft, stanza, key, text, line)
            except ValueError as wrong:
                self.leave(line, str(wrong))

    def _option(self, draft: LinkDraft, stanza: Stanza, key: str, text: str, line: Line) -> None:
        simple = SIMPLE.get(key)
        if key == "metric" and stanza.method == "dhcp":
            draft.metric = parse_number(text)
        elif key == "ipv6-addrgen":
            self.of_ipv6 |= set() if parse_bool(text) else {draft.name}
        elif key == "privext":
            draft.ipv6_privacy = parse_privacy(text)
            self.builder.left.passes(line.file, line.number, line.text) if draft.ipv6 is Ipv6.MANUAL else None
        elif key == "gateway":
            gateway, rank = parse_ip(text), [o.words[-1] for o in stanza.options if o.key == "metric"]
            metric = parse_number(rank[0]) if rank else 0
            draft.routes.append(StaticRoute(dst=default_of(gateway), gateway=gateway, metric=metric))
        elif key in HOOKS:
            hook(self.builder, draft, line.file, line.number, key, text)
        elif simple is not None:
            simple(draft, text)
        elif key == "address":
            if stanza.method not in {"static", "manual"}:
                raise ValueError(f"the method is {stanza.method}")
            draft.addresses.append(own_address(text, stanza.options))
        elif key.startswith("ovs-"):
            self.switches.option(self.builder, draft, key, line)
        elif key in {"bridge-ports", "bond-slaves", "slaves"}:
            self._ports(draft, key, line)
        elif key == "bond-master":
            if text != "none" and self.builder.enslave(draft.name, text, line.file, line.number):
                self.builder.implied[text] = "bond"
        elif key in SECONDS and draft.kind == "bridge":
            draft.options[SECONDS[key]] = ticks(text)
        elif key in BRIDGE and draft.kind == "bridge":
            field_name, parse = BRIDGE[key]
            draft.options[field_name] = parse(text)
        elif key in {"bridge-pathcosts", "bridge-portprios", "bridge-pathcost", "bridge-portprio"}:
            per_port(self.builder, key, line)
        elif key in PORT_FLAGS and draft.kind != "bridge":
            draft.port[PORT_FLAGS[key]] = parse_bool(text)
        elif key in {"bridge-vids", "bridge-access", "bridge-pvid", "bridge-allow-untagged"}:
            self.vlans.take(self.builder, draft, key, line)
        elif key == "bridge-ports-condone-regex":
            self.builder.unmanaged += patterns(text)
        elif key.startswith("bond-") and key not in SILENT:
            name, value = parse_bond_option(key.removeprefix("bond-"), text)
            self._bond_option(draft, stanza, name, value)
        elif key in SILENT:
            if key not in {"vlan-raw-device", "vlan-id"}:
                self.builder.left.passes(line.file, line.number, line.text)
        elif key == "pointopoint":
            put_peer(self.builder, draft, stanza.options, line)
        elif key == "accept_ra" and text == "2":
            raise ValueError("a site file cannot say that a router accepts router advertisements")
        elif key not in {"netmask", "accept_ra", "metric"}:
            raise ValueError("not taken")

    def _bond_option(self, draft: LinkDraft, stanza: Stanza, name: str, value: object) -> None:
        """An option of a bond; in a member's stanza it is its bond's, where that says nothing else."""
        master = next((" ".join(o.words[1:]) for o in stanza.options if o.key == "bond-master"), "")
        if master:
            draft = self.builder.draft(master, stanza.head.file, stanza.head.number)
            if draft.options.get(name, value) != value:
                raise ValueError(f"{master} says {draft.options[name]}")
        draft.options[name] = value

    def _ports(self, draft: LinkDraft, key: str, line: Line) -> None:
        names, are_all = port_names(line.words[1:])
        for name in names:
            self.builder.enslave(name, draft.name, line.file, line.number)
        if "glob" in line.words:
            self.builder.left.passes(line.file, line.number, line.text)
        if not are_all:
            self.builder.doubt(draft.name)
            raise ValueError("which ports that are, only the host knows")
