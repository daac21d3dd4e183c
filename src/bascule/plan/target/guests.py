"""Guests' NICs in the wanted state: the taps that are there, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from msgspec.structs import replace

from bascule.model.host_links import Bridge
from bascule.model.kernel_parameters import conf
from bascule.model.links import BridgePort
from bascule.model.links.options import ON_OFF
from bascule.model.site import GuestNic, Host
from bascule.model.values import IfName, bridge_name
from bascule.plan.guest_ports import guest_ports, is_between, wires_of
from bascule.plan.target.builder import TargetBuilder
from bascule.topology.declared import guest_vlans

USUAL = BridgePort()
BY_COURSE = {"priority", "cost"}  # of a port, which only the spanning tree asks for
FLAGS = tuple(flag for flag in BridgePort.__struct_fields__ if flag not in BY_COURSE)
SETTINGS = attrgetter(*FLAGS)


def lay_guests(build: TargetBuilder) -> None:
    """Each guest's NIC on its bridge, on its virtual network, or directly on a NIC of the host."""
    ways = {bridge.name: _way(build.host, bridge) for bridge in build.host.bridges.values()}
    for nic in build.site.guest_nics(build.host.name):
        if nic.virtual_network is not None:
            _lay_on_network(build, nic)
        elif nic.bridge is None:
            _lay_macvtap(build, nic)
        else:
            bridge = build.host.bridges[nic.bridge]
            if _plug(build, nic, bridge.name, ways[bridge.name]) and bridge.vlan_aware:
                build.set(nic.tap, vlans=guest_vlans(nic, bridge.native))


def _way(host: Host, bridge: Bridge) -> tuple[IfName, ...]:
    """The links that frames of a bridge's guests cross on their way out, in the order of their names."""
    ports = (bridge.uplink, *(port.link for port in bridge.every_port))
    return tuple(sorted({bridge.name, *filter(None, ports), *(nic.name for nic in host.uplink_nics(bridge))}))


def _lay_macvtap(build: TargetBuilder, nic: GuestNic) -> None:
    """A macvtap is made by whoever runs the guest; the plan sees to its NIC, as it does to a bridge's."""
    build.guests.setdefault(nic.into, []).append(nic.guest)
    shared = build.host.nics[IfName(nic.into)]
    speaks = shared.has_address or any(not a.is_link_local for a in build.links[shared.name].addresses)
    if not speaks and not build.host.as_found:
        build.silence(shared.name)
        build.sysctls[conf(4, shared.name, "arp_ignore")] = "1"
    if (tap := build.links.get(nic.tap)) is not None:
        build.reasons[tap.name] = f"{nic.guest} is plugged into {nic.into}"
        build.running.setdefault(nic.into, []).append(nic.guest)
    else:
        _wait(build, nic, nic.into)


def _lay_on_network(build: TargetBuilder, nic: GuestNic) -> None:
    bridge = bridge_name(nic.into)
    if build.by_libvirt:
        for name in {bridge, nic.tap} & build.links.keys():
            build.reasons[name] = f"libvirt plugs {nic.guest} into {nic.into}"
        return
    _plug(build, nic, bridge, (bridge,))


def _wait(build: TargetBuilder, nic: GuestNic, into: str) -> None:
    build.note("waiting", nic.tap, f"will be plugged into {into} at the start of {nic.guest}", guest=nic.guest)


def _plug(build: TargetBuilder, nic: GuestNic, bridge: IfName, way: Iterable[IfName]) -> bool:
    """A guest's tap on its bridge; whether there is one. ``way`` are the links that its frames cross as well."""
    tap = build.observed.links.get(nic.tap)
    for name in (*way, nic.tap):
        build.guests.setdefault(name, []).append(nic.guest)
        if tap is not None and tap.master is not None and (name == nic.tap or tap.master == bridge):
            build.running.setdefault(name, []).append(nic.guest)
    if nic.tap not in build.links:
        _wait(build, nic, bridge)
        return False
    build.set(nic.tap, mtu=build.links[bridge].mtu)
    by_kernel = build.links[bridge].options.by_kernel
    build.enslave(nic.tap, bridge, BridgePort() if by_kernel else None)
    flag = nic.guarding.port_flag
    if flag is None and nic.tap in build.earlier.isolated:
        flag = False  # it was ours, and the file says it no more
    if flag is not None and by_kernel:
        port = build.links[nic.tap].port or BridgePort()
        build.set(nic.tap, port=replace(port, isolated=flag))
    elif flag is not None:
        build.set(nic.tap, port=BridgePort(isolated=True) if flag else None)  # as its row shows it
    if nic.guarding.fdb is not None and by_kernel:
        learns, port = nic.guarding.fdb == "learned", build.links[nic.tap].port or BridgePort()
        build.set(nic.tap, port=replace(port, learning=learns, flood=learns))
    if by_kernel and tap is not None and tap.master == bridge and not build.host.as_found:
        _note_flags(build, nic)
    build.because(nic.tap, f"{nic.guest} is plugged into {bridge}", nic.place)
    return True


def _note_flags(build: TargetBuilder, nic: GuestNic) -> None:
    """Say which settings of the port are not in the file: they change what frames reach the guest, or leave it."""
    port = build.links[nic.tap].port or USUAL
    if SETTINGS(port) != SETTINGS(USUAL):
        _note_others(build, nic, port)
    if build.observed.links[nic.tap].mac == nic.mac:
        text = "has the guest's own MAC: its bridge takes what is for the guest as its own, and nothing arrives: it "
        build.note("extra", nic.tap, f"{text}stays as it is (any other that begins with fe will do)")


def _note_others(build: TargetBuilder, nic: GuestNic, port: BridgePort) -> None:
    named = {"isolated": nic.guarding.port_flag, "learning": nic.guarding.fdb, "flood": nic.guarding.fdb}
    for flag in FLAGS:
        value = getattr(port, flag)
        if named.get(flag) is not None or value == getattr(USUAL, flag):
            continue
        words = f"{flag} {ON_OFF.get(value, value) if isinstance(value, bool) else value}"
        build.note("extra", nic.tap, f"the port flag '{words}' is not in the file: it stays as it is")


def count_foreign(build: TargetBuilder) -> None:
    """The ports that no file names are guests as well: of their bridge, and of the wires that it leaves the host by."""
    named = {nic.tap for nic in build.site.guest_nics(build.host.name)}
    nics = {*build.host.nics, *build.earlier.ports}
    found = guest_ports(build.observed, nics)
    foreign = {name: at for name, at in found.items() if name not in named and not is_between(build.observed, name)}
    wires = {each: sorted(wires_of(build.observed, each, nics)) for each in set(foreign.values())}
    for name, bridge in foreign.items():
        for link in (name, bridge, *wires[bridge]):
            build.guests.setdefault(link, []).append(name)
            build.running.setdefault(link, []).append(name)
