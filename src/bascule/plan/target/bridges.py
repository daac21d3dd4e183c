"""The declared bridges in the wanted state: the bridge, who speaks on it, and its uplink."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from bascule.errors import BasculeError, Problem, SiteFault
from bascule.model.host_links import Bridge as DeclaredBridge
from bascule.model.host_links import DeclaredPort
from bascule.model.kernel_parameters import conf
from bascule.model.links import PORTS_MAX, Bridge, BridgePort, PatchPort, Veth
from bascule.model.state import Link, LinkFacts
from bascule.model.values import IfName, derive_mac
from bascule.plan.target.addresses import add_addresses, foreign_bridge, hand_over_advertised, take_over, wait_for_dhcp
from bascule.plan.target.bonds_and_vlans import lay_vlan_below, occupied
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.target.ipv6 import lay_ipv6
from bascule.plan.target.port_vlans import EVERY_VLAN, lay_trunk, learn_vlans
from bascule.plan.target.switches import lay_listeners, made_as, refuse_kind, refuse_missing_switches, switch_options
from bascule.topology.layer2 import ALL_VLANS


def lay_bridge(build: TargetBuilder, bridge: DeclaredBridge) -> None:
    """A bridge with its uplink.

    Raises BasculeError when a link of another kind has its name, SiteFault where the file does not know its uplink.
    """
    before, port = build.observed.links.get(bridge.name), bridge.port
    refuse_missing_switches(build, bridge)
    if before is not None and not before.is_bridge:
        what = f"'{bridge.name}' exists on this host and is not a bridge"
        raise occupied("NOT-A-BRIDGE", what, "bridge", bridge.place)
    if before is None and bridge.name in build.altnames:
        other = build.altnames[bridge.name]
        what = f"'{bridge.name}' is an altname of {other} on this host: no bridge can have the name"
        raise occupied("NOT-A-BRIDGE", what, "bridge", bridge.place)
    refuse_kind(bridge, before)
    if bridge.uplink_unknown is not None:
        hint = "name the NIC or bond, or write 'none' if it is to have none"
        words = f"no uplink is given for bridge '{bridge.name}'"
        raise SiteFault.of("UPLINK-UNKNOWN", words, place=bridge.uplink_unknown, hint=hint)
    if port is not None and bridge.uplink is not None and port != bridge.uplink:
        lay_vlan_below(build, bridge, port, bridge.uplink)
    uplink = build.links[port] if port is not None else None
    made = made_as(bridge)
    known = before.options if before and isinstance(before.options, made) and type(before.options) is made else made()
    build.links[bridge.name] = _bridge_link(build, bridge, before, known, uplink)
    if bridge.vlan_aware and not known.vlan_filtering:
        learn_vlans(build, bridge)
    behind = f"uplink {port}" if port else "no uplink"
    behind += f" and ports {', '.join(each.link for each in bridge.ports)}" if bridge.ports else ""
    build.because(bridge.name, f"{bridge.name} is declared with {behind}", bridge.place)
    _lay_addresses(build, bridge, uplink)
    for each in bridge.every_port:
        _lay_port(build, bridge, each)
    lay_listeners(build, bridge)


def _bridge_link(
    build: TargetBuilder, bridge: DeclaredBridge, before: Link | None, known: Bridge, uplink: Link | None
) -> Link:
    """The bridge itself; it wears its uplink's MAC. One on a host that is taken as found keeps what it has.

    Options that the file cannot say are those that it was made with, where it is ours; of one that was found they stay.
    """
    if known.stp_state and not bridge.stp:
        known = known.with_times(Bridge())  # what its tree hides, and nobody says, is as for a new one when it ends
    seen = uplink or before
    mac = seen.mac if seen else derive_mac(build.site.name, build.host.name + "/" + bridge.name, 0)
    if before is not None and uplink is None and build.made(before):  # what it was made with, if that is known
        mac = build.earlier.macs.get(bridge.name, mac)
    narrow = min((build.links[port.link].mtu for port in bridge.every_port), default=seen.mtu if seen else 1500)
    mtu = bridge.mtu or narrow  # what every port passes, as the kernel has it where nobody says another
    delay: int | None = 1500 if bridge.stp else 0
    snooping = 0
    if before is not None and type(before.options) is type(known) and not bridge.stp and not known.stp_state:
        delay = known.forward_delay  # without STP it does nothing
    if build.host.as_found and before is not None:
        mac, mtu = before.mac, bridge.mtu or (before.mtu if _has_its_ports(build, bridge) else narrow)
        delay, snooping = known.forward_delay, known.mcast_snooping
    if before is not None and build.made(before):
        pvid = known.vlan_default_pvid  # the kernel changes it only without VLAN filtering
        known = type(known)(vlan_default_pvid=pvid)
    options = replace(
        known,
        stp_state=int(bridge.stp),
        forward_delay=delay,
        vlan_filtering=int(bridge.vlan_aware),
        mcast_snooping=snooping,
        # frames to 01:80:c2:00:00:0x teach the bridge their sender before any rule sees them
        no_linklocal_learn=1 if bridge.name in build.guarded else known.no_linklocal_learn,
    )
    if not bridge.by_kernel:
        options = switch_options(replace(options, mcast_snooping=known.mcast_snooping), bridge)
    options = replace(options, **_declared_options(bridge))
    _note_hidden(build, bridge, before)
    new = before or Link(name=bridge.name, options=options, alias=build.mark)
    _note_unkept(build, bridge, options)
    ours = build.made(new)
    flags = {"arp": ours or new.arp, "multicast": ours or new.multicast}
    return replace(new, options=options, up=True, mac=bridge.mac or mac, mtu=mtu, **flags)


def _has_its_ports(build: TargetBuilder, bridge: DeclaredBridge) -> bool:
    """Whether no link of the file comes or goes, by which the kernel gives a bridge its MTU where nobody has set it."""
    had = {port.name for port in build.observed.ports(bridge.name)}
    wanted = {port.link for port in bridge.every_port}
    return all(build.host.link(name) is None for name in had ^ wanted)


def _note_unkept(build: TargetBuilder, bridge: DeclaredBridge, options: Bridge) -> None:
    """Say which options of a bridge that was found stay as long as it stands, and no longer."""
    said = {name: value for name, value in options.as_json().items() if name in options.unkept}
    if said and not build.host.as_found:
        words = ", ".join(f"{name} {value}" for name, value in said.items())
        text = f"{words}: not in the file, so it stays as it is, and no file that Bascule writes keeps it"
        build.note("warning", bridge.name, text)


def _note_hidden(build: TargetBuilder, bridge: DeclaredBridge, before: Link | None) -> None:
    """Say that the times of the file's spanning tree cannot be compared: the kernel shows those of its root."""
    hides = before is not None and isinstance(before.options, Bridge) and before.options.forward_delay is None
    if hides and {"forward_delay", "hello_time", "max_age"} & _declared_options(bridge).keys():
        text = "another bridge is the root of its spanning tree, and the kernel shows that one's times: whether its "
        build.note("warning", bridge.name, f"{text}own are as the file says cannot be seen, and they are not changed")


