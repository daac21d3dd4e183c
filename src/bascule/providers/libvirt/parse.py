"""libvirt's documents as values: domains with their NICs and taps, networks with their DHCP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bascule.model.domain import Domain, DomainNic, DomainText, LibvirtNetwork, NetworkText, Reservation, memory_bytes
from bascule.model.values import IpAddress, IpInterface, Mac, classful, parse_mac
from bascule.providers.libvirt.domain_xml import interfaces, is_switched, is_up, mac_of, parse, plug_of, tap_of


def domain(text: DomainText, bridges: dict[str, str] | None = None) -> Domain:
    """One domain from its XML; ``bridges`` are the bridges of libvirt's networks."""
    now = parse(text.now)
    later = now if text.next == text.now else parse(text.next)
    known = bridges or {}
    pages = [
        memory_bytes(page.get("size", "0"), page.get("unit", "KiB"))
        for page in now.iterfind("memoryBacking/hugepages/page")
    ]
    hugepage = pages[0] if pages else (0 if now.find("memoryBacking/hugepages") is not None else None)
    return Domain(
        name=text.name,
        uuid=now.findtext("uuid", ""),
        running=text.running,
        halted=text.halted,
        persistent=text.persistent,
        autostart=text.autostart,
        memory=_memory(now),
        vcpus=int(now.findtext("vcpu", "1")),
        nics=_nics(now, known),
        next_nics=_nics(later, known),
        hugepage=hugepage,
        nodes=_nodes(now),
        kind=now.get("type", ""),
        video=any(model.get("type") != "none" for model in now.iterfind("devices/video/model")),
    )


def _memory(root: Any) -> int:
    element = root.find("memory")
    return 0 if element is None else memory_bytes(element.text or "0", element.get("unit", "KiB"))


def _nodes(root: Any) -> tuple[int, ...]:
    element = root.find("numatune/memory")
    if element is None:
        return ()
    nodes: set[int] = set()
    for part in element.get("nodeset", "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            nodes |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(nodes))


def _nics(root: Any, bridges: dict[str, str]) -> tuple[DomainNic, ...]:
    return tuple(nic(element, index, bridges) for index, element in enumerate(interfaces(root)))


def nic(element: Any, index: int = 0, bridges: Mapping[str, str] = MappingProxyType({})) -> DomainNic:
    """One NIC with its number in its domain; ``bridges`` are those of libvirt's networks."""
    kind, into = plug_of(element)
    mtu = element.find("mtu")
    bridge = _attribute(element, "source", "bridge") or (bridges.get(into, "") if kind == "network" else "")
    return DomainNic(
        index=index,
        kind=kind,
        into=into,
        mac=_mac(element),
        tap=tap_of(element),
        bridge=bridge,
        model=_attribute(element, "model", "type"),
        alias=_attribute(element, "alias", "name"),
        pci=_pci(element.find("address")),
        link_up=is_up(element),
        mtu=int(mtu.get("size", "0")) if mtu is not None else None,
        by_kernel=not is_switched(element),
        vlans=_vlans(element.find("vlan")),
        filter=_attribute(element, "filterref", "filter"),
    )


def _vlans(vlan: Any) -> str:
    """``10``, or ``10 untagged, 20`` of a trunk; nothing without any."""
    if vlan is None:
        return ""
    return ", ".join(f"{tag.get('id', '')} {tag.get('nativeMode', '')}".rstrip() for tag in vlan.findall("tag"))


def _attribute(element: Any, child: str, name: str) -> str:
    found = element.find(child)
    return "" if found is None else str(found.get(name, ""))


def _mac(element: Any) -> Mac | None:
    try:
        return parse_mac(mac_of(element))
    except ValueError:
        return None


def _pci(element: Any) -> str:
    """``0000:01:00.0`` as lspci writes it in the guest."""
    if element is None or element.get("type") != "pci":
        return ""
    numbers = [int(element.get(part, "0"), 0) for part in ("domain", "bus", "slot", "function")]
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*numbers)


def network(text: NetworkText) -> LibvirtNetwork:
    """One network from its XML."""
    root = parse(text.now)
    forward = root.find("forward")
    return LibvirtNetwork(
        name=text.name,
        mode="isolated" if forward is None else forward.get("mode", "nat"),
        bridge=_attribute(root, "bridge", "name"),
        active=text.active,
        persistent=text.persistent,
        autostart=text.autostart,
        addresses=tuple(interface(element) for element in root.iterfind("ip")),
        ranges=tuple(dhcp_range(element) for element in root.iterfind("ip/dhcp/range")),
        reservations=tuple(reservation(element) for element in root.iterfind("ip/dhcp/host") if element.get("ip")),
        mtu=int(size) if (size := _attribute(root, "mtu", "size")).isdigit() else None,
    )


def interface(element: Any) -> IpInterface:
    """The host's own address of an ``<ip>``."""
    prefix = element.get("prefix") or element.get("netmask")
    if prefix is None:  # libvirt then takes the class of the address (formatnetwork.html)
        prefix = "64" if element.get("family") == "ipv6" else classful(element.get("address", ""))
    return ipaddress.ip_interface(f"{element.get('address')}/{prefix}")


def dhcp_range(element: Any) -> tuple[IpAddress, IpAddress]:
    """The first and the last address of a ``<range>``."""
    return ipaddress.ip_address(element.get("start", "")), ipaddress.ip_address(element.get("end", ""))


def reservation(element: Any) -> Reservation:
    """What a ``<host>`` of ``<dhcp>`` says."""
    mac = element.get("mac")
    address: IpAddress = ipaddress.ip_address(element.get("ip"))
    return Reservation(mac=parse_mac(mac) if mac else None, address=address, name=element.get("name", ""))
