"""libvirt's definitions as they lie in /etc/libvirt/qemu: guests and virtual networks for a site file.

Elements as in libvirt's formatdomain and formatnetwork. What is only running, and not defined, has no file here.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from xml.etree import ElementTree as ET

from msgspec import Struct, field

from bascule.model.values import parse_ifname, parse_label, parse_mac
from bascule.persist.parsed import Files, Left, Leftovers

FOLDER = "etc/libvirt/qemu/"
NETWORKS = f"{FOLDER}networks/"
READS = (f"{FOLDER}*.xml", f"{NETWORKS}*.xml")

UNITS = {"b": 1, "bytes": 1, "kib": 2**10, "k": 2**10, "mib": 2**20, "m": 2**20, "gib": 2**30, "g": 2**30}


class LibvirtFiles(Struct):
    """Guests and virtual networks as entries of a site file, by name."""

    guests: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    bridges: dict[str, str] = field(default_factory=dict)  # libvirt networks that are a host bridge under a name
    left: list[Left] = field(default_factory=list)


def parse(files: Files, host: str) -> LibvirtFiles:
    """The definitions among the files; never raises for what stands in them."""
    out, left = LibvirtFiles(), Leftovers()
    for path in sorted(path for path in files if path.startswith(NETWORKS) and path.endswith(".xml")):
        _each(path, files[path], "network", left, lambda root: _network(root, out))
    inside = (p for p in files if p.startswith(FOLDER) and p.endswith(".xml") and "/" not in p.removeprefix(FOLDER))
    for path in sorted(inside):
        _each(path, files[path], "domain", left, lambda root, path=path: _domain(root, path, host, out, left))
    out.left = list(left.done())
    return out


def _each(path: str, text: str, tag: str, left: Leftovers, take: Any) -> None:
    try:
        root = ET.fromstring(text.split("-->", 1)[-1] if text.lstrip().startswith("<!--") else text)
        if root.tag != tag:
            raise ValueError(f"<{root.tag}>, not <{tag}>")
        take(root)
    except ET.ParseError as wrong:
        left.add(path, wrong.position[0], "", f"not XML: {wrong}")
    except (ValueError, RecursionError) as wrong:
        left.add(path, 0, "", str(wrong))


def _network(root: ET.Element, out: LibvirtFiles) -> None:
    name = parse_label(root.findtext("name", "").strip())
    forward = root.find("forward")
    mode = forward.get("mode", "nat") if forward is not None else "isolated"
    if mode == "bridge":
        bridge = root.find("bridge")
        out.bridges[name] = parse_ifname(bridge.get("name", "") if bridge is not None else "")
        return
    mode = {"route": "routed"}.get(mode, mode)
    if mode not in {"nat", "routed", "isolated", "open"}:
        raise ValueError(f"the mode '{mode}' of a network is not taken")
    entry: dict[str, Any] = {"mode": mode}
    subnets = []
    for ip in root.findall("ip"):
        prefix = ip.get("prefix") or ip.get("netmask") or "24"
        subnets.append(str(ip_network(f"{ip.get('address', '')}/{prefix}", strict=False)))
        span = ip.find("dhcp/range")
        if span is not None and ":" not in span.get("start", ":"):
            entry["dhcp"] = f"{span.get('start')}-{span.get('end')}"
    if subnets:
        entry = {"mode": mode, "subnet": subnets[0] if len(subnets) == 1 else subnets, **entry}
    out.networks[name] = entry


def _domain(root: ET.Element, path: str, host: str, out: LibvirtFiles, left: Leftovers) -> None:
    name = parse_label(root.findtext("name", "").strip())
    guest: dict[str, Any] = {"host": host}
    memory = root.find("memory")
    if memory is not None and (memory.text or "").strip().isdigit():
        size = int((memory.text or "0").strip()) * UNITS.get(memory.get("unit", "KiB").lower(), 2**10)
        guest["memory"] = _size(size)
    nics = []
    for interface in root.findall("devices/interface"):
        try:
            nics.append(_interface(interface, out))
        except ValueError as wrong:
            left.add(path, 0, name, str(wrong))
    if nics:
        guest["nics"] = nics
    out.guests[name] = guest


def _interface(interface: ET.Element, out: LibvirtFiles) -> dict[str, Any]:
    kind = interface.get("type", "")
    source = interface.find("source")
    where = source.attrib if source is not None else {}
    nic: dict[str, Any] = {}
    if kind == "bridge":
        nic["bridge"] = parse_ifname(where.get("bridge", ""))
    elif kind == "network" and where.get("network") in out.bridges:
        nic["bridge"] = out.bridges[where["network"]]
    elif kind == "network":
        nic["network"] = parse_label(where.get("network", ""))
    elif kind == "direct":
        nic["direct"] = parse_ifname(where.get("dev", ""))
    else:
        raise ValueError(f"an interface of type '{kind}' is not taken")
    mac = interface.find("mac")
    if mac is not None:
        nic["mac"] = parse_mac(mac.get("address", ""))
    tap = interface.find("target")
    if tap is not None and tap.get("dev") and not tap.get("dev", "").startswith(("vnet", "macvtap")):
        nic["tap"] = parse_ifname(tap.get("dev", ""))
    return nic


def _size(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size // 2**10}KiB"
