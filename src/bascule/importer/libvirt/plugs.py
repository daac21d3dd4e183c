"""Which NICs of libvirt's guests a host has something for, and why it has nothing for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bascule.importer.libvirt import LibvirtFiles, LibvirtNic
from bascule.model.links import BRIDGES
from bascule.persist.parsed import Unparsed, UnparsedLines


def plugged(virtual: LibvirtFiles, host: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], tuple[Unparsed, ...]]:
    """The guests with their NICs as far as these hang on something of a host's entry; each other one with its line."""
    guests: dict[str, dict[str, Any]] = {}
    left = UnparsedLines()
    for name, guest in virtual.guests.items():
        nics = []
        for nic in virtual.nics.get(name, ()):
            why = _why_not(nic, host, virtual.networks)
            if why:
                left.add(nic.file, nic.line, nic.said, f"{name}: left out, {why}")
            else:
                nics.append(dict(nic.entry))
        guests[name] = guest | ({"nics": nics} if nics else {})
    return guests, left.done()


def _is_kernels(bridge: Mapping[str, Any]) -> bool:
    return BRIDGES[bridge.get("kind", "linux")].by_kernel


def _why_not(nic: LibvirtNic, host: Mapping[str, Any], networks: Mapping[str, Any]) -> str:
    """Why a NIC has no place on a host; empty where it has one."""
    there: dict[str, Mapping[str, Any]] = {"bridge": host.get("bridges", {}), "network": networks}
    there["direct"] = host.get("nics", {})
    key = next(word for word in there if word in nic.entry)
    found = there[key].get(nic.entry[key])
    if found is None:
        return f"{key} {nic.entry[key]} is not there"
    if nic.switched and (key != "bridge" or _is_kernels(found)):
        makers = " or ".join(kind.maker for kind in BRIDGES.values() if not kind.by_kernel)
        return f"it is a port of {makers}, and {key} {nic.entry[key]} is none of its bridges"
    return ""


ALL_VLANS = "1-4094"


def name_vlans(guests: Mapping[str, Any], host: Mapping[str, Any], networks: dict[str, dict[str, Any]]) -> None:
    """What follows from the VLANs of guests on bridges that keep VLANs apart: a network for each that nobody named.

    An uplink on Open vSwitch carries every VLAN until the file says some of them.
    """
    for nic in (nic for guest in guests.values() for nic in guest.get("nics", ())):
        bridge = host.get("bridges", {}).get(nic.get("bridge"), {})
        switched, vid = not _is_kernels(bridge), nic.get("vlan")
        if switched and (vid or nic.get("vlans")) and bridge["uplink"] != "none" and not {"vlans", "pvid"} & {*bridge}:
            bridge["vlans"] = ALL_VLANS
        known = any(network.get("vlan") == vid for network in networks.values())
        if vid is not None and not known and (switched or bridge.get("vlan_aware")):
            networks[f"vlan-{vid}"] = {"vlan": vid}
