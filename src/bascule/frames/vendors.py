"""MACs that belong to no machine, and MACs of machines that are not real: from the registry, as data."""

from __future__ import annotations

from typing import NamedTuple

GUESTS = {  # IEEE's registry of organisations, and what each hypervisor gives to its guests
    "52:54:00": "QEMU",
    "fe:54:00": "libvirt's tap",
    "08:00:27": "VirtualBox",
    "00:05:69": "VMware",
    "00:0c:29": "VMware",
    "00:50:56": "VMware",
    "00:15:5d": "Hyper-V",
    "00:16:3e": "Xen",
    "00:1c:42": "Parallels",
}


class VirtualGateway(NamedTuple):
    """A MAC that routers share: the protocol by which they do, and its group."""

    protocol: str
    group: int


def hypervisor(mac: str) -> str:
    """Whose guest has this MAC; empty for a real machine's."""
    return GUESTS.get(mac[:8].lower(), "")


def virtual_gateway(mac: str) -> VirtualGateway | None:
    """Which routers share a MAC: VRRP (RFC 5798, 7.3), HSRP versions 1 and 2 (RFC 2281, 5.1), GLBP."""
    if not mac.startswith("00:0"):
        return None
    if mac.startswith(("00:00:5e:00:01:", "00:00:5e:00:02:")):
        return VirtualGateway("VRRP", int(mac[15:], 16))
    if mac.startswith("00:00:0c:07:ac:"):
        return VirtualGateway("HSRP", int(mac[15:], 16))
    if mac.startswith("00:00:0c:9f:f"):
        return VirtualGateway("HSRP", int(mac[13] + mac[15:], 16))
    if mac.startswith("00:07:b4:00:"):
        return VirtualGateway("GLBP", int(mac[12:14], 16))
    return None
