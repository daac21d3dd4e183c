"""Why a guard stops a frame: the name of what counts it, and the words for people."""

from __future__ import annotations

from enum import StrEnum


class GuardReason(StrEnum):
    """A reason is the end of the name of the chain that drops and of the set that counts."""

    MAC = "mac"
    TYPE = "type"
    IPV4 = "ip4"
    IPV6 = "ip6"
    ARP = "arp"
    ND = "nd"
    ROUTER = "router"
    DHCP = "dhcp"
    CHADDR = "chaddr"
    QUERIER = "querier"
    VRRP = "vrrp"
    HEADERS = "headers"
    ISOLATED = "isolated"
    STORM = "storm"
    UNDECLARED = "undeclared"
    OTHERS = "others"

    @property
    def words(self) -> str:
        """What was stopped, behind a number of frames."""
        return WORDS[self]


WORDS = {
    GuardReason.MAC: "from another MAC",
    GuardReason.TYPE: "of a protocol or with a tag that it may not use",
    GuardReason.IPV4: "from another IPv4 address",
    GuardReason.IPV6: "from another IPv6 address",
    GuardReason.ARP: "with ARP for another's address or MAC",
    GuardReason.ND: "with neighbour discovery for another's address or MAC",
    GuardReason.ROUTER: "that play the router (router advertisement, redirect)",
    GuardReason.DHCP: "that play the DHCP server",
    GuardReason.CHADDR: "that ask for a DHCP lease in another's name",
    GuardReason.QUERIER: "that play the multicast querier or router",
    GuardReason.VRRP: "that take over a shared address (VRRP, CARP, HSRP)",
    GuardReason.HEADERS: "with headers, lengths or fragments that hide what they carry",
    GuardReason.ISOLATED: "to another isolated guest",
    GuardReason.STORM: "beyond its limit of broadcast or multicast",
    GuardReason.UNDECLARED: "of routers or DHCP servers that the site file does not name, kept from it",
    GuardReason.OTHERS: "that were for somebody else, kept from it",
}
