"""The links under bridges: each has one master, and the ports of one bridge fit together."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.values import NO_VLAN, IfName
from bascule.site import document as d
from bascule.site.checks.uplinks import is_below
from bascule.site.findings import Path
from bascule.site.parsers import NO_UPLINK
from bascule.site.wiring import BroadcastDomain, DocumentWiring


def check_ports(wiring: DocumentWiring) -> None:
    """Further ports exist, stand beside an uplink and on its network, close no loop; no link has two masters."""
    for host, entry in wiring.document.hosts.items():
        top: Path = ("hosts", host)
        for name, bridge in entry.bridges.items():
            path: Path = (*top, "bridges", name)
            for index, port in enumerate(bridge.ports):
                is_below(wiring, host, name, "port", port.link, (*path, "ports", index))
            _without_uplink(wiring, name, bridge, path)
            _unaware(wiring, name, bridge, path)
            _idle(wiring, host, name, bridge, path)
            if wiring.document.networks:
                _one_network(wiring, host, name, bridge)
                _beside_native(wiring, host, name, bridge, path)
        _takers(wiring, entry, top)


def _without_uplink(wiring: DocumentWiring, name: IfName, bridge: d.Bridge, path: Path) -> None:
    """Further ports are those beside an uplink, whose MAC and network the bridge has."""
    if bridge.ports and bridge.uplink == "none":
        first = bridge.ports[0].link
        message = f"bridge '{name}' has 'uplink: none', which says that it has no NIC, and the port '{first}'"
        hint = f"write 'uplink: {first}', and only further ones under 'ports'"
        wiring.found.add("BRIDGE-UPLINK", message, (*path, "ports"), hint=hint)


def _unaware(wiring: DocumentWiring, name: IfName, bridge: d.Bridge, path: Path) -> None:
    for index, port in enumerate(bridge.ports):
        if not port.is_like_uplink and not bridge.vlan_aware:
            key = "vlans" if port.vlans else "pvid"
            message = f"'{key}' is an option of ports of VLAN-aware bridges, and '{name}' is not VLAN-aware"
            hint = f"add 'vlan_aware: true' to '{name}', or remove '{key}'"
            wiring.found.add("VLAN-UNAWARE", message, (*path, "ports", index), hint=hint)


def _idle(wiring: DocumentWiring, host: str, name: IfName, bridge: d.Bridge, path: Path) -> None:
    """A port that takes nothing without a tag carries some VLAN, its own or that of a guest."""
    if not bridge.vlan_aware or NO_VLAN not in {bridge.pvid, *(port.pvid for port in bridge.ports)}:
        return
    guests = (guest for guest in wiring.document.guests.values() if guest.host == host)
    tagged = any(nic.bridge == name and (nic.vlan or nic.vlans) for guest in guests for nic in guest.nics)
    places: list[tuple[d.Bridge | d.DeclaredPort, Path, bool]] = [(bridge, path, tagged)]
    places += [(port, (*path, "ports", index), False) for index, port in enumerate(bridge.ports)]
    for port, where, carries in places:
        if port.pvid == NO_VLAN and not port.vlans and not carries:
            subject = f"port '{port.link}'" if isinstance(port, d.DeclaredPort) else f"the uplink of bridge '{name}'"
            message = f"{subject} carries nothing: 'pvid: none' takes nothing untagged, and no VLAN is named"
            hint = "add 'vlans: [10, 20-29]', or remove 'pvid'"
            wiring.found.add("BRIDGE-VLAN", message, (*where, "pvid"), hint=hint)


def _one_network(wiring: DocumentWiring, host: str, name: IfName, bridge: d.Bridge) -> None:
    """A bridge makes one broadcast domain of its ports, and two ports on one wire make a loop of it.

    Only where the file itself says what is on both wires: two NICs may have one tag on two wires.
    """
    top: Path = ("hosts", host)
    every: dict[int | None, dict[str, tuple[str, Path]]] = {}  # what is on the wires, by the VLAN inside the bridge
    for link, key, segment, inside in _segments(wiring, host, bridge):
        if segment is None or segment.network is None or _is_tagged(wiring, host, name, bridge, link, key, segment):
            continue
        where: Path = (*top, "bridges", name, *key)
        seen = every.setdefault(inside, {})
        if not seen:
            seen[segment.network] = link, where
        elif segment.network not in seen:
            network, (other, at) = next(iter(seen.items()))
            wiring.found.add(
                "PORTS",
                f"bridge '{name}' makes one network of '{network}' ('{other}') and '{segment.network}' ('{link}')",
                where,
                hint="give each network a bridge of its own; where they are one, give both NICs one name for it",
                also=[("the first", at)],
            )
        elif not (bridge.stp or bridge.rstp):
            other, at = seen[segment.network]
            wiring.found.add(
                "PORTS",
                f"'{other}' and '{link}' are both on {segment.label}: bridge '{name}' would close a loop",
                where,
                hint="use one NIC per wire, bundle the NICs in a bond, or set 'stp: true' on the bridge; leave "
                f"'network' out where '{link}' is a cable to another wire",
                also=[("the first", at)],
            )


def _beside_native(wiring: DocumentWiring, host: str, name: IfName, bridge: d.Bridge, path: Path) -> None:
    """Who names no VLAN is not on the uplink's network where what arrives untagged there is put into another VLAN."""
    own = bridge.made.native
    segment = _named(wiring, host, bridge.uplink) if bridge.uplink and bridge.uplink not in NO_UPLINK else None
    if bridge.pvid in {None, own} or segment is None:
        return
    speakers = [("the host itself", (*path, "address"))] if bridge.address else []
    speakers += [
        (f"guest '{guest}'", ("guests", guest, "nics", index, "address"))
        for guest, entry in wiring.document.guests.items()
        for index, nic in enumerate(entry.nics)
        if entry.host == host and nic.bridge == name and nic.address and not (nic.vlan or nic.vlans)
    ]
    there = f"VLAN {own}" if own else "no VLAN"
    goes = "is not taken" if bridge.pvid == NO_VLAN else f"is VLAN {bridge.pvid} inside"
    hint = f"remove 'pvid' from '{name}'"
    if bridge.pvid != NO_VLAN:
        number = bridge.pvid
        hint += f", or write 'vlan: {number}' at {segment.label} and its guests, and no 'network' at '{bridge.uplink}'"
    for who, where in speakers:
        message = f"{who} is in {there} of bridge '{name}', and what arrives untagged at '{bridge.uplink}' {goes}"
        wiring.found.add("BRIDGE-VLAN", message, where, hint=hint, also=[("the uplink's VLAN", (*path, "pvid"))])


