"""Whose a MAC is: a maker's, a guest's, or one that routers share. From the registry, as data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

GUESTS = {  # IEEE's registry of organisations, and what each hypervisor gives to its guests
    "52:54:00": "QEMU",
    "fe:54:00": "libvirt's tap",
    "08:00:27": "VirtualBox",
    "0a:00:27": "VirtualBox",
    "00:05:69": "VMware",
    "00:0c:29": "VMware",
    "00:1c:14": "VMware",
    "00:50:56": "VMware",
    "00:15:5d": "Hyper-V",
    "00:03:ff": "Virtual PC",
    "00:16:3e": "Xen",
    "00:1c:42": "Parallels",
    "00:18:51": "Virtuozzo",
    "00:0f:4b": "Virtual Iron",
    "00:1a:4a": "oVirt",  # Qumranet's, whose product it was
    "56:6f:1a": "oVirt",
    "bc:24:11": "Proxmox VE",
    "58:9c:fc": "bhyve",
    "50:6b:8d": "Nutanix AHV",
    "fa:16:3e": "OpenStack",
}


class VirtualGateway(NamedTuple):
    """A MAC that routers share: the protocol by which they do, and its group."""

    protocol: str
    group: int


def hypervisor(mac: str) -> str:
    """Whose guest has this MAC; empty for a real machine's."""
    return GUESTS.get(mac[:8].lower(), "")


@cache
def _makers() -> Mapping[str, str]:
    from bascule.frames.makers import PREFIXES

    return {prefix: name for name, prefixes in PREFIXES.items() for prefix in prefixes.split()}


def prefix(mac: str) -> str:
    """The registered part of a MAC as six hexadecimal digits; empty for one that somebody made up (bit 0x02)."""
    return "" if len(mac) < 8 or int(mac[1], 16) & 2 else mac[:8].replace(":", "").lower()


def maker(mac: str, more: Mapping[str, str] | None = None) -> str:
    """Who made the NIC with this MAC, as far as the common makers or ``more`` (names by prefix) tell it."""
    own = prefix(mac)
    return _makers().get(own, "") or (more or {}).get(own, "")


def virtual_gateway(mac: str) -> VirtualGateway | None:
    """Which routers share a MAC: VRRP (RFC 5798, 7.3), HSRP versions 1 and 2 and of IPv6 (RFC 2281, 5.1), GLBP.

    GLBP's has ten bits for the group, and the last byte is of the forwarder.
    """
    if not mac.startswith("00:0"):
        return None
    if mac.startswith(("00:00:5e:00:01:", "00:00:5e:00:02:")):
        return VirtualGateway("VRRP", int(mac[15:], 16))
    if mac.startswith("00:00:0c:07:ac:"):
        return VirtualGateway("HSRP", int(mac[15:], 16))
    if mac.startswith(("00:00:0c:9f:f", "00:05:73:a0:0")):
        return VirtualGateway("HSRP", int(mac[13] + mac[15:], 16))
    if mac.startswith("00:07:b4:0") and mac[10] in "0123":
        return VirtualGateway("GLBP", int(mac[10] + mac[12:14], 16))
    return None
