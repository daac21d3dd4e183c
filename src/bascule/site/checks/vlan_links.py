"""VLAN links of a host: what carries them, and that their tag is the network's."""

from __future__ import annotations

from bascule.model.values import IfName
from bascule.site import document as d
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring


def check_vlan_links(wiring: DocumentWiring) -> None:
    """Each sits on a link of its host, not on itself, and carries the network that arrives with its tag."""
    for host, entry in wiring.document.hosts.items():
        first: dict[tuple[IfName, int], IfName] = {}
        for name, vlan in entry.vlans.items():
            path: Path = ("hosts", host, "vlans", name)
            _carrier(wiring, host, entry, name, path)
            _network(wiring, vlan, name, path)
            other = first.setdefault((vlan.link, vlan.id), name)
            if other != name:
                wiring.found.add(
                    "DUPLICATE-LINK",
                    f"VLAN {vlan.id} of '{vlan.link}' is '{name}' as well as '{other}'",
                    (*path, "id"),
                    hint="the kernel takes a tag once on each link",
                    also=[("the first", ("hosts", host, "vlans", other))],
                )


def _carrier(wiring: DocumentWiring, host: str, entry: d.Host, name: IfName, path: Path) -> None:
    """The link below is there, carries frames of its own, and does not sit on this one again."""
    found, link = wiring.found, entry.vlans[name].link
    below = entry.link(link)
    if below is None:
        if not any(found.is_broken(("hosts", host, key, link)) for key in d.LINK_TABLES):
            names = [each for _, _, each, _ in entry.links() if each != name]
            message = f"host '{host}' has no link '{link}' that could carry VLAN link '{name}'"
            found.add("UNKNOWN-NAME", message, (*path, "link"), hint=suggest(link, names, kind="link"))
        return
    bond = next((bond for bond, each in entry.bonds.items() if link in each.nics), None)
    if bond is not None:
        message = f"VLAN link '{name}' is on '{link}', which is a member of bond '{bond}'"
        found.add("VLAN-LINK", message, (*path, "link"), hint=f"write link: {bond}")
    mtu = entry.vlans[name].mtu
    if mtu and below.mtu and mtu > below.mtu:
        message = f"VLAN link '{name}' has MTU {mtu}, but '{link}' below it passes only {below.mtu}"
        found.add("MTU", message, (*path, "mtu"), hint=f"raise '{link}' to {mtu}, or lower the VLAN link")
    if name in _stack(entry, link):
        message = f"VLAN link '{name}' would sit on itself"
        found.add("VLAN-LINK", message, (*path, "link"), hint="a VLAN link stands, in the end, on a NIC or on a bridge")


def _stack(entry: d.Host, name: str) -> set[str]:
    """A link and all that is below it."""
    seen: set[str] = set()
    queue = [name]
    while queue:
        link = entry.link(name := queue.pop())
        if name not in seen:
            queue += (link.link,) if isinstance(link, d.VlanLink) else link.below if isinstance(link, d.Bridge) else ()
        seen.add(name)
    return seen


def _network(wiring: DocumentWiring, vlan: d.VlanLink, name: IfName, path: Path) -> None:
    """A network that the link names arrives with its tag."""
    network = wiring.document.networks.get(vlan.network or "")
    if network is None or network.vlan == vlan.id:
        return
    arrives = f"with VLAN {network.vlan}" if network.vlan is not None else "untagged"
    wiring.found.add(
        "VLAN-TAGGED",
        f"VLAN link '{name}' has tag {vlan.id}, but network '{vlan.network}' arrives {arrives}",
        (*path, "network"),
        hint=f"write 'vlan: {vlan.id}' at the network, or name the network that has this tag",
        also=[("the network", ("networks", vlan.network or ""))],
    )
