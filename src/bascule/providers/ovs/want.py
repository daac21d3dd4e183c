"""The switches as the site file wants them, from the links and VLANs that the target has laid out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from bascule.errors import BasculeError, MissingTool
from bascule.model.guarding import Bandwidth
from bascule.model.host_links import Bridge
from bascule.model.host_links import OpenVSwitch as SaidOfSwitch
from bascule.model.links import OpenVSwitch, OpenVSwitchBond, PatchPort
from bascule.model.links.mirror import Mirror
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Note
from bascule.policy.guards.flows import guard_flows
from bascule.policy.guards.ports import GuardedPort, guarded_ports
from bascule.providers.ovs.flows import LOCAL, SHOWN_FRAGMENTS
from bascule.providers.ovs.merge import still_unheard
from bascule.providers.ovs.overlay import columns_of, vlans_of
from bascule.providers.ovs.state import (
    GUARDS,
    HWADDR,
    LIMIT,
    MARK,
    MOST,
    PRIMARY,
    RATE,
    SECURE,
    BridgeRow,
    FlowTable,
    InterfaceRow,
    MirrorRow,
    PortRow,
    QosRow,
    SwitchState,
)
from bascule.providers.ovs.transaction import is_set
from bascule.providers.ovs.unseen_frames import unseen_frames
from bascule.providers.protocol import Wanted


def want(site: Site, host: Host, part: SwitchState, observed: HostState, wanted: HostState) -> Wanted:
    """The declared switches over what is there, ``part``; those of others stay.

    Raises MissingTool where ovs-vswitchd does not run.
    """
    declared = {str(b.name): b for b in host.bridges.values() if b.openvswitch is not None}
    if declared and part.seen.trouble:
        place = next(iter(declared.values())).place
        text = (
            f"the database of Open vSwitch answers, but ovs-vswitchd {part.seen.trouble}: changes in it have no effect"
        )
        raise MissingTool.of("OPENVSWITCH-DEAD", text, place=place, hint="systemctl restart openvswitch-switch")
    return _Wanted(site, host, part, observed, wanted, declared).wanted()


NO_OPTIONS: Mapping[str, str] = {}
LEFT_BEHIND = "its guest crashed, or ran when the host went down"
BURST, LEAST_BURST = 10, 80  # a tenth of a second at the rate, and no fewer kbit: TCP needs as much


class _Wanted:
    def __init__(
        self,
        site: Site,
        host: Host,
        now: SwitchState,
        observed: HostState,
        wanted: HostState,
        declared: Mapping[str, Bridge],
    ) -> None:
        self.host = host
        self.site, self.now, self.observed, self.links, self.declared = site, now, observed, wanted, declared
        self.mark = {MARK: site.name}
        self.limits = {str(nic.tap): nic.bandwidth for nic in site.guest_nics(host.name) if nic.switched is not None}
        self.protected = {str(nic.tap): nic.guarding.port_flag for nic in site.guest_nics(host.name)}
        self.named = {*self.protected, *(str(port.link) for b in declared.values() for port in b.every_port)}
        self.named |= {str(patch.name) for b in declared.values() for patch in b.patches}
        found = (row for row in now.ports.values() if row.site != site.name and len(row.interfaces) == 1)
        self.ports_of_links = {row.interfaces[0].name: row.name for row in found}  # others may call a port otherwise
        masters = {name: nic.master for nic in site.guest_nics(host.name) for name in (nic.tap, nic.next_tap)}
        self.guarded: dict[str, list[GuardedPort]] = {name: [] for name in declared}
        for port in guarded_ports(site, host):
            self.guarded.get(masters[port.name] or "", []).append(port)
        self.notes: list[Note] = []

    def wanted(self) -> Wanted:
        """All rows, and what waits."""
        switches = {name for name, link in self.links.links.items() if isinstance(link.options, OpenVSwitch)}
        bridges = {n: row for n, row in self.now.bridges.items() if n in switches or row.site != self.site.name}
        bridges |= {name: self._bridge(bridge, bridges.get(name)) for name, bridge in self.declared.items()}
        ports = {name: row for name, row in self.now.ports.items() if row.bridge in bridges and self._stays(row)}
        for name, bridge in self.declared.items():
            ports[name] = self._own_port(bridge, ports.get(name))
            for link in self.links.ports(name):
                port = self.ports_of_links.get(link.name, str(link.name))
                ports[port] = self._port(link, name, self.now.ports.get(port))
        mirrors = {key: row for key, row in self.now.mirrors.items() if row.bridge in bridges and self._is_foreign(row)}
        for name, bridge in self.declared.items():
            for mirror in bridge.mirrors:
                if (row := self._mirror(name, mirror, ports)) is not None:
                    mirrors[f"{name}/{row.name}"] = row
        self.notes += [*self._untold(), *self._passed_over(), *self._shut(), *self._unlimited()]
        self.notes += self._not_in_the_file(mirrors)
        self._refuse_lacking(bridges, ports, mirrors)
        flows = {name: table for name, table in self.now.flows.items() if name in bridges and name not in self.declared}
        flows |= {name: self._flows(name, ports) for name, some in self.guarded.items() if some}
        ours = {name for name, row in ports.items() if name in self.named or row.site == self.site.name}
        unheard = still_unheard(self.now, ports, self.links.links, ours)
        part = replace(self.now, bridges=bridges, ports=ports, mirrors=mirrors, flows=flows, unheard=unheard)
        gone = self.now.ports.keys() - ports.keys()
        left = {
            name: LEFT_BEHIND for name in gone & self.protected.keys() if not any(self._links_of(self.now.ports[name]))
        }
        return Wanted(part=part, notes=tuple(self.notes), reasons=left)

    def _refuse_lacking(self, *wanted: Mapping[str, Any]) -> None:
        """Raise BasculeError for what an older version has no column for, before anything is done."""
        for rows, there in zip(wanted, (self.now.bridges, self.now.ports, self.now.mirrors), strict=True):
            for key, row in rows.items():
                old = there.get(key)
                known = {one.name: one for one in getattr(old, "interfaces", ())}
                pairs = [(old, row), *((known.get(one.name), one) for one in getattr(row, "interfaces", ()))]
                for table, column in sorted(self.now.seen.lacking):
                    if any(one.table == table and is_set(one, column, before) for before, one in pairs):
                        place = self.declared[getattr(row, "bridge", row.name)].place
                        text = f"'{row.name}' needs the column '{column}' of the table {table}, which Open vSwitch "
                        text += f"{self.now.seen.version or 'of this host'} does not have"
                        hint = "leave the key out of the file, or take a newer one: see 'ovs-vsctl --version'"
                        raise BasculeError.of("OPENVSWITCH-REFUSED", text, place=place, hint=hint)

    def _untold(self) -> Iterator[Note]:
        """What the guards of switches cannot stop, a line each."""
        for bridge, ports in self.guarded.items():
            known = {name: why for port in ports for name, why in unseen_frames(port.guarding).items()}
            for name, why in known.items():
                yield Note(kind="unsupported", subject=bridge, text=f"its guards let through {name}: {why}")

    def _passed_over(self) -> Iterator[Note]:
        """What others have put before the guards of switches."""
        for bridge, words in self.now.passed_over():
            if self.guarded.get(bridge):
                yield Note(kind="warning", subject=bridge, text=words)

    def _not_in_the_file(self, mirrors: Mapping[str, MirrorRow]) -> Iterator[Note]:
        """Who else hears or forwards what passes a declared switch."""
        if self.host.as_found:
            return
        for name, row in self.now.ports.items():
            if row.bridge in self.declared and name in self.named and row.site not in {"", self.site.name}:
                text = f"says in its external_ids that it is of site '{row.site}', so what others set at it stays"
                yield Note(kind="extra", subject=name, text=text)
        for name, bridge in self.declared.items():
            said = bridge.openvswitch  # with fail_mode secure the file says itself that others' rules decide
            others = said is not None and said.fail_mode != SECURE and not self.guarded[name]
            if name in self.now.seen.controlled and others:
                text = "it has a controller, whose rules of OpenFlow decide what it forwards: it stays as it is"
                yield Note(kind="extra", subject=name, text=text)
            for mirror in mirrors.values():
                if mirror.bridge == name and self._is_foreign(mirror):
                    text = f"{mirror.words} is not in the file: it stays as it is"
                    yield Note(kind="extra", subject=name, text=text)

    def _shut(self) -> Iterator[Note]:
        """Switches that pass what rules say and nothing else, where Bascule has none for them."""
        for name, bridge in self.declared.items():
            said = bridge.openvswitch
            if said is not None and said.fail_mode == SECURE and not self.guarded[name]:
                text = (
                    "passes nothing but what somebody else's rules of OpenFlow let through: fail_mode is secure, and "
                )
                yield Note(kind="warning", subject=name, text=text + "no guest on it has a guard")

    def _unlimited(self) -> Iterator[Note]:
        """In userspace Open vSwitch takes a frame before the kernel's policer sees it."""
        for nic in self.site.guest_nics(self.host.name):
            bridge = self.declared.get(str(nic.master))
            if bridge is not None and bridge.in_userspace and nic.bandwidth.up is not None:
                text = f"what {nic.guest} sends is not limited: the userspace datapath has no policer"
                yield Note(kind="unsupported", subject=str(nic.tap), text=text)

    def _flows(self, bridge: str, ports: Mapping[str, PortRow]) -> FlowTable:
        """The guards' rules: every other port of the switch is one without a guard."""
        guarded = {str(port.name) for port in self.guarded[bridge]}
        there = [one.name for row in ports.values() if row.bridge == bridge for one in row.interfaces]
        open_ports = [LOCAL if name == bridge else name for name in there if name not in guarded]
        return FlowTable(fragments=SHOWN_FRAGMENTS, flows=guard_flows(self.guarded[bridge], open_ports))

    def _bridge(self, bridge: Bridge, row: BridgeRow | None) -> BridgeRow:
        said, link = bridge.openvswitch, self.links.links[bridge.name]
        assert said is not None  # only those are declared here
        config = dict(row.other_config) if row is not None else {}
        if row is None or row.site or bridge.mac is not None:  # one that was found keeps its own
            config[HWADDR] = str(link.mac)
        known = row or BridgeRow(name=bridge.name, external_ids=self.mark)
        usual = known if not known.site else BridgeRow(name=bridge.name)  # of what the file does not say
        had_guards = GUARDS in known.external_ids
        ids = {key: value for key, value in known.external_ids.items() if key != GUARDS}
        if names := [str(port.name) for port in self.guarded[bridge.name]]:
            ids[GUARDS] = " ".join(names)
        return replace(
            known,
            datapath_type=said.datapath.replace("system", "") if said.datapath else known.datapath_type,
            external_ids=ids,
            fail_mode=self._fail_mode(known, said, guarded=bool(names), had_guards=had_guards),
            mcast_snooping_enable=usual.mcast_snooping_enable if bridge.snooping is None else bridge.snooping,
            stp_enable=bridge.stp,
            rstp_enable=said.rstp,
            other_config=config,
        )

    def _fail_mode(self, known: BridgeRow, said: SaidOfSwitch, *, guarded: bool, had_guards: bool) -> str | None:
        """Without its rules, a guarded switch passes nothing; netplan writes what is the default down."""
        if guarded:
            return SECURE
        keeps = not known.site or known.fail_mode == "standalone"
        return said.fail_mode or (known.fail_mode if keeps and not had_guards else None)

    def _own_port(self, bridge: Bridge, row: PortRow | None) -> PortRow:
        """The internal port, on which the host speaks."""
        row = self._as_made(row, bridge.name, "internal")
        mtu = bridge.mtu or row.interfaces[0].mtu_request
        return replace(row, bridge=bridge.name, interfaces=(replace(row.interfaces[0], mtu_request=mtu),))

    def _as_made(
        self, row: PortRow | None, bridge: str, kind: str = "", name: str = "", options: Mapping[str, str] = NO_OPTIONS
    ) -> PortRow:
        """A new port; one of ours without what others set that is not in the file; one that was found as it is."""
        if row is None:
            own = InterfaceRow(name=name or bridge, type=kind, options=options, external_ids=self.mark)
            return PortRow(name=name or bridge, bridge=bridge, interfaces=(own,), external_ids=self.mark)
        if row.site != self.site.name:
            return row
        members = tuple(
            replace(one, type=kind, options=options, mtu_request=None) if one.site == row.site else one
            for one in row.interfaces
        )
        maps = {name: getattr(row, name) for name in ("name", "bridge", "external_ids", "other_config")}
        return PortRow(interfaces=members, qos=row.qos, **maps)  # a limit that somebody else set is his

    def _port(self, link: Link, bridge: str, row: PortRow | None) -> PortRow:
        """One under a declared bridge; of a port that no file names nothing is altered."""
        patch = {"kind": "patch", "options": {"peer": str(link.parent)}} if isinstance(link.options, PatchPort) else {}
        known, row = row, self._as_made(row, bridge, name=link.name, **patch)  # type: ignore[arg-type]  # its words
        if isinstance(link.options, OpenVSwitchBond) and link.name in self.named:
            there = {one.name: one for one in row.interfaces}
            members = sorted(member.name for member in self.links.ports(link.name))
            own_rows = (there.get(name) or InterfaceRow(name=name, external_ids=self.mark) for name in members)
            row = replace(row, interfaces=tuple(own_rows), **_bond_columns(link.options, row))
        if known is not None and link.name not in self.named:
            return known
        vlans = link.vlans
        if vlans_of(row) != vlans and (vlans or row.tag is not None or row.trunks):
            row = replace(row, **columns_of(vlans))
            if known is not None and known.site == self.site.name and vlans_of(known) == vlans:
                row = replace(row, tag=known.tag, trunks=known.trunks, vlan_mode=known.vlan_mode)  # said another way
        if (limit := self.limits.get(link.name)) is not None:
            row = limited(row, limit, self.mark)
        isolated = self.protected.get(link.name)
        return replace(row, bridge=bridge, protected=row.protected if isolated is None else isolated)

    def _stays(self, row: PortRow) -> bool:
        """Whether a port is not to be taken off; one that stays under a declared bridge is laid anew as well."""
        if row.bridge not in self.declared or row.name == row.bridge:
            return True
        there = self._links_of(row)
        if any(there):
            return not any(link is not None and link.master in {row.bridge, row.name} for link in there)
        stale = any(one.type == "" for one in row.interfaces)  # in userspace ovs-vswitchd may not have noticed
        return not (stale and (row.site == self.site.name or row.name in self.named))

    def _links_of(self, row: PortRow) -> list[Link | None]:
        return [self.observed.links.get(IfName(one.name)) for one in row.interfaces]

    def _is_foreign(self, row: MirrorRow) -> bool:
        return row.site != self.site.name

    def _mirror(self, bridge: str, mirror: Mirror, ports: Mapping[str, PortRow]) -> MirrorRow | None:
        there = {name for name, port in ports.items() if port.bridge == bridge}
        sources = tuple(sorted(name for name in mirror.sources if name in there))
        if mirror.to not in there or (mirror.sources and not sources):
            missing = mirror.to if mirror.to not in there else ", ".join(mirror.sources)
            text = f"{mirror.words} begins when {missing} is there and the plan is applied again"
            self.notes.append(Note(kind="waiting", subject=bridge, text=text))
            return None
        return MirrorRow(
            name=mirror.name,
            bridge=bridge,
            external_ids=self.mark,
            select_all=not mirror.sources,
            select_src_port=sources,
            select_dst_port=sources,
            output_port=(mirror.to,),
        )


