"""Links that no bridge takes, or behind which no guest is heard: said before the kernel or the air says it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.errors import BasculeError, Place, Problem
from bascule.model.host_links import Bridge
from bascule.model.links import LOSES_GUESTS, Bond, Tap
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Note

LAYER_3 = {
    *("wireguard", "ipip", "sit", "gre", "ip6gre", "ip6tnl", "vti", "vti6", "xfrm", "ppp", "nlmon", "vcan", "can"),
    *("ipoib", "rmnet", "amt", "bareudp", "netdevsim"),
}
NO_PORT = {"vrf"}  # IFF_NO_RX_HANDLER in the kernel
ON_A_NIC = {"macvlan", "macvtap", "ipvlan", "ipvtap"}  # IFF_DONT_BRIDGE in the kernel


def refuse_unbridgeable(site: Site, host: Host, observed: HostState) -> None:
    """Raise a problem for each link that the file puts under a bridge, or shares by macvtap, and that cannot be it."""
    problems = []
    chips = _switch_chips(observed)
    places = [(use.nic, use.words, use.place) for use in uses(site, host)]
    places += [(p.link, _role(b, p.link), p.place) for b in host.bridges.values() for p in b.every_port]
    for name, words, place in dict.fromkeys(places):
        link = observed.links.get(name)
        if link is None:
            continue
        why = _why(link) or chips.get(name, "") or _balances(link, host) or _in_bond(link, host, observed)
        if not why:
            continue
        text = f"'{name}' is {words}, and cannot be a port of a bridge: {why}"
        fix = "name a link that carries Ethernet frames, or use a virtual network (mode: routed or nat)"
        problems.append(Problem(code="NOT-BRIDGEABLE", message=text, place=place, hint=fix))
    if problems:
        raise BasculeError(*dict.fromkeys(problems))


def _why(link: Link) -> str:
    """What hinders it; nothing where it is an Ethernet link like others."""
    kind = _info_kind(link)
    if isinstance(link.options, Tap) and link.options.type == "tun":
        return "it is a tun link, which carries IP packets without MACs (a VPN's tunnel: make it a tap there)"
    if kind in LAYER_3:
        return f"it is a {kind} link, which carries packets without MACs"
    if kind in ON_A_NIC and getattr(link.options, "mode", "") != "passthru":
        return f"it is a {kind} of {link.parent or 'a NIC elsewhere'}, which takes frames of its own MAC only"
    if kind in NO_PORT:
        return f"it is a {kind}, which has ports itself"
    if link.is_bridge:
        return "it is a bridge itself; connect the two by a veth pair, and name its end"
    seen = link.facts.index > 0  # a NIC that only the site file tells of has no MAC yet
    if link.options.is_link and link.mac is None and seen:
        return "it has no Ethernet address (InfiniBand, PPP, a modem)"
    return ""


def _switch_chips(observed: HostState) -> dict[IfName, str]:
    """The NICs on which the ports of a switch chip hang (DSA): their frames bear tags that only those understand."""
    over: dict[IfName, list[IfName]] = {}
    for link in observed.links.values():
        if link.parent is not None and _info_kind(link) == "dsa":
            over.setdefault(link.parent, []).append(link.name)
    return {
        nic: f"it is the CPU port of the switch chip with the ports {', '.join(sorted(ports))}: name those"
        for nic, ports in over.items()
    }


def _balances(link: Link, host: Host) -> str:
    """Whether it is a bond that somebody made, and that loses guests' frames; of the file's own ``check`` says it."""
    if not isinstance(link.options, Bond) or link.name in host.bonds or link.options.mode not in LOSES_GUESTS:
        return ""
    return f"it is a bond of mode {link.options.mode}: {LOSES_GUESTS[link.options.mode]}"


def _in_bond(link: Link, host: Host, observed: HostState) -> str:
    """Whether it is one of several interfaces of a port of another switch that the file does not know."""
    port = observed.master_of(link)
    if port is None or not isinstance(port.options, Bond) or port.options.by_kernel:
        return ""
    if port.name in host.bonds or port.is_ours:  # one of ours goes with its line
        return ""
    return f"it is a member of {port.name}, {port.options.noun} that is not in the file: take that, or free it there"


def _info_kind(link: Link) -> str:
    return getattr(link.options, "info_kind", "") or link.options.kind


WHY = "an access point accepts frames from the NIC's own MAC only, so no guest is ever answered"
FIX = "use a wired NIC, or a virtual network (mode: nat or routed)"


class UplinkUse(Struct, frozen=True):
    """A NIC that carries guests' own MACs to the wire: what it is, as ``the uplink of br3``, and where that stands."""

    nic: IfName
    words: str
    place: Place
    bridge: IfName | None = None


def _role(bridge: Bridge, link: IfName) -> str:
    return f"{'the uplink' if link == bridge.port else 'a port'} of {bridge.name}"


def uses(site: Site, host: Host) -> Iterator[UplinkUse]:
    """Each NIC under a bridge, and each that guests share."""
    for bridge in host.bridges.values():
        for port in bridge.every_port:
            for nic in host.nics_of(bridge.uplink if port.link == bridge.port else port.link):
                yield UplinkUse(nic.name, _role(bridge, port.link), port.place, bridge.name)
    for plug in site.guest_nics(host.name):
        if plug.shared_nic is not None:
            yield UplinkUse(plug.shared_nic, f"what {plug.guest} is plugged into", plug.place)


def refuse_wireless(site: Site, host: Host, observed: HostState) -> None:
    """Raise a problem for each wireless one, as far as can be seen.

    One that the kernel has let into the bridge already is an access point itself, or speaks with four addresses.
    """
    wireless = {name: link for name, link in observed.links.items() if link.facts.wireless}
    problems = []
    for use in uses(site, host) if wireless else ():
        link = wireless.get(use.nic)
        if link is not None and (use.bridge is None or link.master != use.bridge):
            text = f"NIC '{use.nic}' is wireless and {use.words}: {WHY}"
            problems.append(Problem(code="WIRELESS", message=text, place=use.place, hint=FIX))
    if problems:
        raise BasculeError(*problems)


def function_notes(site: Site, host: Host, observed: HostState) -> Iterator[Note]:
    """What to know of an uplink that is a virtual function of SR-IOV: the NIC above it sorts frames by MAC."""
    functions = {
        name: link.facts.function
        for name, link in observed.links.items()
        if len(link.facts.function) == len(("nic", "number", "limits"))
    }
    for use in dict.fromkeys(uses(site, host)) if functions else ():
        nic, number, limits = functions.get(use.nic, ("", "", ""))
        if not limits:
            continue
        text = f"is a virtual function (SR-IOV) and {use.words}; "
        whose = f"{nic} passes it frames for its own MAC only"
        if limits == "unknown":
            text += (
                "whether the NIC above it lets the guests' MACs through could not be seen from here: ask who runs it "
            )
            text += "for 'spoofchk off' and 'trust on'"
        else:
            text += f"{whose}, and drops what bears another ({limits}): no guest is heard or answered by it until "
            text += f"'ip link set {nic} vf {number} spoofchk off trust on'"
            text += " and without its vlan" if "vlan" in limits else ""
        yield Note(kind="warning", subject=use.nic, text=text)
