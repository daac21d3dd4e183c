"""Bonds that cannot stand under a bridge."""

from __future__ import annotations

from bascule.model.links import BOND_KEYS, BONDS, LOSES_GUESTS
from bascule.site import document as d
from bascule.site.wiring import DocumentWiring

KERNEL_KEYS = (*(key for key in BOND_KEYS if key not in {"updelay", "downdelay", "lacp_rate", "primary"}), "mac", "mtu")


def check_bonds(wiring: DocumentWiring) -> None:
    """No bond below a bridge balances by the MACs of its members."""
    for host, entry in wiring.document.hosts.items():
        _switched(wiring, host, entry)
        for name in entry.bridges if entry.bonds else ():
            for bond in entry.stack(name) & entry.bonds.keys():
                mode = entry.bonds[bond].mode
                if mode not in LOSES_GUESTS:
                    continue
                wiring.found.add(
                    "BOND-BRIDGE",
                    f"bond '{bond}' of mode {mode} cannot carry bridge '{name}': {LOSES_GUESTS[mode]}",
                    ("hosts", host, "bonds", bond, "mode"),
                    hint="use active-backup, or 802.3ad with LACP on the switch",
                    also=[("the bridge", ("hosts", host, "bridges", name, "uplink"))],
                )


def _switched(wiring: DocumentWiring, host: str, entry: d.Host) -> None:
    """A bond of Open vSwitch is a port of its bridge and no link: nobody else sits on it, and it has no address."""
    for name, bond in entry.bonds.items():
        made = bond.made
        if made.by_kernel:
            others = [word for word, kind in BONDS.items() if bond.mode in kind.alone]
            if others:
                message = f"bond '{name}' of mode {bond.mode} is one that the kernel cannot make"
                hint = f"write 'kind: {others[0]}', or a mode of the kernel's"
                wiring.found.add("BOND", message, ("hosts", host, "bonds", name, "kind"), hint=hint)
            continue
        path = ("hosts", host, "bonds", name)
        over = [key for key, bridge in entry.bridges.items() if name in bridge.below and bridge.kind == made.said]
        vlans = [key for key, vlan in entry.vlans.items() if vlan.link == name]
        if not over or vlans or bond.address:
            what = f"carries '{vlans[0]}'" if vlans else "has an address" if bond.address else "is under no such bridge"
            wiring.found.add(
                "BOND",
                f"bond '{name}' of mode {bond.mode} is a port of a bridge with 'kind: {made.said}', and {what}",
                (*path, "mode"),
                hint="make it the uplink of such a bridge and give the bridge the address, or use a bond of the kernel",
            )
        own = ("active-backup", *made.alone)
        if bond.mode not in own:
            message = f"bond '{name}' of mode {bond.mode} is one that {made.maker} cannot make"
            hint = f"take one of {', '.join(own)} (balance-tcp speaks LACP), or remove 'kind'"
            wiring.found.add("BOND", message, (*path, "mode"), hint=hint)
        for key in KERNEL_KEYS:
            if getattr(bond, key) not in {None, ()}:
                message = f"'{key}' is an option of bonds of the kernel, and '{name}' is one of {made.maker}"
                hint = f"remove '{key}', or set what {made.maker} has for it with {made.tool}"
                wiring.found.add("BOND", message, (*path, key), hint=hint)