def _declared_options(bridge: DeclaredBridge) -> dict[str, int]:
    """The options that the file says, by the kernel's names; who asks for multicast must listen to the answers."""
    said = {
        "priority": bridge.priority,
        "forward_delay": bridge.forward_delay,
        "hello_time": bridge.hello,
        "max_age": bridge.max_age,
        "ageing_time": bridge.ageing,
        "mcast_snooping": bridge.snooping if bridge.snooping is not None else bridge.querier or None,
        "mcast_querier": bridge.querier,
    }
    return {name: int(value) for name, value in said.items() if value is not None}


def _lay_addresses(build: TargetBuilder, bridge: DeclaredBridge, uplink: Link | None) -> None:
    """Those that the uplink hands over, or the bridge's own; without any the host is silent there."""
    if bridge.from_uplink and uplink is not None:
        speaker = foreign_bridge(build.host, build.observed, uplink.name)
        take_over(build, bridge.name, speaker or uplink)
        if speaker is not None:
            build.set(speaker.name, addresses=tuple(a for a in speaker.addresses if a.is_link_local))
            words = f"{uplink.name}, by which the host is on that network, becomes a port of {bridge.name}"
            build.because(speaker.name, words, bridge.place)
        add_addresses(build, build.host.effective(bridge))
    elif bridge.has_address:
        if uplink is not None and uplink.master != bridge.name and any(not a.is_link_local for a in uplink.addresses):
            hand_over_advertised(build, bridge.name, uplink)
        add_addresses(build, bridge)
        if bridge.dhcp:
            wait_for_dhcp(build, bridge.name)
    else:
        build.silence(bridge.name)
        if bridge.routes:  # one to the link itself needs no address
            add_addresses(build, bridge)
        # Linux answers ARP for any of its addresses on any link: the host's own NIC may be on this network, too
        elif not (build.host.as_found and bridge.name in build.observed.links):
            build.sysctls[conf(4, bridge.name, "arp_ignore")] = "1"
    lay_ipv6(build, build.host.effective(bridge))


