"""What networkd takes of leases and advertisements: [DHCPv4], [DHCPv6] and [IPv6AcceptRA] of systemd.network(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bascule.model.dhcp.offers import Offer, of_version
from bascule.model.host_links import Ipv6
from bascule.persist.config import LinkConfig
from bascule.persist.formats.builder import LinkDraft
from bascule.persist.formats.values import parse_bool

Items = list[tuple[str, str]]
LEASE4, LEASE6, ROUTER = "DHCPv4", "DHCPv6", "IPv6AcceptRA"
SECTIONS = {"DHCPv4": LEASE4, "DHCP": LEASE4, "DHCPv6": LEASE6, "IPv6AcceptRA": ROUTER}  # [DHCP] was the first's name
WORDS: Mapping[tuple[str, str], Offer] = {
    (LEASE4, "UseGateway"): Offer.GATEWAY,
    (LEASE4, "UseRoutes"): Offer.ROUTES,
    (LEASE4, "UseDNS"): Offer.DNS,
    (LEASE6, "UseDNS"): Offer.DNS,
    (ROUTER, "UseGateway"): Offer.GATEWAY,
    (ROUTER, "UseRoutePrefix"): Offer.ROUTES,
    (ROUTER, "UseDNS"): Offer.DNS,
}


class Uses:
    """What units, or netplan, say of each source of one link; what it comes to shows when all of it is read."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, Offer], tuple[bool, Callable[[str], None]]] = {}

    def take(self, section: str, key: str, text: str, leave: Callable[[str], None]) -> bool:
        """A key of a unit; False for one that says nothing of this. ``leave`` tells it with a reason."""
        source = SECTIONS.get(section, "")
        offer = WORDS.get((source, key))
        if offer is not None:
            self.put(source, offer, used=parse_bool(text), leave=leave)
            if section == "DHCP" and offer is Offer.DNS:  # networkd-network.c has it count for both
                self.said.setdefault((LEASE6, offer), self.said[source, offer])
        return offer is not None

    def put(self, source: str, offer: Offer, *, used: bool, leave: Callable[[str], None]) -> None:
        """One word."""
        self.said[source, offer] = used, leave

    def as_network_manager(self) -> None:
        """It knows one IPv6: what netplan says of DHCPv6 is of advertisements as well, and of the gateway."""
        for offer, others in ((Offer.DNS, (Offer.DNS,)), (Offer.ROUTES, (Offer.ROUTES, Offer.GATEWAY))):
            if (said := self.said.get((LEASE6, offer))) is not None:
                self.said |= {(ROUTER, other): said for other in others}

    def settle(self, draft: LinkDraft) -> None:
        """The gateway of a lease goes with its routes, unless it is said; for IPv6's DNS both sources count."""
        used = {key: value for key, (value, _) in self.said.items()}
        routes4 = used.get((LEASE4, Offer.ROUTES), True)
        for offer, is_used in (
            (Offer.GATEWAY, used.get((LEASE4, Offer.GATEWAY), routes4)),
            (Offer.ROUTES, routes4),
            (Offer.DNS, used.get((LEASE4, Offer.DNS), True)),
        ):
            draft.unused |= set() if is_used else {(offer, 4)}
        for offer in (Offer.GATEWAY, Offer.ROUTES):
            draft.unused |= set() if used.get((ROUTER, offer), True) else {(offer, 6)}
        if used.get((LEASE6, Offer.ROUTES)) is False and used.get((ROUTER, Offer.ROUTES), True):
            self.said[LEASE6, Offer.ROUTES][1]("DHCPv6 brings no routes, and advertisements are heard all the same")
        router, lease6 = used.get((ROUTER, Offer.DNS), True), used.get((LEASE6, Offer.DNS))
        if not router and (lease6 is False or (lease6 is None and draft.ipv6 is not Ipv6.DHCP)):
            draft.unused.add((Offer.DNS, 6))
            return
        for source, other, gone in ((ROUTER, "DHCPv6", not router), (LEASE6, "advertisements", lease6 is False)):
            if gone and draft.ipv6 is not Ipv6.OFF:
                why = f"those of {other} are taken, and a site file says one thing of both"
                self.said[source, Offer.DNS][1](why)


def lease_words(link: LinkConfig) -> Items:
    """[DHCPv4]: UseRoutes= speaks for the gateway as well where nothing is said of it."""
    gone = of_version(link.unused, 4)
    out: Items = [("UseRoutes", "no")] if Offer.ROUTES in gone else []
    if (Offer.GATEWAY in gone) != (Offer.ROUTES in gone):
        out.append(("UseGateway", "no" if Offer.GATEWAY in gone else "yes"))
    return out + ([("UseDNS", "no")] if Offer.DNS in gone else [])


def ipv6_words(link: LinkConfig) -> list[tuple[str, Items]]:
    """[DHCPv6] and [IPv6AcceptRA]."""
    gone = of_version(link.unused, 6)
    router: Items = [("UseGateway", "no")] if Offer.GATEWAY in gone else []
    router += [("UseRoutePrefix", "no")] if Offer.ROUTES in gone else []
    dns: Items = [("UseDNS", "no")] if Offer.DNS in gone else []
    return [(LEASE6, dns), (ROUTER, router + dns)]
