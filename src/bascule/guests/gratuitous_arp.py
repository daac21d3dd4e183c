"""Tell the wire where a guest is now: a switch sends to the port where it last heard a MAC, and a server may be silent.

A bridge that heard the guest through another port would send its frames back where they came from until the guest
speaks, and that can be minutes. So what the host's bridges learned is forgotten before the move, and afterwards a frame
with the guest's MAC as its source goes out of the bridge's other ports, as QEMU does it after a migration (RARP, RFC
903). Nothing depends on either; what cannot be done is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from bascule.errors import BasculeError
from bascule.frames.codecs import arp, ethernet
from bascule.model.sightings import FdbEntry
from bascule.model.values import IfName, Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.system.net.iproute import batch_lines
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import send_frame
from bascule.system.run import rows


def forget_elsewhere(mac: Mac, tap: IfName, *, namespace: Namespace | None = None) -> None:
    """Take what bridges of this host learned of a MAC at other ports than the guest's own tap."""
    with contextlib.suppress(BasculeError, ValueError):
        learned = [entry for entry in read_fdb(namespace) if entry.mac == mac and not entry.static]
        batch_lines("bridge", (_line(entry) for entry in learned if entry.port != tap), namespace=namespace)


def announce(tap: IfName, mac: Mac, *, namespace: Namespace | None = None) -> None:
    """Let whoever is behind the other ports of the tap's bridge learn the way to the guest."""
    with contextlib.suppress(BasculeError, ValueError, OSError):
        here = rows(("ip", "-j", "link", "show", "dev", tap), namespace=namespace)
        master = next((link.get("master") for link in here), None)
        ports = rows(("ip", "-j", "-d", "link", "show", "master", master), namespace=namespace) if master else []
        others = [port["ifname"] for port in ports if port["ifname"] != tap and not _is_tap(port)]
        with namespace.entered() if namespace else contextlib.nullcontext():
            for port in others:  # taps are left out: guests learn no ways
                send_frame(port, reverse_arp(mac))


def reverse_arp(mac: Mac) -> bytes:
    """A reverse ARP request for one's own MAC, to all: it asks nobody anything and only shows where it comes from."""
    return ethernet.padded(arp.reverse_request(ethernet.mac_bytes(mac)))


def _is_tap(port: Mapping[str, Any]) -> bool:
    return bool(port.get("linkinfo", {}).get("info_kind") == "tun")


def _line(entry: FdbEntry) -> str:
    vlan = f" vlan {entry.vlan}" if entry.vlan is not None else ""
    return f"fdb del {entry.mac} dev {entry.port} master{vlan}"
