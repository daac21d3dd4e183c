"""How the host comes by its IPv6 addresses on a link, and what it leaves of leases and advertisements; wanted state."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.dhcp.offers import Offer, of_version, use_words
from bascule.model.host_links import LISTENING, TEMPORARY, HostLink, Ipv6
from bascule.model.kernel_parameters import FORWARDING, conf
from bascule.model.state import DEFAULT_DST, Address, Link, Route
from bascule.model.values import IfName, link_local
from bascule.model.volatile import FOREVER
from bascule.plan.target.builder import TargetBuilder
from bascule.topology.ipv6_modes import hears_routers, ipv6_mode, makes_no_ipv6

LEASED = {4: {"dhcp", "boot"}, 6: {"ra", "dhcp"}}  # dhclient's routes look like those that people set by hand
MAX_PREFIX = "accept_ra_rt_info_max_plen"  # of the routes that the kernel takes from advertisements
WAITING = {
    Ipv6.AUTO: "its IPv6 address comes with the next router advertisement",
    Ipv6.DHCP: "its IPv6 address comes by DHCPv6 from the host's own client; Bascule asks for none itself",
}


def lay_ipv6(build: TargetBuilder, said: HostLink) -> None:
    """The mode and the privacy that the file says; what it does not say is left as it is."""
    _lay_mode(build, said)
    lay_offers(build, said)


def _lay_mode(build: TargetBuilder, said: HostLink) -> None:
    if not build.observed.has_ipv6:
        return
    name = said.name
    if said.ipv6_privacy is not None:
        build.sysctls[conf(6, name, "use_tempaddr")] = str(TEMPORARY[said.ipv6_privacy])
    if said.ipv6 is None or _stays(build, name, said.ipv6):
        return
    if said.ipv6 is Ipv6.OFF:
        _switch_off(build, name)
        return
    _switch_on(build, name)
    if said.ipv6 is Ipv6.MANUAL:
        build.sysctls[conf(6, name, "accept_ra")] = "0"
        declared = {str(address) for address in said.addresses}
        stay = {a: replace(a, dynamic=False, lifetime=FOREVER) for a in build.links[name].addresses if a.ip in declared}
        build.set(name, addresses=tuple(stay.get(a, a) for a in build.links[name].addresses))
        _forget(build, name, learnt=True)
    elif not hears_routers(build.links[name], build.routes):
        hear_routers(build, name)
        build.note("waiting", name, WAITING[said.ipv6])


def hear_routers(build: TargetBuilder, name: IfName) -> None:
    """The kernel takes router advertisements on a link; of a host that routes it does so with 2 only."""
    routes_for_others = build.observed.sysctls.get(FORWARDING[6]) == "1"
    build.sysctls[conf(6, name, "accept_ra")] = "2" if routes_for_others else "1"


def _switch_off(build: TargetBuilder, name: IfName) -> None:
    """No IPv6 address, not even one that the link makes itself; one whose IPv6 the kernel has off stays so."""
    if build.observed.sysctls.get(conf(6, name, "disable_ipv6")) == "1":
        return
    build.sysctls[conf(6, name, "accept_ra")] = "0"
    build.set(name, addrgenmode="none")
    _forget(build, name, learnt=False)


def _forget(build: TargetBuilder, name: IfName, *, learnt: bool) -> None:
    """The link's IPv6 addresses go with their routes: all of them, or those that were ``learnt``."""

    def goes(address: Address) -> bool:
        return address.is_ipv6 and (not learnt or (address.dynamic and not address.is_link_local))

    build.set(name, addresses=tuple(a for a in build.links[name].addresses if not goes(a)))
    build.routes = [r for r in build.routes if r.dev != name or not r.is_ipv6 or (learnt and r.protocol != "ra")]