def _lay_port(build: TargetBuilder, bridge: DeclaredBridge, declared: DeclaredPort) -> None:
    port = declared.link
    said = build.host.link(port)  # which may take longer frames than its bridge, for a VLAN beside it
    build.set(port, mtu=(said.mtu if said is not None else None) or bridge.mtu or build.links[port].mtu)
    _note_stranded(build, port, bridge.name)
    build.enslave(port, bridge.name, BridgePort() if bridge.by_kernel else None)
    kept = build.links[port].port or BridgePort()
    said_port = {"priority": declared.port_priority, "cost": declared.path_cost}
    told = {name: value for name, value in said_port.items() if value is not None} | dict(declared.port_flags)
    if bridge.by_kernel and not build.host.as_found:
        kept = BridgePort(priority=kept.priority, cost=kept.cost)  # no flags but those of the file
    if bridge.by_kernel:
        build.set(port, port=replace(kept, **told) if told else kept)
    role = "the uplink" if port == bridge.port else "a port"
    build.reasons.setdefault(port, f"{port} is {role} of {bridge.name}")
    if bridge.vlan_aware:
        lay_trunk(build, bridge, declared)


def _note_stranded(build: TargetBuilder, port: IfName, bridge: IfName) -> None:
    """Say that a bridge of others keeps the host's addresses, and loses the port by which they are reached."""
    left = build.links.get(build.links[port].master or bridge)
    if left is None or left.name == bridge or build.host.link(left.name) is not None or build.made(left):
        return
    stay = ", ".join(a.ip for a in left.addresses if not a.is_link_local)
    if stay:
        text = (
            f"is not in the file: it keeps {stay}, and loses {port}, over which that is reached; name {left.name} in "
        )
        build.note("warning", left.name, f"{text}the file in place of {bridge}, or remove its addresses first")


def lay_patches(build: TargetBuilder) -> None:
    """The cables between bridges, when all of those are laid; each end is a port that carries every VLAN."""
    for bridge in build.host.bridges.values():
        for patch in bridge.patches:
            before, kind = build.links.get(patch.name), Veth if patch.by_kernel else PatchPort
            if before is not None and (not isinstance(before.options, Veth) or before.parent != patch.peer):
                what = f"'{patch.name}' exists on this host and is not the end of a cable to '{patch.to}'"
                raise BasculeError.of("NOT-A-PATCH", what, place=patch.place, hint="remove that link first")
            options, facts = kind(), LinkFacts(carrier=True)
            made = before or Link(name=patch.name, options=options, parent=patch.peer, alias=build.mark, facts=facts)
            if patch.by_kernel and before is None:
                mac = derive_mac(build.site.name, f"{build.host.name}/{patch.name}", 0)
                made = replace(made, mac=mac, mtu=min(build.links[name].mtu for name in (bridge.name, patch.to)))
            build.links[patch.name] = made if type(made.options) is kind else replace(made, options=options)
            build.enslave(patch.name, bridge.name, BridgePort() if bridge.by_kernel else None)
            if bridge.vlan_aware:
                build.set(patch.name, vlans=EVERY_VLAN if not bridge.by_kernel else ALL_VLANS)
            build.because(patch.name, f"{patch.name} is a cable from {bridge.name} to {patch.to}", patch.place)


def refuse_full(build: TargetBuilder) -> None:
    """Raise a problem for each bridge that would need more port numbers than the kernel has.

    Ports that others put there count as well.
    """
    ports = Counter(link.master for link in build.links.values() if link.master in build.host.bridges)
    full = [build.host.bridges[name] for name, number in ports.items() if name and number > PORTS_MAX]
    if full:
        raise BasculeError(*(_bridge_full(build, bridge, ports[bridge.name]) for bridge in full))


def _bridge_full(build: TargetBuilder, bridge: DeclaredBridge, number: int) -> Problem:
    now = sum(1 for link in build.observed.links.values() if link.master == bridge.name)
    return Problem(
        code="BRIDGE-FULL",
        message=f"bridge '{bridge.name}' has {now:,} ports and would have {number:,}; the kernel takes {PORTS_MAX:,}",
        place=bridge.place,
        hint="spread the guests over several bridges, or remove ports that the file does not name",
    )
