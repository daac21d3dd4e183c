"""What Open vSwitch keeps, as rows by name: those columns of its database that make a switch what it is.

The names of fields are those of the columns (ovs-vswitchd.conf.db(5)); None and () stand for an empty set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

from msgspec import Struct, field

from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.openflow import FlowRule, LoadedRule
from bascule.model.site import SwitchedNic
from bascule.model.values import grouped
from bascule.model.volatile import Volatile
from bascule.plan.change import Command
from bascule.policy.guards.flows import COOKIE, levels_of

MARK = "bascule"  # the key in external_ids under which the site stands that a row was made for
RATE, PRIMARY = "lacp-time", "bond-primary"  # keys of a bond in other_config of its port
HWADDR = "hwaddr"  # the key of a bridge's own MAC
MOST = "max-rate"  # the key of a queue's rate, in bit/s
OWN_KEYS = frozenset({RATE, PRIMARY, HWADDR, MOST})  # of other_config, whose other keys are others'
LIMIT = "bascule-limit"  # the key of an interface under which its limit stands, where the file says one
GUARDS = "bascule-guards"  # the key of a bridge under which the names of its guarded ports stand
NETDEV = "netdev"  # the datapath_type of a switch whose frames are moved in userspace
SECURE = "secure"  # the fail_mode of a switch that passes what its rules say and nothing else
REOPENED = "reopen"  # the type of an interface, which Open vSwitch does not have, between closing and opening it
SHOWN_RULES = 3  # of somebody else's


class Row(Struct, frozen=True, kw_only=True):
    """A row of a table. ``columns`` are those that are read and written as they are."""

    table: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]

    name: str
    external_ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def site(self) -> str:
        """The site that it was made for; empty where it is somebody else's."""
        return self.external_ids.get(MARK, "")


class BridgeRow(Row, frozen=True, kw_only=True):
    """A switch."""

    table: ClassVar[str] = "Bridge"
    columns: ClassVar[tuple[str, ...]] = (
        *("external_ids", "datapath_type", "fail_mode", "stp_enable", "rstp_enable", "mcast_snooping_enable"),
        "other_config",
    )

    datapath_type: str = ""
    fail_mode: str | None = None
    stp_enable: bool = False
    rstp_enable: bool = False
    mcast_snooping_enable: bool = False
    other_config: Mapping[str, str] = field(default_factory=dict)


class InterfaceRow(Row, frozen=True, kw_only=True):
    """A link under a port; several make a bond."""

    table: ClassVar[str] = "Interface"
    columns: ClassVar[tuple[str, ...]] = (
        *("external_ids", "type", "options", "mtu_request", "ingress_policing_rate", "ingress_policing_burst"),
    )

    type: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    mtu_request: int | None = None
    ingress_policing_rate: int = 0  # of what comes in by it, in kbit/s; 0 is all
    ingress_policing_burst: int = 0  # kbit


class QosRow(Struct, frozen=True, kw_only=True):
    """How what leaves by a port is queued."""

    columns: ClassVar[tuple[str, ...]] = ("type", "other_config", "external_ids")

    type: str = ""
    other_config: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)


class PortRow(Row, frozen=True, kw_only=True):
    """A port of a switch."""

    table: ClassVar[str] = "Port"
    columns: ClassVar[tuple[str, ...]] = (
        *("external_ids", "tag", "trunks", "vlan_mode", "protected", "bond_mode", "lacp", "bond_updelay"),
        *("bond_downdelay", "other_config"),
    )

    bridge: str
    interfaces: tuple[InterfaceRow, ...]
    qos: QosRow | None = None
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    vlan_mode: str | None = None
    protected: bool = False
    bond_mode: str | None = None
    lacp: str | None = None
    bond_updelay: int = 0  # milliseconds
    bond_downdelay: int = 0
    other_config: Mapping[str, str] = field(default_factory=dict)


class MirrorRow(Row, frozen=True, kw_only=True):
    """Copies of frames; ports by their names. Its key in the state is BRIDGE/NAME: a name alone may stand twice."""

    table: ClassVar[str] = "Mirror"
    columns: ClassVar[tuple[str, ...]] = ("external_ids", "select_all", "select_vlan", "output_vlan")
    ports: ClassVar[tuple[str, ...]] = ("select_src_port", "select_dst_port", "output_port")

    bridge: str
    select_all: bool = False
    select_vlan: tuple[int, ...] = ()  # of frames of these VLANs alone
    output_vlan: int | None = None
    select_src_port: tuple[str, ...] = ()
    select_dst_port: tuple[str, ...] = ()
    output_port: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Who gets copies of whose frames."""
        sources = sorted({*self.select_src_port, *self.select_dst_port})
        whose = "all" if self.select_all else ", ".join(sources) or "nobody"
        whose += f" of VLAN {', '.join(map(str, self.select_vlan))}" if self.select_vlan else ""
        heard = "nobody" if self.output_vlan is None else f"VLAN {self.output_vlan}"
        return f"mirror {whose} → {', '.join(self.output_port) or heard}"


class FlowTable(Struct, frozen=True, kw_only=True):
    """The guards' rules on a switch, and how it shows fragments to them (``nx-match``, or ``normal``)."""

    fragments: str
    flows: tuple[FlowRule, ...]


