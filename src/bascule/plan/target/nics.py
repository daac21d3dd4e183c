"""The host's NICs in the wanted state."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.host_links import Bridge, Nic
from bascule.model.links import Bond
from bascule.model.values import IfName, grouped
from bascule.plan.target.addresses import lay_own_addresses
from bascule.plan.target.builder import TargetBuilder


def lay_nics(build: TargetBuilder) -> None:
    """Each NIC that the file names; first all of them, and the bonds, leave where they no longer belong."""
    for name in (*build.host.nics, *build.host.bonds, *build.host.vlans):
        _leave(build, name)
    above = grouped((port.link, bridge) for bridge in build.host.bridges.values() for port in bridge.every_port)
    for nic in build.host.nics.values():
        _lay_nic(build, nic, above.get(nic.name, []))


def _leave(build: TargetBuilder, name: IfName) -> None:
    """Out of the bridge or bond of ours that the file no longer puts it into; then it wears its own MAC again."""
    host = build.host
    link = build.links.get(name)
    master = build.observed.master_of(link) if link is not None else None
    if link is None or master is None:
        return
    members = {name for bond in host.bonds.values() if bond.name == master.name for name in bond.nics}
    members |= {port.link for b in host.bridges.values() if b.name == master.name for port in b.every_port}
    if name in members:
        return
    if isinstance(master.options, Bond):
        link = replace(link, mac=link.hardware_mac)
    if master.name in {*host.bridges, *host.bonds} or master.alias == build.mark:
        link = replace(link, master=None, port=None, vlans=())
    build.links[name] = link


def _lay_nic(build: TargetBuilder, nic: Nic, above: list[Bridge]) -> None:
    build.set(nic.name, up=True, mtu=nic.mtu or build.links[nic.name].mtu)
    network = f" on {nic.network}" if nic.network else ""
    if above or build.host.is_enslaved(nic.name):
        takers = [bridge.name for bridge in above if bridge.from_uplink and bridge.uplink == nic.name]
        speaking = [bridge.name for bridge in above if bridge.has_address]
        bond = next((b.name for b in build.host.bonds.values() if nic.name in b.nics), None)
        words = f"carries the host's own address{network}, which {speaking[0]} has" if speaking else ""
        words = f"gives its addresses to {takers[0]}" if takers else words or f"carries guests only{network}"
        words = f"is a member of {bond}" if bond else words
        build.because(nic.name, f"{nic.name} {words}", nic.place)
        return
    if nic.has_address:
        words = ", ".join(nic.address_words)
        build.because(nic.name, f"{nic.name} is the host's own NIC{network}: {words}", nic.place)
    else:
        build.because(nic.name, f"{nic.name} is declared{network}", nic.place)
    lay_own_addresses(build, nic)
