"""libvirt's filters at the NICs of guests: what each holds the guest to, and which guard says that in a site file.

The filters are those that libvirt installs (src/nwfilter/xml). They stay in the guest's definition, and libvirt goes on
loading their rules: an import changes nothing, and a guard beside them is the administrator's to decide on.
"""

from __future__ import annotations

from bascule.importer.libvirt import Told
from bascule.importer.libvirt.nodes import XmlElement

HOLDS = {
    "clean-traffic": ("its MAC, its IPv4 address, and both in ARP", "strict"),
    "clean-traffic-gateway": ("its MAC, its IPv4 address, both in ARP, and to its gateway alone", "strict"),
    "no-ip-spoofing": ("its IPv4 address", "strict"),
    "no-ipv6-spoofing": ("its IPv6 addresses", "strict"),
    "no-arp-spoofing": ("its MAC and IPv4 address in ARP", "strict"),
    "no-arp-ip-spoofing": ("its IPv4 address in ARP", "strict"),
    "no-mac-spoofing": ("its MAC", "mac"),
    "no-arp-mac-spoofing": ("its MAC in ARP", "mac"),
}


def filter_of(interface: XmlElement) -> Told:
    """The filter of a NIC, in words."""
    filtered = interface.first("filterref")
    if filtered is None:
        return []
    said = str(filtered)
    name = filtered.attributes.get("filter", "")
    filtered.take_all()
    kept = "libvirt keeps it"
    if name not in HOLDS:
        return [(filtered.line, said, kept)]
    what, level = HOLDS[name]
    addresses = [one.attributes.get("value", "") for one in filtered.all("parameter") if "IP" in
                 one.attributes.get("name", "")]  # fmt: skip
    held = f"{kept}, and holds the guest to {what}" + (f" ({', '.join(addresses)})" if addresses else "")
    if interface.attributes.get("type") == "direct":
        return [(filtered.line, said, held)]
    return [(filtered.line, said, f"{held}; 'guard: {level}' at this NIC says so and more, in its place")]
