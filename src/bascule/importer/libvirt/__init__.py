"""libvirt's definitions as they lie in /etc/libvirt/qemu: guests and virtual networks for a site file.

Elements as in libvirt's formatdomain and formatnetwork. What is only running, and not defined, has no file here. What
of an element has no word in a site file is told with its line; a machine's own parts (processors, disks, firmware) are
libvirt's to keep, which is said once for each guest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import Struct, field

from bascule.importer.libvirt.nodes import XmlElement, read
from bascule.persist.parsed import Files, Unparsed, UnparsedLines

FOLDER = "etc/libvirt/qemu/"
NETWORKS = f"{FOLDER}networks/"
AUTOSTART = f"{FOLDER}autostart/"
FILTERS = "etc/libvirt/nwfilter/"
READS = (f"{FOLDER}*.xml", f"{NETWORKS}*.xml", f"{AUTOSTART}*.xml", f"{FILTERS}*.xml")


Told = list[tuple[int, str, str]]  # what is not supported: line, text, why


class PortGroup(Struct, frozen=True):
    """What a network gives the NICs of one of its port groups: their VLANs, and whether by virtual ports."""

    vlans: dict[str, Any] = {}
    switched: bool = False
    isolated: bool = False


class PlainBridge(Struct, frozen=True):
    """A network of libvirt that stands for a bridge of the host, or for one of its NICs (macvtap)."""

    key: str  # "bridge" or "direct"
    name: str
    groups: dict[str, PortGroup] = {}  # by name; "" for the NICs that name none
    isolated: bool = False  # each port of it


class LibvirtNic(Struct, frozen=True):
    """A guest's NIC as an entry of a site file, and where it stands; ``switched``: by a virtual port."""

    entry: dict[str, Any]
    line: int
    said: str
    switched: bool = False
    file: str = ""


class LibvirtFiles(Struct):
    """Guests and virtual networks as entries of a site file, by name; ``kept`` says what libvirt keeps."""

    guests: dict[str, dict[str, Any]] = field(default_factory=dict)  # without their NICs
    nics: dict[str, list[LibvirtNic]] = field(default_factory=dict)  # of each guest, in their order
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, PlainBridge] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # networks that are not supported, and what they are
    bridges: set[str] = field(default_factory=set)  # that libvirt makes for its networks
    filters: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of nwfilter, and the others that each has
    macs: dict[tuple[str, str], str] = field(default_factory=dict)  # network, MAC: the guest with such a NIC
    reserved: dict[tuple[str, str], str] = field(default_factory=dict)  # network, MAC: the address of its own
    kept: list[str] = field(default_factory=list)
    left: list[Unparsed] = field(default_factory=list)


def parse(files: Files, host: str) -> LibvirtFiles:
    """The definitions among the files; never raises for what stands in them."""
    from bascule.importer.libvirt.domains import read_domain
    from bascule.importer.libvirt.filters import read_filters
    from bascule.importer.libvirt.networks import read_network

    out, left = LibvirtFiles(), UnparsedLines()
    inside = [p for p in files if p.startswith(FOLDER) and p.endswith(".xml") and "/" not in p.removeprefix(FOLDER)]
    if any("<host" in text for path, text in files.items() if path.startswith(NETWORKS)):
        out.macs = _macs(files[path] for path in inside)
    for path in sorted(path for path in files if path.startswith(NETWORKS) and path.endswith(".xml")):
        _each(path, files[path], "network", left, partial(read_network, out=out))
    read_filters(files, inside, out, left)
    started = {path.removeprefix(AUTOSTART) for path in files if path.startswith(AUTOSTART)}
    for path in sorted(inside):
        by_itself = path.removeprefix(FOLDER) in started
        _each(path, files[path], "domain", left, partial(read_domain, path, host=host, out=out, starts=by_itself))
    out.left = list(left.done())
    return out


def _macs(domains: Iterable[str]) -> dict[tuple[str, str], str]:
    """Whose NICs are on which network, as far as that can be read."""
    found: dict[tuple[str, str], str] = {}
    for text in domains:
        try:
            root = read(text)
        except ValueError:
            continue  # it is told where it is read for itself
        devices = root.first("devices")
        for interface in devices.all("interface") if devices is not None else ():
            mac, source = interface.first("mac"), interface.first("source")
            if mac is not None and source is not None:
                key = source.attributes.get("network", ""), mac.attributes.get("address", "").lower()
                found[key] = root.text_of("name")
    return found


def _each(
    path: str, text: str, tag: str, left: UnparsedLines, take: Callable[[XmlElement], list[tuple[int, str, str]]]
) -> None:
    """One file: ``take`` gives what it could not take, each with its line and the reason."""
    try:
        root = read(text)
        if root.tag != tag:
            raise ValueError(f"<{root.tag}>, not <{tag}>")
    except ValueError as wrong:
        left.add(path, 1, " ".join(text.split()), str(wrong))
        return
    try:
        for line, said, why in take(root):
            left.add(path, line, said, why)
    except ValueError as wrong:
        left.add(path, root.line, str(root), str(wrong))
        return
    for line, said in root.rest():
        left.add(path, line, said, "a site file has no key for it")
