"""The way of a frame is as wide as its narrowest link: what the file says of it must fit together."""

from __future__ import annotations

from bascule.model.values import IfName
from bascule.site import document as d
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring


def check_mtus(wiring: DocumentWiring) -> None:
    """Links of hosts and NICs of machines against the MTU of the network that they are on."""
    for host, entry in wiring.document.hosts.items():
        links = {name: (key, noun, link) for key, noun, name, link in entry.links()}
        for name in links:
            segment = wiring.of_link(host, name)
            network = segment.network if segment else None
            passes = wiring.document.networks[network].mtu if network else None
            if network is None or passes is None:
                continue
            for other in entry.stack(name) & links.keys():
                key, noun, below = links[other]
                path: Path = ("hosts", host, key, other)
                _fits(wiring, f"{noun} '{other}'", below.mtu, path, (network, passes), own=other == name)
    for machine, stands in wiring.document.machines.items():
        for index, nic in enumerate(stands.nics):
            known = wiring.document.networks.get(nic.network)
            if nic.mtu and known and known.mtu and nic.mtu > known.mtu:
                path = ("machines", machine, "nics", index)
                _too_large(wiring, f"machine '{machine}'", nic.mtu, path, (nic.network, known.mtu))


def said_mtu(entry: d.Host, name: IfName) -> tuple[IfName, int] | None:
    """The MTU of a link with the link where it is said: a VLAN or a bond that says none has that of what it stands on.

    None where the file says none, or where it depends on what the host has.
    """
    seen: set[IfName] = set()
    while (link := entry.link(name)) is not None and name not in seen:
        if link.mtu:
            return name, link.mtu
        below = link.below if not isinstance(link, d.Bridge) else ()
        if not below:
            return None
        seen.add(name)
        name = below[0]
    return None


def _fits(
    wiring: DocumentWiring, what: str, mtu: int | None, path: Path, network: tuple[str, int], *, own: bool
) -> None:
    """Not larger than the network where it carries no other one, and never smaller."""
    label, passes = network
    if mtu is None or mtu == passes:
        return
    if mtu < passes:
        wiring.found.add(
            "MTU",
            f"{what} takes packets of {mtu} bytes, but network '{label}' brings up to {passes}",
            (*path, "mtu"),
            hint="bigger ones are dropped there silently: leave its 'mtu' out, or lower the network's",
            also=[("the network", ("networks", label, "mtu"))],
        )
    elif own and not _is_shared(wiring, path):
        _too_large(wiring, what, mtu, path, network)


def _is_shared(wiring: DocumentWiring, path: Path) -> bool:
    """Whether other networks cross a link as well: something tagged lies above it."""
    entry = wiring.document.hosts[str(path[1])]
    tagged = [x for b in entry.bridges.values() if b.vlan is not None or b.vlan_aware for x in b.below]
    aware = [name for name, bridge in entry.bridges.items() if bridge.vlan_aware]
    carriers = {*tagged, *aware, *(vlan.link for vlan in entry.vlans.values())}
    name = path[3]
    return name in carriers or any(name in bond.nics for key, bond in entry.bonds.items() if key in carriers)


def _too_large(wiring: DocumentWiring, what: str, mtu: int, path: Path, network: tuple[str, int]) -> None:
    label, passes = network
    wiring.found.add(
        "MTU",
        f"{what} sends packets of {mtu} bytes, but network '{label}' passes only {passes}",
        (*path, "mtu"),
        hint="bigger ones vanish in its switches: leave this 'mtu' out, or raise the network's and its switches",
        also=[("the network", ("networks", label, "mtu"))],
    )
