"""How large a packet may be on its way from a guest to the wire, and who sends larger ones. Pure.

A bridge drops what its port cannot take, and tells nobody: no ICMP comes from layer 2.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.errors import Problem
from bascule.model.host_links import Bridge
from bascule.model.links import Vlan
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import ETHERNET_MTU, IfName, listed, natural
from bascule.plan.change import Note
from bascule.topology.management import below


class MtuBottleneck(Struct, frozen=True, kw_only=True):
    """The narrowest link below a bridge, and what is sent into it; both in bytes of an IP packet."""

    bridge: IfName
    link: IfName
    passes: int
    sent: int
    senders: str

    @property
    def words(self) -> str:
        """What vanishes, where."""
        return (
            f"{self.link} passes packets of {self.passes:,} bytes only, and {self.senders} may send {self.sent:,}: "
            "bigger ones are dropped there silently"
        )


def narrows(site: Site, host: Host, bridge: Bridge, state: HostState) -> MtuBottleneck | None:
    """Where a bridge sends more than a link below it takes; None where all of it fits.

    A guest sends 1,500 bytes unless it is told otherwise, which the file does by the MTU of its bridge or network.
    """
    link = state.links.get(bridge.name)
    every = (name for port in bridge.every_port for name in below(state, port.link))
    carriers = sorted(every, key=lambda name: state.links[name].mtu)
    if link is None or not carriers or state.links[carriers[0]].mtu >= max(link.mtu, bridge.mtu or ETHERNET_MTU):
        return None
    guests = sorted({nic.guest for nic in site.nics_on(host.name, bridge.name)}, key=natural)
    own = bridge.mtu or (ETHERNET_MTU if guests else 0)
    sent, passes = max(link.mtu, own), state.links[carriers[0]].mtu
    if passes >= sent:
        return None
    named = listed(guests)
    senders = f"{bridge.name} with its guests ({named})" if guests else bridge.name
    return MtuBottleneck(bridge=bridge.name, link=carriers[0], passes=passes, sent=sent, senders=senders)


def mtu_problems(host: Host, wanted: HostState) -> Iterator[Problem]:
    """VLAN links of the file for which the link below is too narrow: the kernel refuses them (8021q, vlan_dev.c)."""
    places = {bridge.port: bridge.place for bridge in host.bridges.values() if bridge.port}
    places |= {vlan.name: vlan.place for vlan in host.vlans.values()}
    for name, place in places.items():
        link = wanted.links.get(name)
        below = wanted.parent_of(link) if link is not None else None
        if link is None or below is None or not isinstance(link.options, Vlan) or link.mtu <= below.mtu:
            continue
        message = f"VLAN link '{name}' cannot have MTU {link.mtu}: '{below.name}' below it has {below.mtu}"
        hint = f"write 'mtu: {link.mtu}' at '{below.name}', if its switch passes that, or lower the VLAN link"
        yield Problem(code="MTU", message=message, place=place, hint=hint)


def mtu_notes(site: Site, host: Host, before: HostState, state: HostState) -> Iterator[Note]:
    """What vanishes below a bridge after the plan, and jumbo frames of which nobody has said that they pass."""
    for bridge in host.bridges.values():
        found, network = narrows(site, host, bridge, state), site.network_of_link(host, bridge.name)
        wire = f"network {network.name}" if network is not None else "its network"
        if found is not None:
            way = f"raise {found.link} and the ports of its switches, or say 'mtu: {found.passes}' of {wire} and tell "
            way += "the guests"
            yield Note(kind="warning", subject=bridge.name, text=f"{found.words}; {way}")
        elif bridge.mtu and bridge.mtu > ETHERNET_MTU and network is not None and network.mtu is None:
            text = f"sends packets of {bridge.mtu:,} bytes; the file does not say that {wire} passes them "
            text += f"('mtu: {bridge.mtu}' there), so its machines are taken to have {ETHERNET_MTU:,}"
            yield Note(kind="warning", subject=bridge.name, text=text)
        yield from _others_ports(site, host, bridge, state)
        yield from _not_told(site, host, bridge, before, state)


def _others_ports(site: Site, host: Host, bridge: Bridge, state: HostState) -> Iterator[Note]:
    """The ports of others (a container's, a tunnel's end) that take less than the bridge passes, or send more."""
    link, named = state.links.get(bridge.name), {port.link for port in bridge.every_port} | host.listeners
    named |= {patch.name for patch in bridge.patches}
    unlike = [port for port in state.ports(bridge.name) if link is not None and port.mtu != link.mtu]
    named |= {nic.tap for nic in site.guest_nics(host.name)} if unlike else set()
    wide: list[str] = []
    for port in unlike:
        if port.name in named or link is None:
            continue
        if port.mtu > link.mtu:
            wide.append(f"{port.name} ({port.mtu:,})")
        else:
            text = f"{port.name}, a port that is not in the file, takes packets of {port.mtu:,} bytes only, and "
            text += f"{bridge.name} passes {link.mtu:,}: bigger ones are dropped there silently"
            yield Note(kind="warning", subject=bridge.name, text=text)
    if wide and link is not None:
        text = f"passes packets of {link.mtu:,} bytes, and ports that are not in the file may send larger ones: "
        text += f"{listed(wide)}; they are dropped silently"
        yield Note(kind="warning", subject=bridge.name, text=text)


def _not_told(site: Site, host: Host, bridge: Bridge, before: HostState, state: HostState) -> Iterator[Note]:
    """The guests whose ports shall take less or more while they run: nobody tells a guest's own NIC."""
    link = state.links.get(bridge.name)
    less, more = list[str](), list[str]()
    for nic in site.nics_on(host.name, bridge.name):
        old, new = (each.links.get(nic.tap) for each in (before, state))
        if old is not None and new is not None and old.facts.carrier and new.mtu != old.mtu:
            (less if new.mtu < old.mtu else more).append(nic.guest)
    for guests, lost in ((less, "what they send beyond that is"), (more, "what is sent to them beyond their own is")):
        if guests and link is not None:
            named = listed(guests)
            text = f"passes packets of {link.mtu:,} bytes then, and nobody tells the guests that run ({named}): {lost} "
            text += "dropped silently until their own NICs have that MTU"
            yield Note(kind="warning", subject=bridge.name, text=text)
