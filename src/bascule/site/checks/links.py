"""Links of a host: NICs, bonds, bridges, VLAN links and taps share one set of names; VLAN links; policy rules."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.links.wake_on_lan import OFF
from bascule.model.values import IfName, derive_tap
from bascule.site import document as d
from bascule.site.checks.mtus import said_mtu
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring


def check_links(wiring: DocumentWiring) -> None:
    """Every link of a host has its own name, derived ones included."""
    found = wiring.found
    for host, entry in wiring.document.hosts.items():
        for name, own in entry.nics.items():
            if OFF in own.wol and len(own.wol) > 1:
                message = f"'wol' of NIC '{name}' has 'off' beside {', '.join(w for w in own.wol if w != OFF)}"
                where = ("hosts", host, "nics", name, "wol")
                found.add("WOL", message, where, hint="write 'off' alone, or leave it out")
        first: dict[str, tuple[str, Path]] = {}
        for link, label, path in _names(wiring, host, entry):
            other, earlier = first.setdefault(link, (label, path))
            if earlier != path:
                hint = "rename one of them: the kernel knows a link by its name alone"
                if path[0] == "guests":
                    hint = "give this NIC another name for its tap: 'tap: NAME'"
                place = found.place(path, key=path[3] == link)
                also = (("the first", found.item(earlier)),)
                found.at("DUPLICATE-LINK", f"{label} has the name of {other}", place, hint, also)


def _names(wiring: DocumentWiring, host: str, entry: d.Host) -> Iterator[tuple[str, str, Path]]:
    """The names that links of a host have or will have, each with whose it is."""
    top: Path = ("hosts", host)
    for key, noun, name, _ in entry.links():
        yield name, f"{noun} '{name}'", (*top, key, name)
    seen: set[str] = set()
    for name, bridge in entry.bridges.items():
        link = f"{bridge.uplink}.{bridge.vlan}"
        if bridge.vlan is not None and not bridge.vlan_aware and link not in seen:
            seen.add(link)
            yield link, f"the VLAN link '{link}' under bridge '{name}'", (*top, "bridges", name, "vlan")
    for guest_name, guest in wiring.document.guests.items():
        for index, nic in enumerate(guest.nics if guest.host == host else ()):
            tap = nic.tap or derive_tap(guest_name, index)
            yield tap, f"the tap '{tap}' of guest '{guest_name}'", ("guests", guest_name, "nics", index, "tap")


def check_rules(wiring: DocumentWiring) -> None:
    """A policy rule selects packets of one address family, and says by a table or an action what becomes of them."""
    found = wiring.found
    for host, entry in wiring.document.hosts.items():
        for index, rule in enumerate(entry.rules):
            where: Path = ("hosts", host, "rules", index)
            this = f"the rule with priority {rule.priority}"
            versions = {f"ipv{prefix.version}" for prefix in (rule.from_, rule.to) if prefix is not None}
            versions |= {rule.family} if rule.family else set()
            if len(versions) > 1:
                message = f"{this} speaks of IPv4 and of IPv6"
                found.add("RULE", message, where, hint="write one rule for each address family")
            if (rule.table is None) == (rule.action is None):
                both = "both a table and an action" if rule.action else "neither a table nor an action"
                found.add("RULE", f"{this} names {both}", where, hint="write 'table: 52', or 'action: unreachable'")


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
                    hint="the kernel allows each VLAN ID once on a link",
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
    mtu, narrow = entry.vlans[name].mtu, said_mtu(entry, link)
    if mtu and narrow and mtu > narrow[1]:
        message = f"VLAN link '{name}' has MTU {mtu}, but '{narrow[0]}' below it passes only {narrow[1]}"
        found.add("MTU", message, (*path, "mtu"), hint=f"raise '{narrow[0]}' to {mtu}, or lower the VLAN link")
    if name in entry.stack(link):
        message = f"VLAN link '{name}' would sit on itself"
        found.add("VLAN-LINK", message, (*path, "link"), hint="a VLAN link stands, in the end, on a NIC or on a bridge")


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