def _segments(
    wiring: DocumentWiring, host: str, bridge: d.Bridge
) -> Iterator[tuple[str, Path, BroadcastDomain | None, int | None]]:
    """Its ports with their keys, what is on their wires and the VLAN of that inside, the uplink first."""
    aware = bridge.vlan_aware
    if bridge.uplink is not None and bridge.uplink not in NO_UPLINK:
        segment = _named(wiring, host, bridge.uplink) if bridge.vlan is None or aware else None
        if bridge.pvid != NO_VLAN:
            yield bridge.uplink, ("uplink",), segment, (bridge.pvid or 1) if aware else None
    before = {bridge.uplink}
    for index, port in enumerate(bridge.ports):
        if port.link in before or port.link in wiring.document.hosts[host].bridges:
            continue  # a problem of its own
        before.add(port.link)
        inside = bridge.pvid if port.is_like_uplink else port.pvid
        if inside != NO_VLAN:
            yield port.link, ("ports", index), _named(wiring, host, port.link), (inside or 1) if aware else None


def _named(wiring: DocumentWiring, host: str, link: str) -> BroadcastDomain | None:
    """The network on a link, where the file names it there or at a NIC of its bond."""
    entry = wiring.document.hosts[host].link(link)
    members = entry.nics if isinstance(entry, d.Bond) else ()
    links = [wiring.document.hosts[host].link(each) for each in (link, *members)]
    names = (each.network for each in links if isinstance(each, d.WiredLink) and each.network)
    return wiring.network(next(names, None))


