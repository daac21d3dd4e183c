"""libvirt's filters at the NICs of guests: what each holds the guest to, and which guard says that in a site file.

The filters are those that libvirt installs (src/nwfilter/xml). They stay in the guest's definition, and libvirt goes on
loading their rules: an import changes nothing, and a guard beside them is the administrator's to decide on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bascule.importer.libvirt import FILTERS, LibvirtFiles, Told
from bascule.importer.libvirt.nodes import XmlElement, read
from bascule.persist.formats.values import words
from bascule.persist.parsed import Files, UnparsedLines

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
DOES = {
    "allow-dhcp-server": "lets DHCP answers in from one server alone",
    "no-ip-multicast": "lets the guest send no multicast",
    "no-mac-broadcast": "lets the guest send no broadcast",
    "no-other-l2-traffic": "lets nothing through but IPv4 and ARP",
    "no-other-rarp-traffic": "lets no RARP through but QEMU's announcement",
}
STOCK = {*HOLDS, *DOES} | set(
    words("""allow-arp allow-dhcp allow-incoming-ipv4 allow-incoming-ipv6 allow-ipv4 allow-ipv6
    allow-dhcpv6 allow-dhcpv6-server clean-traffic-gateway no-arp-mac-spoofing qemu-announce-self
    qemu-announce-self-rarp no-ipv6-multicast""")
)


MOST = 20  # filters inside of each other


def read_filters(files: Files, domains: Iterable[str], out: LibvirtFiles, left: UnparsedLines) -> None:
    """Filters that people wrote themselves and guests have: what others they are made of, and their own rules."""
    used = {name for path in domains for name in re.findall(r"<filterref\s+filter=['\"]([^'\"]+)", files[path])}
    own: dict[str, tuple[str, XmlElement]] = {}
    for path in sorted(path for path in files if path.startswith(FILTERS) and path.endswith(".xml")):
        try:
            root = read(files[path])
        except ValueError as wrong:
            left.add(path, 1, "", str(wrong))
            continue
        name = root.attributes.get("name", "")
        if root.tag == "filter" and name not in STOCK:
            own[name] = path, root
            out.filters[name] = tuple(one.attributes.get("filter", "") for one in root.all("filterref"))
    for name in [name for first in sorted(used & own.keys()) for name in with_all(first, out.filters) if name in own]:
        path, root = own[name]
        for rule in root.all("rule"):
            left.add(path, rule.line, str(rule), f"a rule of the filter {name}, which libvirt keeps")


def with_all(name: str, filters: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A filter and all that it is made of."""
    found = [name]
    for each in found:
        found += [one for one in filters.get(each, ()) if one not in found and len(found) < MOST]
    return found


def filter_of(interface: XmlElement, filters: Mapping[str, tuple[str, ...]]) -> Told:
    """The filter of a NIC, in words."""
    filtered = interface.first("filterref")
    if filtered is None:
        return []
    said = str(filtered)
    names = with_all(filtered.attributes.get("filter", ""), filters)
    filtered.take_all()
    kept = "libvirt keeps it"
    held = [HOLDS[name] for name in names if name in HOLDS]
    if not held:
        does = [DOES[name] for name in names if name in DOES]
        return [(filtered.line, said, f"{kept}; {', '.join(does)}" if does else kept)]
    values = {key: [one.attributes.get("value", "") for one in filtered.all("parameter")
                    if one.attributes.get("name", "").upper() == key] for key in ("IP", "IPV6")}  # fmt: skip
    addresses = [*values["IP"], *values["IPV6"]]
    told = f"{kept}, and restricts the guest to {', '.join(what for what, _ in held)}"
    told += f" ({', '.join(addresses)})" if addresses else ""
    if interface.attributes.get("type") == "direct":
        return [(filtered.line, said, told)]
    level = "strict" if any(level == "strict" for _, level in held) else "mac"
    first = [f"'address: {addresses[0]}' with its prefix"] if addresses and level == "strict" else []
    more = [f"'also: [{', '.join(addresses[1:])}]'"] if addresses[1:] and level == "strict" else []
    keys = " and ".join(filter(None, [", ".join([f"'guard: {level}'", *first]), *more]))
    says = "say" if first else "says"
    return [(filtered.line, said, f"{told}; {keys} at this NIC {says} so and more, in its place")]