class SwitchCounters(Volatile, frozen=True, kw_only=True):
    """What the database shows beside its configuration.

    ``uuids`` are by TABLE/NAME, ``errors`` what ovs-vswitchd says of an interface that it could not open,
    ``ofports`` the number that OpenFlow has for each interface that it did open.
    ``next_cfg`` counts the changes that were asked for, ``cur_cfg`` those that ovs-vswitchd has done; ``trouble`` is
    why it does nothing of what it is told, "" where it does or nobody has asked; ``waited``: it had still to do some,
    and has done them. ``others_rules`` are those of OpenFlow that somebody else has put among the guards', by bridge;
    ``controlled`` are the bridges that have a controller.
    ``lacking`` are columns, by table, that an older version's database does not have.
    ``halfway`` are interfaces that somebody closed in order to open them again, and was ended before he did.
    """

    root: str = ""
    uuids: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    ofports: Mapping[str, int] = field(default_factory=dict)
    next_cfg: int = 0
    cur_cfg: int = 0
    version: str = ""
    trouble: str = ""
    waited: bool = False
    others_rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    controlled: frozenset[str] = frozenset()
    lacking: frozenset[tuple[str, str]] = frozenset()
    halfway: frozenset[str] = frozenset()


class SwitchState(Struct, frozen=True, kw_only=True, dict=True):
    """All switches of one database, behind the socket ``socket``.

    ``unheard`` are interfaces that ovs-vswitchd opened for a link that has gone, or was made anew: with the userspace
    datapath it hears nothing of a new link until it opens it again. So are those that it has closed for that.
    """

    socket: str
    bridges: Mapping[str, BridgeRow] = field(default_factory=dict)
    ports: Mapping[str, PortRow] = field(default_factory=dict)
    mirrors: Mapping[str, MirrorRow] = field(default_factory=dict)
    flows: Mapping[str, FlowTable] = field(default_factory=dict)  # of the guards, by bridge
    unheard: frozenset[str] = frozenset()
    seen: SwitchCounters = SwitchCounters()

    def besides_guards(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """What of others may let frames pass the guards of a bridge, and the evidence."""
        for name, rules in sorted(self.seen.others_rules.items()):
            yield (
                name,
                "somebody else's rules of OpenFlow stand among those of its guards, and may pass them over",
                rules,
            )
        guarded = {name for name, row in self.bridges.items() if GUARDS in row.external_ids}
        for name in sorted(self.seen.controlled & guarded):
            words = "it has a controller, which may put rules of OpenFlow before those of its guards"
            yield name, words, (f"ovs-vsctl get-controller {name}",)

    def guards_on(self, bridge: str) -> Mapping[str, GuardLevel]:
        """By the rules of OpenFlow that were read with the database."""
        if bridge not in self.bridges or bridge not in self.flows:
            return {}
        if bridge not in self._guards:  # asked of each port
            self._guards[bridge] = levels_of(self.flows[bridge].flows, self._guarded(bridge))
        return self._guards[bridge]

    def unseen_guards(self) -> frozenset[str]:
        """Those that a bridge's row names, where ovs-vswitchd does nothing."""
        return frozenset(name for bridge in self.bridges if self.seen.trouble for name in self._guarded(bridge))

    def guard_rules(self) -> Mapping[str, tuple[LoadedRule, ...]]:
        """Those of Bascule's cookie."""
        return {name: tuple(LoadedRule(COOKIE, 0, one) for one in table.flows) for name, table in self.flows.items()}

    def join(self, bridge: str, tap: str, nic: SwitchedNic, *, isolated: bool) -> Command:
        """Beside the plan's transaction, by one ovs-vsctl."""
        from bascule.providers.ovs.guest_port import join

        return join(self.socket, bridge, tap, nic, isolated=isolated)

    def leave(self, tap: str) -> Command:
        """The same."""
        from bascule.providers.ovs.guest_port import leave

        return leave(self.socket, tap)

    def _guarded(self, bridge: str) -> list[str]:
        return self.bridges[bridge].external_ids.get(GUARDS, "").split()

    @cached_property
    def _guards(self) -> dict[str, Mapping[str, GuardLevel]]:
        return {}

    def passed_over(self) -> Iterator[tuple[str, str]]:
        """The same in words, with some of the evidence."""
        for bridge, words, evidence in self.besides_guards():
            yield bridge, f"{words}: {'; '.join(evidence[:SHOWN_RULES])}"

    def ports_of(self, bridge: str) -> tuple[PortRow, ...]:
        """The ports of a switch, in the order of their names."""
        return self._by_bridge.get(bridge, ())

    @cached_property
    def _by_bridge(self) -> Mapping[str, tuple[PortRow, ...]]:
        found = grouped((port.bridge, port) for _, port in sorted(self.ports.items()))
        return {bridge: tuple(ports) for bridge, ports in found.items()}


def plain(value: Any) -> Any:
    """A datum of OVSDB (RFC 7047, 5.1) as a scalar, a tuple in order, or a dict; a UUID is its text."""
    if not isinstance(value, list):
        return value
    kind, content = value
    if not content:  # as nearly all of thousands
        return {} if kind == "map" else ()
    if kind == "map":
        return {str(key): plain(item) for key, item in content}
    return tuple(sorted(map(plain, content))) if kind == "set" else content


def datum(value: Any) -> Any:
    """The datum of a plain value."""
    if value is None:
        return ["set", []]
    if isinstance(value, tuple):
        return ["set", [datum(each) for each in value]]
    if isinstance(value, Mapping):
        return ["map", [[key, item] for key, item in sorted(value.items())]]
    return value
