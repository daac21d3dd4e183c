"""What a bridge of Open vSwitch has in the wanted state beside what all bridges have."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.errors import BasculeError, MissingTool
from bascule.model.host_links import Bond, Bridge
from bascule.model.kernel_parameters import conf
from bascule.model.links import Bridge as LinuxBridge
from bascule.model.links import OpenVSwitch, OpenVSwitchBond
from bascule.model.state import Link
from bascule.model.values import IfName
from bascule.plan.target.builder import TargetBuilder


def made_as(bridge: Bridge) -> type[LinuxBridge]:
    """What a declared bridge is on the host."""
    return LinuxBridge if bridge.by_kernel else OpenVSwitch


def refuse_missing_switches(build: TargetBuilder, bridge: Bridge) -> None:
    """Raise MissingTool where nobody keeps switches on the host."""
    if bridge.openvswitch is not None and "ovs" not in build.observed.parts:
        text = f"bridge '{bridge.name}' is one of Open vSwitch, which does not run on this host"
        hint = (
            "start it: systemctl start openvswitch-switch; where it is not installed: apt-get install "
            "openvswitch-switch (dnf install openvswitch elsewhere)"
        )
        raise MissingTool.of("OPENVSWITCH-MISSING", text, place=bridge.place, hint=hint)


def refuse_kind(bridge: Bridge, before: Link | None) -> None:
    """Raise BasculeError for a bridge of another kind and not ours."""
    said = bridge.openvswitch is not None
    if before is not None and not before.is_ours and said == before.options.by_kernel:
        kind = "the kernel" if before.options.by_kernel else "Open vSwitch"
        raise BasculeError.of(
            "BRIDGE-KIND",
            f"'{bridge.name}' exists on this host as a bridge of {kind} that Bascule did not make",
            place=bridge.place,
            hint=f"write 'kind: {'linux' if before.options.by_kernel else 'openvswitch'}', or take another name",
        )


def switch_options(known: LinuxBridge, bridge: Bridge) -> LinuxBridge:
    """What the file says of one; the rest stays."""
    said = bridge.openvswitch
    if said is None or not isinstance(known, OpenVSwitch):
        return known
    return replace(
        known,
        stp_state=int(bridge.stp or said.rstp),
        rstp=int(said.rstp),
        fail_mode=said.fail_mode or known.fail_mode,
        forward_delay=0,
        datapath=known.datapath if said.datapath is None else said.datapath.replace("system", ""),
        mcast_snooping=int(known.mcast_snooping if bridge.snooping is None else bridge.snooping),
    )


def lay_switch_bond(build: TargetBuilder, bond: Bond, first: Link) -> None:
    """A bond that is a port of Open vSwitch: its members are up and silent, and it wears the MAC of the first."""
    lacp = "active" if bond.mode == "balance-tcp" else ""  # without a partner it would pass nothing
    options = OpenVSwitchBond(
        mode=bond.mode,
        lacp=lacp,
        updelay=bond.updelay or 0,
        downdelay=bond.downdelay or 0,
        ad_lacp_rate=bond.lacp_rate or "slow",
        primary=bond.primary,
    )
    mtu = bond.mtu or first.mtu
    build.links[bond.name] = Link(name=bond.name, options=options, up=True, mac=first.mac, mtu=mtu, alias=build.mark)
    build.because(bond.name, f"{bond.name} bonds {', '.join(bond.nics)} ({bond.mode})", bond.place)
    for nic in bond.nics:
        build.enslave(nic, bond.name, None)


def lay_listeners(build: TargetBuilder, bridge: Bridge) -> None:
    """NICs that get the copies of a mirror, and what keeps the host's own stack from hearing a port's frames again.

    With the datapath in userspace the kernel goes on listening on the NIC as if it were no port.
    """
    switch = bridge.openvswitch
    if switch is None:
        return
    for mirror in switch.mirrors:
        if mirror.to in build.host.nics:
            build.enslave(mirror.to, bridge.name, None)
            build.because(mirror.to, f"{mirror.to} gets copies: {mirror.words}", mirror.place)
    if switch.datapath == "netdev" and not build.host.as_found:
        wires = {nic.name for nic in build.host.uplink_nics(bridge)}
        for name in (wires | {mirror.to for mirror in switch.mirrors}) & set(build.host.nics):
            keep_host_stack_off(build, name)


def keep_host_stack_off(build: TargetBuilder, name: IfName | None) -> None:
    """The host's own stack takes no packet from a port that is one in userspace only."""
    if name is not None:
        build.sysctls[conf(4, name, "arp_ignore")] = "1"
        build.sysctls[conf(4, name, "rp_filter")] = "1"
