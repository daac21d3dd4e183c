"""What Open vSwitch says of a host's links, laid over what the kernel shows of them. Pure.

Its bridges become switches in the host's state, and the links under them their ports, so that everything that asks who
is wired to whom sees them as it sees the kernel's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from bascule.model.links import BridgePort, InternalPort, OpenVSwitch, OpenVSwitchBond, PatchPort
from bascule.model.state import MARK, HostState, Link, LinkFacts, PortVlans, tagged_vlans
from bascule.model.values import IfName
from bascule.providers.ovs.state import PRIMARY, RATE, BridgeRow, PortRow, SwitchState

DATAPATH = "ovs-system"  # the kernel's master of every port of Open vSwitch, whichever bridge it is of
OWN_LINKS = frozenset({IfName(DATAPATH), IfName("ovs-netdev")})  # how a datapath shows itself: always down, nobody's
NATIVE = 0  # the VLAN inside of a bridge of what bears no tag
LAST = 4094


def lay_over(state: HostState, part: SwitchState) -> HostState:
    """The state with the bridges of Open vSwitch as switches; one whose link is not there is none yet.

    What its datapaths make for themselves is no link of the host.
    """
    links = {name: link for name, link in state.links.items() if name not in OWN_LINKS}
    for name, bridge in part.bridges.items():
        link = links.get(IfName(name))
        if link is not None and not link.is_bridge:
            links[link.name] = _switch(link, bridge, part)
    for port in part.ports.values():
        master = links.get(IfName(port.bridge))
        if master is None or not isinstance(master.options, OpenVSwitch) or port.name == port.bridge:
            continue
        vlans = vlans_of(port) if master.options.vlan_filtering else ()
        if len(port.interfaces) > 1:
            links |= _bond(port, master.name, vlans, links)
            continue
        for interface in port.interfaces:
            if interface.type == "patch" and (peer := interface.options.get("peer")):
                links[IfName(port.name)] = _patch(port, master.name, IfName(peer), vlans)
            link = links.get(IfName(interface.name))
            if link is not None and link.master in {None, DATAPATH} and not isinstance(link.options, OpenVSwitch):
                if interface.type == "internal" and port.tag and port.vlan_mode in {None, "access"}:
                    own = InternalPort(id=port.tag)  # the host's own end, as a VLAN link over the bridge would be
                    links[link.name] = replace(link, options=own, parent=master.name, master=None)
                    continue
                flags = BridgePort(isolated=True) if port.protected else None
                links[link.name] = replace(link, master=master.name, port=flags, vlans=vlans)
    tunnels = {link.name: replace(link, master=None) for link in links.values() if link.master in OWN_LINKS}
    return replace(state, links=links | tunnels)


def _bond(
    port: PortRow, bridge: IfName, vlans: tuple[PortVlans, ...], links: Mapping[IfName, Link]
) -> dict[IfName, Link]:
    """A bond of Open vSwitch as a link that the kernel does not know, with its members below it."""
    members = [link for one in port.interfaces if (link := links.get(IfName(one.name))) is not None]
    if not members:
        return {}
    name = IfName(port.name)
    bond = Link(
        name=name,
        options=OpenVSwitchBond(
            mode=port.bond_mode or "active-backup",
            lacp=port.lacp or "",
            updelay=port.bond_updelay,
            downdelay=port.bond_downdelay,
            ad_lacp_rate=port.other_config.get(RATE, "slow"),
            primary=port.other_config.get(PRIMARY),
        ),
        up=any(link.up for link in members),
        mac=members[0].mac,
        mtu=min(link.mtu for link in members),
        master=bridge,
        alias=MARK + port.site if port.site else "",
        vlans=vlans,
        facts=LinkFacts(carrier=any(link.facts.carrier for link in members)),
    )
    return {name: bond, **{link.name: replace(link, master=name, port=None, vlans=()) for link in members}}


def _patch(port: PortRow, bridge: IfName, peer: IfName, vlans: tuple[PortVlans, ...]) -> Link:
    """One end of a cable to another switch."""
    alias, name = MARK + port.site if port.site else "", IfName(port.name)
    facts = LinkFacts(carrier=True)
    return Link(
        name=name, options=PatchPort(), up=True, parent=peer, master=bridge, alias=alias, vlans=vlans, facts=facts
    )


def _switch(link: Link, bridge: BridgeRow, part: SwitchState) -> Link:
    ports = part.ports_of(bridge.name)
    aware = any(port.tag is not None or port.trunks for port in ports)
    own = next((port for port in ports if port.name == bridge.name), None)
    options = OpenVSwitch(
        stp_state=int(bridge.stp_enable or bridge.rstp_enable),
        vlan_filtering=int(aware),
        mcast_snooping=int(bridge.mcast_snooping_enable),
        rstp=int(bridge.rstp_enable),
        fail_mode=bridge.fail_mode or "",
        datapath=bridge.datapath_type,
    )
    vlans = vlans_of(own) if aware and own is not None else ()
    mirrors = tuple(row.words for _, row in sorted(part.mirrors.items()) if row.bridge == bridge.name)
    facts = replace(link.facts, mirrors=mirrors) if mirrors else link.facts
    alias = MARK + bridge.site if bridge.site else ""
    return replace(link, options=options, master=None, alias=alias, vlans=vlans, facts=facts)


def vlans_of(port: PortRow) -> tuple[PortVlans, ...]:
    """Which VLANs a port carries (ovs-vswitchd.conf.db(5), VLAN Configuration)."""
    mode = port.vlan_mode or ("access" if port.tag is not None else "trunk")
    native = port.tag or NATIVE
    if mode in {"access", "dot1q-tunnel"}:
        return (PortVlans(first=native, last=native, pvid=True, untagged=True),)
    own = [PortVlans(first=native, last=native, pvid=True, untagged=mode != "native-tagged")]
    if mode == "trunk" and port.trunks and NATIVE not in port.trunks:
        own = []
    tagged = tagged_vlans(set(port.trunks) - {native}) if port.trunks else _all_but(native)
    return tuple(sorted([*own, *tagged], key=lambda one: one.first))


def _all_but(vid: int) -> Iterator[PortVlans]:
    """Every VLAN but one, as a port carries them that names no trunks."""
    if vid > NATIVE:
        yield PortVlans(first=NATIVE, last=vid - 1)
    if vid < LAST:
        yield PortVlans(first=vid + 1, last=LAST)


def columns_of(vlans: Iterable[PortVlans]) -> dict[str, object]:
    """The columns of a port that carries these VLANs; one without any carries what it likes."""
    entries = tuple(vlans)
    untagged = next((one for one in entries if one.pvid), None)
    tagged = tuple(vid for one in entries if one is not untagged for vid in range(one.first, one.last + 1))
    if not entries:
        return {"tag": None, "trunks": (), "vlan_mode": None}
    if untagged is None:
        return {"tag": None, "trunks": tagged, "vlan_mode": None}
    if not untagged.untagged:
        trunks = tuple(sorted((untagged.first, *tagged)))  # without any it would carry all
        return {"tag": untagged.first, "trunks": trunks, "vlan_mode": "native-tagged"}
    if not tagged:
        return {"tag": untagged.first, "trunks": (), "vlan_mode": None}
    if untagged.first == NATIVE:
        return {"tag": None, "trunks": (NATIVE, *tagged), "vlan_mode": None}
    return {"tag": untagged.first, "trunks": tagged, "vlan_mode": "native-untagged"}
