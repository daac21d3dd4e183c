"""What is on a host and not in the file: seen, drawn, left alone."""

from __future__ import annotations

from bascule.draw.scene.builder import SceneBuilder
from bascule.draw.scene.compare import is_isolated, link_details, link_state, without_uplink
from bascule.draw.scene.elements import Kind, Layer, Node, Presence, link_id
from bascule.model.links import Bond, Bridge, Loopback, Macvtap, Physical, Tap, Veth, Vlan
from bascule.model.site import Host
from bascule.model.state import HostState, Link
from bascule.model.values import natural


def add_foreign(builder: SceneBuilder, host: Host, observed: HostState) -> None:
    """Add every link to the scene that the file does not know, with its wires.

    On a host of which the file says nothing at all (``draw --live`` without a file) nothing is called foreign.
    """
    bare = not host.nics and not host.bridges and not host.virtual_networks
    presence = Presence.PRESENT if bare else Presence.FOREIGN
    # the kernel's order is that in which they were made
    links = sorted(observed.links.values(), key=lambda link: natural(link.name))
    for link in links:
        key = link_id(host.name, link.name)
        if isinstance(link.options, Loopback) or key in builder.nodes or key in builder.aliases:
            continue
        ports = (port for port in links if port.master == link.name)
        has_uplink = any(isinstance(port.options, Physical | Bond | Vlan) for port in ports)
        builder.add(_node(host, link, presence, has_uplink=has_uplink))
        own = [address.ip for address in link.addresses if not address.is_link_local]
        if own:
            builder.add_self(host.name, link.name, own, own, presence=presence, wire=presence)
    for link in links:
        key = link_id(host.name, link.name)
        key = builder.aliases.get(key, key)
        if link.master is not None:
            _wire(builder, key, link_id(host.name, link.master), link, presence)
        if link.parent is not None and isinstance(link.options, Vlan | Macvtap):
            _wire(builder, key, link_id(host.name, link.parent), link, presence)


def _wire(builder: SceneBuilder, link: str, other: str, seen: Link, presence: Presence) -> None:
    """A wire between two links that are both drawn, unless the file has said it already."""
    other = builder.aliases.get(other, other)
    if link not in builder.nodes or other not in builder.nodes or link == other:
        return
    if builder.are_wired(link, other):
        return
    upper, lower = link, other
    if seen.master is not None and builder.nodes[link].layer > builder.nodes[other].layer:
        upper, lower = other, link  # a NIC, bond or VLAN link is drawn below the bridge that it is a port of
    declared = Presence.FOREIGN not in {builder.nodes[link].presence, builder.nodes[other].presence}
    if declared and presence is Presence.FOREIGN:
        presence = Presence.DRIFTED
    builder.wire(upper, lower, presence=presence, state=link_state(seen))


def _node(host: Host, link: Link, presence: Presence, *, has_uplink: bool) -> Node:
    layer, kind, notes = _sort(link)
    state = link_state(link)
    if (kind is Kind.LINK and not link.master) or (kind is Kind.BRIDGE and not has_uplink):
        state = without_uplink(state)
    return Node(
        id=link_id(host.name, link.name),
        layer=layer,
        kind=kind,
        label=link.name,
        notes=notes,
        details=link_details(link),
        host=host.name,
        presence=presence,
        state=state,
        isolated=is_isolated(link),
    )


def _sort(link: Link) -> tuple[Layer, Kind, tuple[str, ...]]:
    match link.options:
        case Bridge() as bridge:
            return Layer.SWITCH, Kind.BRIDGE, (*bridge.traits, *link.facts.mirrors)
        case Vlan(id=vid):
            return Layer.MIDDLE, Kind.VLAN, (f"VLAN {vid}",)
        case Bond(mode=mode):
            return Layer.MIDDLE, Kind.BOND, (mode,)
        case Physical():
            return Layer.NIC, Kind.NIC, ()
        case Tap():
            return Layer.TAP, Kind.TAP, ("tap",)
        case Macvtap():
            return Layer.TAP, Kind.MACVTAP, ("macvtap",)
        case Veth() if link.master is not None:
            return Layer.TAP, Kind.LINK, (link.options.word,)
        case Veth():
            return Layer.NIC, Kind.NIC, ("veth",)
        case options:
            kind = getattr(options, "info_kind", "") or options.kind
            return (Layer.TAP if link.master else Layer.NIC), Kind.LINK, (kind,) if kind else ()
