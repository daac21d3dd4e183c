"""The MACs that bridges have learned, and on which port: the kernel's (bridge(8), fdb) and those of Open vSwitch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bascule.model.sightings import FdbEntry, fdb_entries
from bascule.model.values import IfName, parse_mac
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import forwarding
from bascule.system.run import rows

FDB = ("bridge", "-j", "-s", "fdb", "show")


def read_fdb(namespace: Namespace | None = None) -> tuple[FdbEntry, ...]:
    """Every entry of every bridge, with its age in seconds; the links' own MACs are left out.

    Raises MissingTool, CommandFailed.
    """
    return (*fdb_entries(kernel_rows(namespace)), *switch_entries(namespace))


def kernel_rows(namespace: Namespace | None = None, *, check: bool = True) -> list[dict[str, Any]]:
    """What bridge(8) tells of the kernel's tables. Raises MissingTool, and with ``check`` CommandFailed."""
    return rows(FDB, namespace=namespace, check=check)


def switch_entries(namespace: Namespace | None = None) -> tuple[FdbEntry, ...]:
    """What the bridges of Open vSwitch have learned, without their own MACs."""
    return tuple(
        FdbEntry(mac=parse_mac(mac), port=IfName(port), bridge=IfName(bridge), vlan=vlan or None, age_s=age)
        for bridge, port, vlan, mac, age in forwarding(namespace)
        if port != bridge
    )


def learned_by_port(entries: Iterable[FdbEntry]) -> dict[str, tuple[str, ...]]:
    """Port → the MACs learned behind it, each once, with ``vlan N`` where the bridge keeps VLANs apart."""
    found: dict[str, dict[str, None]] = {}
    for entry in entries:
        if not entry.static:
            vlan = f" vlan {entry.vlan}" if entry.vlan is not None else ""
            found.setdefault(entry.port, {})[f"{entry.mac}{vlan}"] = None
    return {port: tuple(macs) for port, macs in found.items()}
