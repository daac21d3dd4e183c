"""What else a survey should say aloud: firmware that eats LLDP, VLANs that do not match. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.frames.envelope import Tags
from bascule.frames.findings import Lacp, Neighbour
from bascule.survey.evidence import UNTAGGED, Heard
from bascule.survey.facts import WireSegment
from bascule.survey.neighbours import Port, bpdus, is_guest_mac, nested
from bascule.topology.layer2 import tag_words

FIRMWARE_LLDP = ("i40e", "ice")  # Intel X710/XL710 and E810: an agent in the NIC's firmware takes LLDP frames away
FORWARDING_S = 45.0  # twice the usual forward delay of IEEE 802.1D, and some time to hear somebody


def hazards(heard: Heard, port: Port | None, segments: Mapping[Tags, WireSegment]) -> Iterator[str]:
    """Each as one sentence with what to do."""
    yield from heard.notes
    if heard.raised and heard.seconds < FORWARDING_S and bpdus(heard) and not any(s.senders for s in segments.values()):
        yield (
            "it was down until now, and a switch port with the spanning tree lets no data through for its first 30 s: "
            "survey again with --seconds 60"
        )
    if heard.driver in FIRMWARE_LLDP and not any(said.protocol == "LLDP" for said, _, _ in heard.of(Neighbour)):
        yield firmware_lldp(heard.nic, heard.driver)
    numbers = segments[UNTAGGED].native
    if len({vid for vid, _ in numbers}) > 1:
        words = " and ".join(f"{how} {vid}" for vid, how in sorted(numbers))
        yield f"the native VLAN is not clear: {words}; the two ends of a trunk disagree"
    for bpdu, _, _, tags in bpdus(heard):
        if bpdu.vlan is not None and tags and tags != (bpdu.vlan,):
            yield f"PVST of VLAN {bpdu.vlan} arrives tagged {tags[0]}: a native VLAN mismatch in the switches"
    for tags, seg in segments.items():
        servers = sorted({ip for (kind, ip) in seg.servers if kind == "DHCP server"})
        if len(servers) > 1:
            where = f"in {tag_words(tags)}" if tags else "on this wire"
            yield f"{len(servers)} DHCP servers answer {where}: {', '.join(servers)}"
    ports = {(said.system, said.port) for said, src, _ in heard.of(Lacp) if not is_guest_mac(src)}
    if ports - {(said.system, said.port) for said, _, _ in heard.of(Lacp) if said.partner}:
        yield (
            "the switch wants to bundle this port with others (LACP) and hears nobody: a NIC alone may get no traffic "
            "here; put it in a bond of mode 802.3ad"
        )
    if nested(heard) and port is None:
        yield "the spanning tree heard here is a virtual machine bridge's (fe:54:00), not a switch's"


def firmware_lldp(nic: str, driver: str) -> str:
    """The sentence for a NIC whose firmware answers LLDP itself, with the fix."""
    return (
        f"no LLDP heard, and {driver} NICs have an LLDP agent in their firmware that takes it away; "
        f"turn it off and survey again: ethtool --set-priv-flags {nic} "
        + ("disable-fw-lldp on" if driver == "i40e" else "fw-lldp-agent off")
    )
