"""The step that most hosts need after an import: a NIC goes under a bridge, which takes over its address."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import Struct

from bascule.errors import UsageFault
from bascule.model.host_links import LISTENING
from bascule.model.values import parse_ifname


class NewBridge(Struct, frozen=True):
    """A bridge over a NIC, bond or VLAN link; without ``name`` it is br0, or the first of br1, br2, … that is free."""

    over: str
    name: str | None = None


def put_under_bridge(host: dict[str, Any], wish: NewBridge, taken: Collection[str] = ()) -> str:
    """Add the bridge to a host's entry of a site file; its name.

    ``taken`` are the names of links that are there and that the entry does not say. Raises UsageFault where the NIC
    is not there or is in use already, and for a name that is none or is taken.
    """
    nics, bonds, vlans, bridges = (host.get(key, {}) for key in ("nics", "bonds", "vlans", "bridges"))
    link = {**nics, **bonds, **vlans}.get(wish.over)
    if wish.over in bridges:
        raise _refused(f"'{wish.over}' is a bridge itself", "guests are plugged into it: 'bridge: …' at their NICs")
    if link is None:
        there = ", ".join([*nics, *bonds, *vlans]) or "none at all"
        raise _refused(f"there is no NIC, bond or VLAN '{wish.over}' to put under a bridge", f"there are: {there}")
    for name, bond in bonds.items():
        if wish.over in bond.get("nics", ()):
            raise _refused(f"NIC '{wish.over}' is a member of bond '{name}'", f"write --bridge {name}")
    for name, bridge in bridges.items():
        ports = (port["link"] if isinstance(port, dict) else port for port in bridge.get("ports", ()))
        if wish.over in (bridge.get("uplink"), *ports) and "vlan" not in bridge:
            raise _refused(f"'{wish.over}' is under bridge '{name}' already", "import without --bridge says so, too")
    used = {*nics, *bonds, *bridges, *vlans, *taken}
    name = wish.name or next(name for number in range(len(used) + 1) if (name := f"br{number}") not in used)
    try:
        parse_ifname(name)
    except ValueError as wrong:
        raise _refused(f"this is not a valid name for a bridge: {wrong}", "take a name like br0") from wrong
    if name in used:
        raise _refused(f"there is a link '{name}' already", "take another name with --as NAME")
    speaks = "address" in link or link.get("ipv6") in LISTENING
    host["bridges"] = {**bridges, name: {"uplink": wish.over} | ({"address": "from-uplink"} if speaks else {})}
    return name


def _refused(message: str, hint: str) -> UsageFault:
    return UsageFault.of("NEW-BRIDGE", message, hint=hint)