def limited(row: PortRow, limit: Bandwidth, mark: Mapping[str, str]) -> PortRow:
    """A guest's port with its limit; one that somebody else has set stays where the file says none.

    What it sends is policed by the kernel, what it gets waits in a queue (ovs-vswitchd.conf.db(5)).
    """
    own = row.interfaces[0]
    ids = {key: value for key, value in own.external_ids.items() if key != LIMIT}
    if limit or LIMIT in own.external_ids:
        rate = (limit.up or 0) // 1000
        ids |= {LIMIT: str(limit)} if limit else {}
        burst = max(rate // BURST, LEAST_BURST) if rate else 0
        own = replace(own, external_ids=ids, ingress_policing_rate=rate, ingress_policing_burst=burst)
    qos = row.qos if row.qos is not None and MARK not in row.qos.external_ids else None
    if limit.down is not None:
        qos = QosRow(type="linux-htb", other_config={MOST: str(limit.down)}, external_ids=mark)
    return replace(row, interfaces=(own, *row.interfaces[1:]), qos=qos)


def _bond_columns(options: OpenVSwitchBond, row: PortRow) -> dict[str, Any]:
    """What its port says of a bond."""
    config = {key: value for key, value in row.other_config.items() if key not in {RATE, PRIMARY}}
    config |= {RATE: options.ad_lacp_rate} if options.ad_lacp_rate != "slow" else {}
    config |= {PRIMARY: options.primary} if options.primary else {}
    return {
        "bond_mode": options.mode,
        "lacp": options.lacp or None,
        "bond_updelay": options.updelay,
        "bond_downdelay": options.downdelay,
        "other_config": config,
    }
