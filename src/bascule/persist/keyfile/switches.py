"""Open vSwitch in NetworkManager's profiles: bridge, port and interface are one each (nm-openvswitch(7)).

The internal port of a bridge, with the host's addresses, is an ovs-interface under an ovs-port of the same name; a NIC
is under an ovs-port, too, and several make a bond of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from bascule.model.links import OpenVSwitch, OpenVSwitchBond
from bascule.persist.config import LinkConfig
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.gaps import Gaps
from bascule.persist.formats.ini import Section
from bascule.persist.formats.openvswitch import BOND, BRIDGE, Columns, bond_config, port_columns, spans_of
from bascule.persist.formats.values import words

Items = list[tuple[str, str]]
Sections = list[tuple[str, Items]]

BRIDGE_KEYS = {  # NetworkManager's key: the column
    "datapath-type": "datapath_type",
    "fail-mode": "fail_mode",
    "mcast-snooping-enable": "mcast_snooping_enable",
    "rstp-enable": "rstp_enable",
    "stp-enable": "stp_enable",
}
PORT_KEYS = {
    "bond-downdelay": "bond_downdelay",
    "bond-mode": "bond_mode",
    "bond-updelay": "bond_updelay",
    "lacp": "lacp",
    "tag": "tag",
    "trunks": "trunks",
    "vlan-mode": "vlan_mode",
}
OTHER = "ovs-other-config"  # a section of keys "data.NAME", since 1.42
KINDS = {"ovs-bridge": BRIDGE_KEYS, "ovs-port": PORT_KEYS}
IDENTITY = words("id uuid type interface-name master slave-type controller port-type autoconnect timestamp")


# ---- to files


def bridge(link: LinkConfig, options: OpenVSwitch) -> Sections:
    """The profile of a bridge, without its [connection]."""
    said: Items = [("datapath-type", options.datapath)] if options.datapath else []
    said += [("fail-mode", options.fail_mode)] if options.fail_mode else []
    flags = {
        "mcast-snooping-enable": options.mcast_snooping,
        "rstp-enable": options.rstp,
        "stp-enable": options.stp_state and not options.rstp,
    }
    said += [(key, "true") for key, value in flags.items() if value]
    return [("ovs-bridge", said), *_config({"hwaddr": str(link.mac)} if link.mac else {})]


def port(link: LinkConfig, gaps: Gaps) -> Sections:
    """The profile of a port, without its [connection]."""
    if link.port is not None:
        for key, value in link.port.as_json().items():
            gaps.add(link.name, key, value, "a port of Open vSwitch has no such key in NetworkManager")
    columns = dict(word.split("=", 1) for word in port_columns(link))
    if "trunks" in columns:
        columns["trunks"] = spans_of(link)
    said: Items = [(key, columns[column]) for key, column in PORT_KEYS.items() if column in columns]
    config = bond_config(link.options) if isinstance(link.options, OpenVSwitchBond) else {}
    return [("ovs-port", said), *_config(config)]


def _config(values: Mapping[str, str]) -> Sections:
    return [(OTHER, [(f"data.{key}", value) for key, value in values.items()])]


# ---- from files


class _Row(Struct):
    """A profile of a bridge or a port. ``above`` is what its profile calls its master."""

    kind: str
    name: str
    path: str
    line: int
    above: str
    keys: frozenset[str]  # by which others name it
    members: list[str] = field(default_factory=list)


class Switches(Columns):
    """All profiles of bridges and ports, and which link is under which."""

    def __init__(self, profiles: Iterable[tuple[str, Mapping[str, Section]]], builder: Builder) -> None:
        super().__init__()
        self.builder = builder
        self.rows: list[_Row] = []
        for path, sections in profiles:
            connection = sections["connection"]
            kind = connection.get("type")
            if kind in KINDS:
                self._row(kind, path, sections, connection)
        for row in self.rows:
            if row.kind == "ovs-bridge":
                with builder.left.unless_taken(row.path, row.line, row.name):
                    draft = builder.draft(row.name, row.path, row.line)
                    draft.kind = BRIDGE

    def _row(self, kind: str, path: str, sections: Mapping[str, Section], connection: Section) -> None:
        name = connection.get("interface-name") or connection.get("id")
        above = connection.get("controller") or connection.get("master")
        keys = frozenset(filter(None, (connection.get("uuid"), connection.get("id"), name)))
        self.rows.append(_Row(kind, name, path, connection.line, above, keys))
        table = "Bridge" if kind == "ovs-bridge" else "Port"
        for section in sections.values():
            for item in section.items:
                with self.builder.left.unless_taken(path, item.line, f"[{section.name}] {item.key}={item.value}"):
                    if section.name == kind and item.key in KINDS[kind]:
                        self.take(table, name, [f"{KINDS[kind][item.key]}={item.value.lower().rstrip(';')}"])
                    elif section.name == OTHER and item.key.startswith("data."):
                        self.take(table, name, [f"other_config:{item.key.removeprefix('data.')}={item.value}"])
                    elif section.name != "connection" or item.key not in IDENTITY:
                        raise ValueError("not taken")
                    else:
                        self.builder.left.passes(path, item.line, f"[{section.name}] {item.key}={item.value}")

    def _find(self, kind: str, key: str) -> _Row | None:
        return next((row for row in self.rows if row.kind == kind and key in row.keys), None)

    def internal(self, name: str, above: str) -> bool:
        """Whether an ovs-interface is a bridge's own, on which the host speaks."""
        row = self._find("ovs-port", above)
        on = self._find("ovs-bridge", row.above) if row is not None else None
        return on is not None and on.name == name

    def enslave(self, member: str, above: str) -> None:
        """A NIC under a port."""
        row = self._find("ovs-port", above)
        if row is not None:
            row.members.append(member)

    def finish(self) -> None:
        """Put every link under its bridge, or its bond under it."""
        for row in self.rows:
            on = self._find("ovs-bridge", row.above) if row.kind == "ovs-port" else None
            if on is None or not row.members:
                continue
            if len(row.members) == 1 and "bond_mode" not in self.said.get(("Port", row.name), {}):
                (member,) = row.members
                self.builder.enslave(member, on.name, row.path, row.line)
                self.said[("Port", member)] = self.said.pop(("Port", row.name), {})
                continue
            self._bond(row, row.members, on.name)
        self.settle(self.builder)

    def _bond(self, row: _Row, members: Sequence[str], bridge: str) -> None:
        try:
            self.builder.draft(row.name, row.path, row.line).kind = BOND
        except ValueError as wrong:
            self.builder.left.add(row.path, row.line, row.name, str(wrong))
            return
        self.said.setdefault(("Port", row.name), {})
        self.builder.enslave(row.name, bridge, row.path, row.line)
        for member in members:
            self.builder.enslave(member, row.name, row.path, row.line)