def _is_tagged(
    wiring: DocumentWiring,
    host: str,
    name: IfName,
    bridge: d.Bridge,
    link: str,
    key: Path,
    segment: BroadcastDomain,
) -> bool:
    """Whether the network on a NIC or bond arrives tagged; a port of a bridge without VLANs cannot take it so."""
    on_tag = key == ("uplink",) and bridge.vlan is not None
    if segment.vlan is None or on_tag or link in wiring.document.hosts[host].vlans:
        return False
    if key != ("uplink",) and not bridge.vlan_aware:
        wiring.found.add(
            "VLAN-TAGGED",
            f"bridge '{name}' has '{link}' untagged, but {segment.label} arrives there with VLAN {segment.vlan}",
            ("hosts", host, "bridges", name, *key),
            hint=f"put a link with that tag there: vlans: {{{link}.{segment.vlan}: {{link: {link}, id: …}}}}",
            also=[("the tag", ("networks", segment.network or "", "vlan"))],
        )
    return True


def _takers(wiring: DocumentWiring, entry: d.Host, top: Path) -> None:
    """One NIC is under one bridge per tag, and not in a bond at the same time."""
    members = {member: bond for bond, each in reversed(entry.bonds.items()) for member in each.nics}
    first: dict[tuple[IfName, int | None], tuple[IfName, Path]] = {}
    aware: dict[IfName, tuple[IfName, Path]] = {}
    for name, bridge in entry.bridges.items():
        for link, vlan, key in _links_of(bridge):
            where: Path = (*top, "bridges", name, *key)
            _in_bond(wiring, members, name, link, where)
            other = first.get((link, vlan)) or aware.get(link)
            if bridge.vlan_aware and other is None:
                other = next((taker for (taken, _), taker in first.items() if taken == link), None)
            if other is not None:
                _twice(wiring, link, name, where, other, vlan if (link, vlan) in first else None)
            first.setdefault((link, vlan), (name, where))
            if bridge.vlan_aware:
                aware.setdefault(link, (name, where))


def _in_bond(wiring: DocumentWiring, members: dict[IfName, IfName], name: IfName, link: IfName, where: Path) -> None:
    bond = members.get(link)
    if bond is None:
        return
    role = "the uplink" if where[-1] == "uplink" else "a port"
    wiring.found.add(
        "UPLINK-TWICE",
        f"NIC '{link}' is {role} of bridge '{name}' and in bond '{bond}'",
        where,
        hint=f"write uplink: {bond}" if role == "the uplink" else f"name '{bond}' as the port",
        also=[("the bond", (*where[:2], "bonds", bond, "nics"))],
    )


def _links_of(bridge: d.Bridge) -> Iterator[tuple[IfName, int | None, Path]]:
    if bridge.uplink is not None and bridge.uplink not in NO_UPLINK:
        yield bridge.uplink, bridge.vlan, ("uplink",)
    yield from ((port.link, None, ("ports", index)) for index, port in enumerate(bridge.ports))


def _twice(
    wiring: DocumentWiring, link: IfName, name: IfName, where: Path, other: tuple[IfName, Path], vlan: int | None
) -> None:
    taker, at = other
    tag = f" on VLAN {vlan}" if vlan is not None else ""
    message = f"'{link}' is the uplink of both bridge '{taker}' and bridge '{name}'{tag}"
    if taker == name:
        message = f"'{link}' is named twice under bridge '{name}'"
    elif not at[-1] == where[-1] == "uplink":
        message = f"'{link}' is under both bridge '{taker}' and bridge '{name}'"
    hint = "a link has one bridge; with tagged networks give each bridge its own 'vlan'"
    if taker == name:
        hint = "name each port once"
    wiring.found.add("UPLINK-TWICE", message, where, hint=hint, also=[("the first", at)])