def _switch_on(build: TargetBuilder, name: IfName) -> None:
    """A link that makes itself no IPv6 address has a link-local one from now on; its MAC gives it (RFC 4291)."""
    link, off = build.links[name], conf(6, name, "disable_ipv6")
    if "1" in {build.observed.sysctls.get(off), build.sysctls.get(off)}:  # or what a NIC handed to its bridge
        build.sysctls[off] = "0"
    if not makes_no_ipv6(link):
        return
    before = build.observed.links.get(name)  # of a bridge that stays without an address, all that it makes went already
    has_one = before is not None and before.up and not makes_no_ipv6(before)
    mode = before.addrgenmode if before is not None and has_one else "eui64"  # NetworkManager makes it with 'none'
    build.set(name, addrgenmode=mode, addresses=(*link.addresses, *own_link_local(build, link)))


def own_link_local(build: TargetBuilder, link: Link) -> tuple[Address, ...]:
    """The one that it has; the kernel makes one when a link comes up, and not for one that is up already."""
    before = build.observed.links.get(link.name)
    if before is None or not before.up or link.mac is None:
        return ()
    if not makes_no_ipv6(before):
        return tuple(address for address in before.addresses if address.is_link_local)
    return (Address(ip=f"{link_local(link.mac)}/64", scope="link"),)


def _stays(build: TargetBuilder, name: IfName, mode: Ipv6) -> bool:
    """On a host that is taken as found a link keeps what fits the mode: the host's own manager may listen for it."""
    link = build.observed.links.get(name)
    if link is None or not build.host.as_found:
        return False
    seen = ipv6_mode(link, build.observed)
    if mode is Ipv6.MANUAL and seen is Ipv6.OFF:  # networkd's LinkLocalAddressing=no, beside addresses by hand
        return any(address.is_ipv6 for address in link.addresses)
    return seen is mode or (mode in LISTENING and seen is not Ipv6.OFF)


def drop_unused(build: TargetBuilder, said: HostLink) -> None:
    """The default route and the others that a lease brought go where the file says that they are not used."""
    if not said.unused:
        return
    mine = {(str(route.to), str(route.via or "")) for route in said.routes}
    mine |= {(DEFAULT_DST[gateway.version], str(gateway)) for gateway in said.gateways}
    here = build.links[said.name].addresses
    is_leased = said.dhcp or any(address.is_leased for address in here)
    stay = []
    for route in build.routes:
        if _is_unused(route, said, is_leased=is_leased) and (route.dst, route.gateway) not in mine:
            words = ", ".join(f"{key}: {value}".lower() for key, value in use_words(said.unused).items())
            build.because(f"{said.name} routes", f"the file has '{words}' there", said.place)
        else:
            stay.append(route)
    build.routes = stay


def _is_unused(route: Route, said: HostLink, *, is_leased: bool) -> bool:
    version = 6 if route.is_ipv6 else 4
    if route.dev != said.name or not route.gateway or route.kind != "unicast":
        return False
    if version == 4 and not is_leased:
        return False  # what looks like a lease's is somebody's own
    leased = LEASED[version] if route.is_default else LEASED[version] - {"boot"}
    offer = Offer.GATEWAY if route.is_default else Offer.ROUTES
    return route.protocol in leased and offer in of_version(said.unused, version)


def lay_offers(build: TargetBuilder, said: HostLink) -> None:
    """The kernel's own listening: it takes no routers and no routes from advertisements that the host does not use."""
    gone = of_version(said.unused, 6)
    if not build.observed.has_ipv6 or (said.ipv6 is not None and said.ipv6 not in LISTENING):
        return
    if build.sysctls.get(conf(6, said.name, "accept_ra"), "1") == "0":
        return  # a manager listens in its place, and has its own word for it
    if Offer.GATEWAY in gone:
        build.sysctls[conf(6, said.name, "accept_ra_defrtr")] = "0"
    if Offer.ROUTES in gone and build.observed.sysctls.get(conf(6, said.name, MAX_PREFIX), "0") not in {"0", "-1"}:
        build.sysctls[conf(6, said.name, MAX_PREFIX)] = "0"


def offer_keys(said: HostLink) -> Iterator[str]:
    """The kernel parameters that it looks at."""
    if of_version(said.unused, 6):
        yield from (conf(6, said.name, key) for key in ("accept_ra", "accept_ra_defrtr", MAX_PREFIX))
