"""What else a survey should say aloud: firmware that eats LLDP, VLANs that do not match. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.frames.envelope import Tags
from bascule.frames.findings import Lacp, Neighbour, Sender
from bascule.model.values import listed
from bascule.survey.evidence import UNTAGGED, NicTraffic
from bascule.survey.facts import WireSegment
from bascule.survey.neighbours import Port, bpdus, is_guest_mac, nested, same_switch
from bascule.topology.layer2 import tag_words

FIRMWARE_LLDP = ("i40e", "ice")  # Intel X710/XL710 and E810: an agent in the NIC's firmware takes LLDP frames away
HELLOS_S = 6.0  # three hellos of a spanning tree
FORWARDING_S = 45.0  # twice the usual forward delay of IEEE 802.1D, and some time to hear somebody


def hazards(heard: NicTraffic, port: Port | None, segments: Mapping[Tags, WireSegment]) -> Iterator[str]:
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
    if (inner := nested(heard)) and port is None:
        yield f"the spanning tree heard here is a virtual machine's ({listed(inner, most=2)}), not a switch's"
    states = {bpdu.state for bpdu, _, _, _ in bpdus(heard) if bpdu.state}
    if states and "forwarding" not in states and not any(seg.senders for seg in segments.values()):
        yield (
            f"the switch's spanning tree says that its port is {' and '.join(sorted(states))}, so no data comes: "
            "survey again with --seconds 60; if it stays so, the tree has cut a loop here"
        )


def cut_wires(heard: Mapping[str, NicTraffic], ports: Mapping[str, Port | None]) -> Mapping[str, str]:
    """A warning for each NIC that hears a switch by name and nothing else, while another hears its spanning tree.

    A port that the tree has closed sends no BPDU and no data, but goes on sending LLDP and CDP.
    """
    trees = {nic for nic, traffic in heard.items() if bpdus(traffic)}
    found = {}
    for nic, port in ports.items():
        if port is None or nic in trees or heard[nic].seconds < HELLOS_S or any(heard[nic].of(Sender)):
            continue
        other = next((one for one in sorted(trees) if (there := ports[one]) and same_switch(port, there)), "")
        if other:
            found[nic] = (
                f"nothing but the switch's own name is heard, and {other} hears its spanning tree: "
                "the tree may have closed this port, because the wire closes a loop"
            )
    return found


def firmware_lldp(nic: str, driver: str) -> str:
    """The sentence for a NIC whose firmware answers LLDP itself, with the fix."""
    return (
        f"no LLDP heard, and {driver} NICs have an LLDP agent in their firmware that consumes it; "
        f"turn it off and survey again: ethtool --set-priv-flags {nic} "
        + ("disable-fw-lldp on" if driver == "i40e" else "fw-lldp-agent off")
    )
