"""Bonds that cannot stand under a bridge."""

from __future__ import annotations

from bascule.site import document as d
from bascule.site.wiring import DocumentWiring

WHY = {  # of each mode, from Documentation/networking/bonding.rst of the kernel
    "balance-alb": "it sends under its members' own MACs, and loses the guests'",
    "balance-tlb": "the switch hears a guest's MAC at two ports by turns",
    "balance-rr": "the switch hears a guest's MAC at two ports by turns",
}


def check_bonds(wiring: DocumentWiring) -> None:
    """No bond below a bridge balances by the MACs of its members."""
    for host, entry in wiring.document.hosts.items():
        for name, bridge in entry.bridges.items():
            below = entry.link(bridge.uplink)
            for _ in entry.vlans:  # a VLAN link may sit on another one
                below = entry.link(below.link) if isinstance(below, d.VlanLink) else below
            if isinstance(below, d.Bond) and below.mode in WHY:
                bond = next(key for key, each in entry.bonds.items() if each is below)
                wiring.found.add(
                    "BOND-BRIDGE",
                    f"bond '{bond}' of mode {below.mode} cannot carry bridge '{name}': {WHY[below.mode]}",
                    ("hosts", host, "bonds", bond, "mode"),
                    hint="use active-backup, or 802.3ad with LACP on the switch",
                    also=[("the bridge", ("hosts", host, "bridges", name, "uplink"))],
                )
