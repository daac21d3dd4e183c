"""What is no fault of a site file, and yet does not do what one may think: said by ``check``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from bascule.errors import Place
from bascule.model.guarding import GuardLevel
from bascule.model.same_subnet import links_of_one_subnet
from bascule.model.site import GuestNic, Site
from bascule.model.values import grouped, listed

WIRELESS_NAME = re.compile(r"(wl[a-z]*\d|wlan|wifi|ath\d|ra\d)")  # systemd.net-naming-scheme(7), and older drivers'
GUARDS = "'guard: strict' or 'guard: mac'"


class SiteRemark(Struct, frozen=True, kw_only=True):
    """A sentence about something in the file, and where that stands."""

    subject: str
    text: str
    place: Place

    def as_json(self) -> dict[str, object]:
        """The remark for ``--json``."""
        place = {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return {"subject": self.subject, "text": self.text, "place": place}


def remarks(site: Site) -> Iterator[SiteRemark]:
    """All of them, host by host."""
    routers = dict(reversed(list(_routers(site))))  # of each segment the first
    nics = grouped((guest.host, nic) for guest in site.guests.values() for nic in guest.nics)
    for host in site.hosts.values():
        shared = {nic.shared_nic: f"what {nic.guest} is plugged into" for nic in nics.get(host.name, ())}
        used = {nic.name: f"under {b.name}" for b in host.bridges.values() for nic in host.uplink_nics(b)}
        used |= {n.name: f"the uplink of {b.name}" for b in host.bridges.values() for n in host.nics_of(b.uplink)}
        for name, what in ({name: words for name, words in shared.items() if name} | used).items():
            if WIRELESS_NAME.match(name):
                text = f"is {what}, and its name is that of a wireless NIC: an access point takes frames of the NIC's "
                text += "own MAC only, so in station mode no guest is ever answered; use a wired NIC or mode nat"
                yield SiteRemark(subject=name, text=text, place=host.nics[name].place)
        for pair in links_of_one_subnet(site, host):
            yield SiteRemark(
                subject=pair.second.name, text=f"is the second of two: {pair.words}", place=pair.second.place
            )
        for nic in nics.get(host.name, ()):
            yield from _not_kept_apart(site, nic, routers)


def _not_kept_apart(site: Site, nic: GuestNic, routers: Mapping[str, str]) -> Iterator[SiteRemark]:
    """Isolated guests that meet all the same: the port flag is of one bridge, and a guard goes by what it knows.

    Ports of other bridges of the segment, on this host or another, are no ports to the flag. A router of the segment
    can be handed what is meant for another guest: the flag sees both frames as allowed, a guard the others' addresses.
    """
    apart, segment = list(site.kept_apart(nic)), site.segment_of(nic)
    is_off = nic.guarding.level is GuardLevel.OFF
    own = site.guests[nic.guest].host, nic.master
    bare = [one for one in apart if one.guarding.level is GuardLevel.OFF]  # a guard of the other stops it there
    if is_off and (elsewhere := [one for one in bare if (site.guests[one.guest].host, one.master) != own]):
        text = f"is isolated from {_names(elsewhere)}, and reaches {_whose(elsewhere)} over {segment}: the port flag "
        text += f"keeps ports of one bridge apart, and it has no guard; {GUARDS} keeps them apart"
        yield SiteRemark(subject=str(nic.tap), text=text, place=nic.place)
        apart = [one for one in apart if one not in elsewhere]
    met = [one for one in apart if is_off or not one.addresses]
    router = routers.get(segment or "")
    if not met or not router:
        return
    if is_off:
        why, what = "it has no guard, and the port flag does not see that", GUARDS
    else:
        why, what = f"no rule knows the address of {_whose(met)}", f"a static address for {_whose(met)}"
    text = f"is isolated from {_names(met)}, and can reach {_whose(met)} by way of {router} on {segment}: {why}; "
    yield SiteRemark(subject=str(nic.tap), text=f"{text}{what} stops it", place=nic.place)


def _names(nics: Iterable[GuestNic]) -> str:
    return listed(dict.fromkeys(nic.guest for nic in nics), most=5)  # no more than what shows them spells out


def _whose(nics: Iterable[GuestNic]) -> str:
    return "them" if len({nic.guest for nic in nics}) > 1 else "it"


def _routers(site: Site) -> Iterator[tuple[str, str]]:
    """Segments, each with who may hand packets on there: machines and guests that do, its gateway."""
    for machine in site.machines.values():
        if machine.may_route or machine.masquerade is not None or machine.forwards:
            yield from ((nic.network, machine.name) for nic in machine.nics)
    for guest in site.guests.values():
        yield from ((site.segment_of(nic) or "", guest.name) for nic in guest.nics if "router" in nic.guarding.may)
    for network in site.networks.values():
        if network.gateways:
            yield network.name, f"the gateway {network.gateways[0]}"
