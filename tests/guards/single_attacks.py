"""The attacks that are known of the field, one by one: each a frame, or the fragments of one packet.

They are those that a comparison of guards of other projects names in its table of attacks. It counted 63 without a
list; with every type and every form that its text names they are these 69. A storm is a rate, and no frame.
"""

from __future__ import annotations

from msgspec import Struct

from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.build import Parties

ALL_FRAMES = -1


class SingleAttack(Struct, frozen=True):
    """One of the frames of a kind, ``at`` its place; ``later``: of two kinds of this name the second."""

    name: str
    kind: str
    at: int = 0
    later: bool = False

    def frames(self, parties: Parties) -> list[bytes]:
        """The frame, or all of them."""
        if self.kind == PADDED:
            return [padded(parties)]
        found = [one for one in ATTACKS if one.name == self.kind]
        frames = list(found[self.later].frames(parties))
        return frames if self.at == ALL_FRAMES else [frames[self.at]]


PADDED = "behind a padded header"


def padded(p: Parties) -> bytes:
    """A neighbour advertisement for the router behind a hop-by-hop header of 16 bytes (RFC 7113)."""
    claim = b.icmp6(p.me.ip6, p.other.ip6, 136, b.advertisement(p.router.ip6, b.option(2, p.me.raw)))
    header = bytes([b.ICMPV6, 1, 1, 12]) + bytes(12)
    return b.ipv6(p.me.raw, p.other.raw, p.me.ip6, p.other.ip6, b.HOP_BY_HOP, header + claim)


_HEADER, _OPTIONS = "the same behind a hop-by-hop header", "the same behind destination options"
_QUERIES4, _QUERIES6 = "IGMP queries and multicast router discovery", "MLD queries and multicast router discovery"
_GROUPS, _SWITCHES = "GVRP, MVRP, EAPOL, LACP, PAUSE and LLDP", "CDP, DTP, VTP and UDLD"

SINGLE_ATTACKS = (
    SingleAttack("UDP from the router's MAC", "the MAC of the router"),
    SingleAttack("ICMP unreachable from the router's MAC", "ICMP and ICMPv6 errors with the router's MAC"),
    SingleAttack("ICMPv6 too big from the router's MAC", "ICMP and ICMPv6 errors with the router's MAC", 1),
    SingleAttack("the router's MAC to 01:80:c2:00:00:00", "control frames with the router's MAC"),
    SingleAttack("the router's MAC to 01:80:c2:00:00:0e", "control frames with the router's MAC", 3),
    SingleAttack("a MAC of a flood", "a flood of MACs"),
    SingleAttack("a multicast MAC as the sender", "a multicast MAC as the sender"),
    SingleAttack("a foreign IPv4 address", "somebody's IPv4 address", 4),
    SingleAttack("a foreign IPv6 address", "somebody's IPv6 address"),
    SingleAttack("UDP from a foreign link-local address", "somebody's IPv6 address", 9),
    SingleAttack("an ARP reply as the router", "an ARP reply as the router"),
    SingleAttack("a gratuitous ARP as the router", "an ARP reply as the router", 1),
    SingleAttack("an ARP request as the router", "an ARP request as the router"),
    SingleAttack("ARP with another's MAC inside", "ARP for its own address with another's MAC inside"),
    SingleAttack("RARP of another's MAC", "a RARP announcement of another's MAC"),
    SingleAttack("a neighbour advertisement for the router", "a neighbour advertisement for the router"),
    SingleAttack("the same behind a hop-by-hop header", _HEADER),
    SingleAttack("the same behind a padded hop-by-hop header", PADDED),
    SingleAttack("the same with the option second", "the same with the option second"),
    SingleAttack("a neighbour solicitation with another's MAC", "a neighbour solicitation with another's MAC"),
    SingleAttack("a neighbour solicitation as the router", "a neighbour solicitation as the router"),
    SingleAttack("DAD of another's address", "an answer to another's duplicate address detection (DAD)"),
    SingleAttack("an answer to another's DAD", "an answer to another's duplicate address detection (DAD)", 2),
    SingleAttack("a router advertisement", "a router advertisement"),
    SingleAttack("the same advertisement behind a hop-by-hop header", _HEADER, later=True),
    SingleAttack("the same advertisement behind destination options", _OPTIONS, later=True),
    SingleAttack("the same advertisement in an atomic fragment", "the same in an atomic fragment"),
    SingleAttack("the same advertisement in two fragments", "the same split behind destination options", ALL_FRAMES),
    SingleAttack("an ICMP redirect", "ICMP and ICMPv6 redirects"),
    SingleAttack("an ICMPv6 redirect", "ICMP and ICMPv6 redirects", 2),
    SingleAttack("a DHCP server", "a DHCP server"),
    SingleAttack("a DHCPv6 server", "a DHCPv6 server"),
    SingleAttack("DHCP with another client's MAC inside", "DHCP requests and a release in others' names"),
    SingleAttack("an IGMP query", _QUERIES4),
    SingleAttack("multicast router advertisement (IGMP 0x30)", _QUERIES4, 4),
    SingleAttack("multicast router solicitation (IGMP 0x31)", _QUERIES4, 8),
    SingleAttack("multicast router termination (IGMP 0x32)", _QUERIES4, 12),
    SingleAttack("a PIM hello", "PIM hellos"),
    SingleAttack("an MLD query", _QUERIES6),
    SingleAttack("multicast router advertisement (ICMPv6 151)", _QUERIES6, 2),
    SingleAttack("multicast router solicitation (ICMPv6 152)", _QUERIES6, 4),
    SingleAttack("multicast router termination (ICMPv6 153)", _QUERIES6, 6),
    SingleAttack("VRRP from the virtual MAC", "VRRP from the MAC of a group"),
    SingleAttack("ARP behind VLAN 0", "VLAN 0"),
    SingleAttack("a router advertisement behind VLAN 0", "VLAN 0", 1),
    SingleAttack("ARP behind VLAN 0 twice", "VLAN 0 twice"),
    SingleAttack("a router advertisement behind VLAN 0 twice", "VLAN 0 twice", 1),
    SingleAttack("its own address behind VLAN 5", "VLAN 5", 2),
    SingleAttack("its own address behind two tags", "two tags", 2),
    SingleAttack("ARP behind LLC and SNAP", "ARP and RA behind LLC and SNAP"),
    SingleAttack("a router advertisement behind LLC and SNAP", "ARP and RA behind LLC and SNAP", 1),
    SingleAttack("a BPDU", "spanning tree"),
    SingleAttack("a BPDU of PVST+", "spanning tree", 1),
    SingleAttack("CDP", _SWITCHES),
    SingleAttack("DTP", _SWITCHES, 1),
    SingleAttack("VTP", _SWITCHES, 2),
    SingleAttack("GVRP", _GROUPS),
    SingleAttack("EAPOL", _GROUPS, 2),
    SingleAttack("LACP", _GROUPS, 3),
    SingleAttack("PAUSE", _GROUPS, 4),
    SingleAttack("LLDP", _GROUPS, 5),
    SingleAttack("PPPoE", "PPPoE"),
    SingleAttack("MACsec", "MACsec"),
    SingleAttack("ECTP", "loop test frames (ECTP)"),
    SingleAttack("EtherType 0x88b5", "the EtherType for experiments (0x88b5)"),
    SingleAttack("an IPv4 link-local address", "somebody's IPv4 address", 6),
    SingleAttack("UDP from 0.0.0.0", "IPv4 from 0.0.0.0 other than DHCP"),
    SingleAttack("a jumbo frame", "jumbo frames with another's MAC"),
    SingleAttack("a runt", "runts"),
)
