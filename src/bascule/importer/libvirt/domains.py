"""libvirt's domains: which guests there are, and what their NICs are plugged into."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from bascule.importer.libvirt import LibvirtFiles, LibvirtNic, PortGroup, Told
from bascule.importer.libvirt.filters import filter_of
from bascule.importer.libvirt.networks import is_switched, vlans_of
from bascule.importer.libvirt.nodes import XmlElement
from bascule.model.domain import CHOSEN_BY_LIBVIRT, memory_bytes
from bascule.model.guarding import rate_words
from bascule.model.values import parse_ifname, parse_label, parse_mac

_HARDWARE = ("model", "driver", "alias", "address", "boot", "rom", "acpi", "backend")


def read_domain(path: str, root: XmlElement, host: str, out: LibvirtFiles, *, starts: bool) -> Told:
    """Enter one guest; whether it ``starts`` with the host is libvirt's to know."""
    try:
        name = parse_label(root.text_of("name"))
    except ValueError as wrong:
        lost = [(node.line, str(node), f"left out with its guest: {wrong}") for node in _named(root)]
        root.take_all()
        return lost
    guest: dict[str, Any] = {"host": host}
    memory = root.first("memory")
    if memory is not None and memory.text.strip().isdigit():
        guest["memory"] = _size(memory_bytes(memory.take_text(), memory.take("unit", "KiB")))
    devices = root.first("devices")
    interfaces = devices.all("interface") if devices is not None else []
    out.kept.append(_kept(root, name, starts=starts))
    root.take("type"), root.take("id")
    for child in root.children:
        if child is not devices:
            child.take_all()
    for device in devices.children if devices is not None else ():
        if device.tag not in {"interface", "hostdev"}:
            device.take_all()
    told: Told = []
    out.guests[name], out.nics[name] = guest, []
    for interface in interfaces:
        try:
            out.nics[name].append(replace(_interface(interface, out), file=path))
            told += [*filter_of(interface, out.filters), *_limit(interface), *_untaken(interface)]
        except ValueError as wrong:
            told.append((interface.line, str(interface), f"{name}: {wrong}"))
            interface.take_all()
    return told


def _limit(interface: XmlElement) -> Told:
    """How much it may carry, which libvirt keeps, and the key that says the same: inbound is what the guest gets."""
    bandwidth = interface.first("bandwidth")
    if bandwidth is None:
        return []
    said, rates = str(bandwidth), []
    for way, tag in (("up", "outbound"), ("down", "inbound")):
        node = bandwidth.first(tag)
        average = node.attributes.get("average", "") if node is not None else ""
        if average.isdigit():
            rates.append(f"{way}: {rate_words(int(average) * 8000)}")  # kilobytes a second, as tc counts them
    bandwidth.take_all()
    key = f"; 'limit: {{{', '.join(rates)}}}' at this NIC says the averages in its place" if rates else ""
    return [(bandwidth.line, said, f"libvirt keeps it{key}")]


def _untaken(interface: XmlElement) -> Told:
    """What stands in an interface and nobody took, as a whole: ``<frames max='7'/>`` alone says nothing."""
    found = [child for child in interface.children if child.is_untouched]
    told = [(child.line, str(child), "a site file has no key for it") for child in found]
    for child in found:
        child.take_all()
    return told


def _named(root: XmlElement) -> list[XmlElement]:
    """The name of a guest that is left out, and its NICs."""
    devices = root.first("devices")
    return [*root.all("name"), *(devices.all("interface") if devices is not None else [])]


def _kept(root: XmlElement, name: str, *, starts: bool) -> str:
    """What libvirt keeps of a guest, in words."""
    disks = [source for disk in root.children if disk.tag == "devices" for source in disk.all("disk")]
    sources = [node for disk in disks if (node := disk.first("source")) is not None]
    files = [value for node in sources for value in node.attributes.values()]
    words = [
        f"{root.text_of('vcpu') or '1'} vcpus",
        f"disks {', '.join(files)}" if files else f"{len(disks)} disks",
        "firmware" if root.first("os/loader") is not None else "boot order",
        "started with the host" if starts else "not started with the host",
    ]
    return f"guest {name}: {'; '.join(words)}"


def _interface(interface: XmlElement, out: LibvirtFiles) -> LibvirtNic:
    """A NIC. Raises ValueError where it is plugged into something that is not supported."""
    nic, group = _plug(interface, out)
    switched = is_switched(interface) or group.switched
    mac = interface.first("mac")
    if mac is not None:
        nic["mac"] = parse_mac(mac.take("address"))
        if (fixed := out.reserved.get((nic.get("network", ""), nic["mac"]))) is not None:
            nic["address"] = fixed
    nic |= vlans_of(interface, switched=switched) or group.vlans
    tap = interface.first("target")
    if tap is not None and tap.attributes.get("dev"):
        name = tap.take("dev")
        if not name.startswith(CHOSEN_BY_LIBVIRT):
            nic["tap"] = parse_ifname(name)
    isolated = interface.first("port")
    if group.isolated or (isolated is not None and isolated.take("isolated") == "yes"):
        nic["isolated"] = True
    for child in interface.children:
        if child.tag in _HARDWARE or (child.tag == "link" and child.attributes == {"state": "up"}):
            child.take_all()
    return LibvirtNic(entry=nic, line=interface.line, said=str(interface), switched=switched)


def _plug(interface: XmlElement, out: LibvirtFiles) -> tuple[dict[str, Any], PortGroup]:
    """What it is plugged into, and what the network there gives it."""
    kind, source = interface.attributes.get("type", ""), interface.first("source")
    if source is None or kind not in {"bridge", "network", "direct"}:
        raise ValueError(f"an interface of type '{kind}' is not supported")
    into = source.attributes.get({"direct": "dev"}.get(kind, kind), "")
    if kind == "direct" and (mode := source.attributes.get("mode", "vepa")) != "bridge":  # libvirt's default
        raise ValueError(f"a direct interface of mode '{mode}' is not supported")
    alias = out.aliases.get(into) if kind == "network" else None
    if kind == "network" and into in out.refused:
        raise ValueError(f"its network {into} is {out.refused[into]}")
    port = interface.first("virtualport")
    if port is not None and port.attributes.get("type") == "midonet":
        raise ValueError("a port of MidoNet is not supported")
    nic: dict[str, Any] = {kind: parse_label(into) if kind == "network" else parse_ifname(into)}
    group = PortGroup()
    if alias is not None:
        name = source.attributes.get("portgroup", "")
        nic, group = {alias.key: alias.name}, replace(alias.groups.get(name, group), isolated=alias.isolated)
        if name in alias.groups:
            source.take("portgroup")
    interface.take("type")
    source.take({"direct": "dev"}.get(kind, kind))
    for key in ("mode", "portid", "index"):
        source.take(key)
    return nic, group


def _size(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size // 2**10}KiB"
