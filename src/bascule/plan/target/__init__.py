"""What a host's network shall be: the observed state with the site file's declarations laid over it, pure.

Links that the file does not name are copied as they are. Wanted and observed are therefore whole states, and their
difference is the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.host_links import Bridge, VlanLink
from bascule.model.kernel_parameters import conf
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link, Route
from bascule.plan.address_migration import (
    has_lost_its_net,
    in_places_of_their_own,
    moved_neighbours,
    moved_rules,
    new_leaders,
    newest_first,
)
from bascule.plan.change import Note
from bascule.plan.earlier import NOTHING, EarlierChanges
from bascule.plan.target.addresses import (
    give_back,
    lay_host_routes,
    lay_links_of_one_subnet,
    policy_rules,
    refuse_scopes,
    tell_moved,
)
from bascule.plan.target.bonds_and_vlans import lay_bond, lay_vlan_link
from bascule.plan.target.bridges import lay_bridge, lay_patches, refuse_full
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.target.extras import note_extras
from bascule.plan.target.forget import (
    forget_addresses,
    forget_options,
    forget_settings,
    handed_over,
    move_addresses,
    note_foreign,
    outdated_links,
    remaining_routes,
)
from bascule.plan.target.guests import count_foreign, lay_guests
from bascule.plan.target.hardware import find_nics
from bascule.plan.target.macvtap import macvtap_notes
from bascule.plan.target.networks import lay_networks
from bascule.plan.target.nics import lay_nics
from bascule.plan.target.unbridgeable import function_notes, refuse_unbridgeable, refuse_wireless
from bascule.policy.guards.ports import guarded_bridges


class Target(Struct, frozen=True, kw_only=True):
    """The wanted state, why each link is in it, and what the plan cannot or need not do.

    ``guests`` are those that a link shall carry, ``running`` those whose frames cross it now.
    """

    state: HostState
    reasons: Mapping[str, str]
    guests: Mapping[str, tuple[str, ...]]
    running: Mapping[str, tuple[str, ...]]
    notes: tuple[Note, ...] = ()


def target(
    site: Site,
    host: Host,
    observed: HostState,
    earlier: EarlierChanges = NOTHING,
    *,
    by_libvirt: bool = False,
) -> Target:
    """The wanted state of one host.

    ``earlier`` is what Bascule put there before: what of it the file no longer names goes again.
    ``by_libvirt`` leaves the virtual networks to libvirt.
    Raises BasculeError with every NIC that the file names and the host does not have.
    """
    find_nics(host, observed)
    refuse_wireless(site, host, observed)
    refuse_unbridgeable(site, host, observed)
    outdated = outdated_links(site, host, observed, by_libvirt=by_libvirt)
    handed = dict(handed_over(host, observed, earlier))
    build = TargetBuilder(
        site=site,
        host=host,
        observed=observed,
        earlier=earlier,
        by_libvirt=by_libvirt,
        guarded=guarded_bridges(site, host),
        links={name: link for name, link in observed.links.items() if name not in outdated},
        routes=list(remaining_routes(host, observed, earlier, handed)),
        sysctls=dict(observed.sysctls),
        altnames={other: name for name, link in observed.links.items() for other in link.altnames},
    )
    forget_options(build)
    give_back(build)
    lay_nics(build)
    for bond in host.bonds.values():
        lay_bond(build, bond)
    for link in host.stacked():
        if isinstance(link, VlanLink):
            lay_vlan_link(build, link)
        elif isinstance(link, Bridge):
            lay_bridge(build, link)
    lay_patches(build)
    networks = lay_networks(build)
    lay_links_of_one_subnet(build)
    lay_host_routes(build)
    lay_guests(build)
    count_foreign(build)
    build.notes += macvtap_notes(site, host)
    build.notes += function_notes(site, host, observed)
    refuse_full(build)
    forget_settings(build)
    forget_addresses(build, networks, handed)
    move_addresses(build)
    refuse_scopes(build)
    tell_moved(build)
    note_extras(build)
    note_foreign(build)
    return _finished(build)


def _as_shown(link: Link, before: Link | None, *, ipv6: bool) -> Link:
    """A link as the kernel will show it: new IPv6 addresses first, and the carrier that it is thought to have.

    One that was down shows none, whatever its cable. Where IPv6 is turned off no address of it is left.
    """
    if not ipv6:
        link = replace(link, addresses=tuple(address for address in link.addresses if not address.is_ipv6))
    if before is not None and before.addresses:
        had = {address.ip for address in before.addresses}
        link = replace(link, addresses=newest_first(link.addresses, had))
    if before is None or before.up or not link.up or link.facts.carrier:
        return link
    return replace(link, facts=replace(link.facts, carrier=True))


def _finished(build: TargetBuilder) -> Target:
    rules = moved_rules(build.observed.rules, build.moved)
    hands = ", ".join(f"{old} gives its addresses to {new}" for old, new in build.moved.items())
    for before, after in zip(build.observed.rules, rules, strict=True):
        if before != after:
            build.reasons[after.name] = hands
    for route, words in build.rivals:  # where its link gave its address up, it went with that
        if route in build.routes:
            build.note("warning", route.dev, words)
    links = {
        name: _as_shown(
            link, build.observed.links.get(name), ipv6=build.sysctls.get(conf(6, name, "disable_ipv6")) != "1"
        )
        for name, link in build.links.items()
    }
    for name in sorted(links.keys() & build.observed.links.keys()):
        for address, led in new_leaders(build.observed.links[name], links[name]):
            text = f"where both fit, the host sends from {address} from then on and no longer from {led}"
            build.note("warning", name, f"{text}: Linux takes the newest IPv6 address")
    state = HostState(
        links=links,
        routes=tuple(in_places_of_their_own(_routes(build), set(build.observed.routes))),
        rules=policy_rules(build, rules),
        lost_rules=build.observed.lost_rules,
        neighbours=moved_neighbours(build.observed.neighbours, build.moved, build.links),
        sysctls=_parameters(build),
        tables=build.tables,
    )
    return Target(
        state=state,
        reasons=build.reasons,
        guests={name: tuple(dict.fromkeys(guests)) for name, guests in build.guests.items()},
        running={name: tuple(dict.fromkeys(guests)) for name, guests in build.running.items()},
        notes=tuple(build.notes),
    )


def _parameters(build: TargetBuilder) -> dict[str, str]:
    """Those of the file and of the host. The MTU of IPv6 follows that of its link; one that is smaller stays."""
    found = build.sysctls
    for name, link in build.links.items():
        before, key = build.observed.links.get(name), conf(6, name, "mtu")
        if before is None or before.mtu == link.mtu or key not in found:
            continue
        narrower = int(found[key]) < min(before.mtu, link.mtu)
        found = found if narrower else {**found, key: str(link.mtu)}
    return found


def _routes(build: TargetBuilder) -> Iterator[Route]:
    """Those that the kernel goes on having.

    With an address go the IPv4 routes that have it as their source, and with the last one of a link all of others'
    there; an IPv6 route stays, and has a source of its own no more (fib_sync_down_addr, fib_disable_ip,
    rt6_remove_prefsrc).
    """
    before, after = (
        {name: _own(link) for name, link in links.items()} for links in (build.observed.links, build.links)
    )
    gone = set().union(*before.values()) - set().union(*after.values())
    mute = {name for name, own in before.items() if _speaks4(own) and not _speaks4(after.get(name, set()))}
    for route in build.routes:
        if route.dev not in {"", "lo"} and route.dev not in build.links:
            continue
        if has_lost_its_net(route, build.observed, build.links):
            continue
        if route.is_ipv6:
            yield replace(route, prefsrc="") if route.prefsrc in gone else route
        elif route.prefsrc not in gone and (route.dev not in mute or route.is_ours):
            yield route


def _own(link: Link) -> set[str]:
    return {address.local for address in link.addresses}


def _speaks4(own: set[str]) -> bool:
    return any(":" not in ip for ip in own)
