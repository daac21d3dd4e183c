"""Link names of a host: NICs, bonds, bridges, VLAN links and taps share one set."""

from __future__ import annotations

from bascule.model.values import derive_tap
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring


def check_links(wiring: DocumentWiring) -> None:
    """Every link of a host has its own name, derived ones included."""
    found = wiring.found
    for host, entry in wiring.document.hosts.items():
        first: dict[str, tuple[str, Path]] = {}
        top: Path = ("hosts", host)

        def see(name: str, label: str, path: Path, *, key: bool, first: dict[str, tuple[str, Path]] = first) -> None:
            if name not in first:
                first[name] = (label, path)
                return
            other, where = first[name]
            hint = "rename one of them: the kernel knows a link by its name alone"
            if label.startswith("the tap"):
                hint = "give this NIC another name for its tap: 'tap: NAME'"
            place = found.place(path, key=key)
            also = (("the first", found.item(where)),)
            found.at("DUPLICATE-LINK", f"{label} has the name of {other}", place, hint, also)

        for kind, noun, name, _ in entry.links():
            see(name, f"{noun} '{name}'", (*top, kind, name), key=True)
        seen: set[str] = set()
        for name, bridge in entry.bridges.items():
            link = f"{bridge.uplink}.{bridge.vlan}"
            if bridge.vlan is not None and not bridge.vlan_aware and link not in seen:
                seen.add(link)
                see(link, f"the VLAN link '{link}' under bridge '{name}'", (*top, "bridges", name, "vlan"), key=False)
        for guest_name, guest in wiring.document.guests.items():
            if guest.host != host:
                continue
            for index, nic in enumerate(guest.nics):
                tap = nic.tap or derive_tap(guest_name, index)
                path: Path = ("guests", guest_name, "nics", index)
                see(tap, f"the tap '{tap}' of guest '{guest_name}'", (*path, "tap"), key=False)
