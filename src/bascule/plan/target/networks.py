"""What a virtual network of our own asks of its host, over what is there already; pure.

The network itself (addresses, rules, names) is decided in :mod:`bascule.plan.virtual_network`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.kernel_parameters import FORWARDING, REDIRECTS, conf, dotted
from bascule.model.site import Host, VirtualNetwork
from bascule.model.state import HostState, Link
from bascule.model.values import BRIDGE_PREFIX, IfName, bridge_name
from bascule.plan.change import Note
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.virtual_network import ResolvedNetwork, bridge_link, resolved_networks, sysctls
from bascule.policy.host_tables import host_tables

FORWARD4, FORWARD6 = FORWARDING[4], FORWARDING[6]


def lay_networks(build: TargetBuilder) -> tuple[ResolvedNetwork, ...]:
    """The virtual networks with their rules and what makes the host route for them; those that they are.

    Where libvirt makes them, only rules of the host's own are laid, and what libvirt does is said.
    """
    networks = build.host.virtual_networks
    resolved = resolved_networks(build.site, build.host)
    found = host_tables(build.site, build.host, build.observed, resolved, by_libvirt=build.by_libvirt)
    build.tables = found.tables
    build.reasons |= found.reasons
    build.guests |= {subject: list(guests) for subject, guests in found.guests.items()}
    if build.by_libvirt:
        there = getattr(build.observed.parts.get("libvirt"), "networks", networks)
        for one in resolved:
            if one.name not in there:
                _refuse_rivals(one, networks[one.name], build.observed)
        for name in networks:
            build.note("foreign", bridge_name(name), f"is virtual network {name}, which libvirt makes and changes")
            if bridge_name(name) not in build.links:
                build.reasons[bridge_name(name)] = f"libvirt makes virtual network {name} from now on"
        return resolved
    for one in resolved:
        network = networks[one.name]
        _refuse_rivals(one, network, build.observed, "; one of libvirt's is left to libvirt where libvirt answers")
        is_guarded = one.bridge in build.guarded
        build.links[one.bridge] = _bridge(one, build.observed, build.mark, is_guarded=is_guarded)
        if build.observed.has_ipv6:
            build.sysctls[conf(6, one.bridge, "accept_ra")] = "0"  # a guest must not become the host's router
        build.because(one.bridge, f"virtual network {one.name} is declared {one.mode}", network.place)
    changed, notes = _forwarding(resolved, build.host, build.observed, build.links)
    build.sysctls |= changed
    build.notes += (*notes, *_left_behind(build.observed, build.mark, resolved))
    for one in resolved:
        key = conf(4, one.bridge, "forwarding")
        if FORWARD4 not in sysctls(one) or build.observed.sysctls.get(key) != "0":
            continue
        if FORWARD4 not in changed:
            build.sysctls[key] = "1"
    for version, key in FORWARDING.items():
        for link in (*build.observed.links, "default") if key in changed else ():
            build.sysctls.pop(conf(version, link, "forwarding"), None)  # turned on with it, and not to be turned back
    for key in changed:
        if (needing := _why_forwarding(key, resolved, networks)) is not None:
            build.because(key, f"virtual network {needing.name} is reached by routing", needing.place)
    return resolved


def _refuse_rivals(one: ResolvedNetwork, network: VirtualNetwork, observed: HostState, hint: str = "") -> None:
    """Raise BasculeError where the name or the address of its bridge belongs to a link that is not ours."""
    for link in rivals(one, observed):
        what = "a bridge" if link.is_bridge else "a link"
        named = link.name == one.bridge
        taken = f"name '{link.name}'" if named else f"address {_shared(one, link)[0]}"
        raise BasculeError.of(
            "NETWORK-TAKEN",
            f"virtual network '{one.name}' needs the {taken}, and this host has {what} "
            + ("of that name that is not Bascule's" if named else f"with it, '{link.name}', that is not Bascule's"),
            place=network.place,
            hint=f"remove it, or {'name the network differently' if named else 'take another subnet'}{hint}",
        )


def _bridge(one: ResolvedNetwork, observed: HostState, mark: str, *, is_guarded: bool) -> Link:
    """The bridge of a virtual network, over the one that is there."""
    wanted, before = bridge_link(one, mark, is_guarded=is_guarded), observed.links.get(one.bridge)
    if before is None:
        return wanted
    local = tuple(a for a in before.addresses if a.is_link_local) if wanted.addrgenmode != "none" else ()
    return replace(
        before,
        options=wanted.options,
        up=True,
        mac=wanted.mac,
        mtu=one.mtu or before.mtu,
        master=None,
        port=None,
        vlans=(),
        addresses=(*wanted.addresses, *local),
        addrgenmode=wanted.addrgenmode,
        alias=mark,
    )


def rivals(one: ResolvedNetwork, observed: HostState) -> tuple[Link, ...]:
    """Links of others that stand where the network's bridge shall be: of its name, or with its address."""
    found = (x for x in observed.links.values() if x.name == one.bridge or _shared(one, x))
    return tuple(link for link in found if not link.is_ours)


def _shared(one: ResolvedNetwork, link: Link) -> list[str]:
    return [address.ip for address in link.addresses if address.ip in map(str, one.addresses)]


def set_aside(own: Iterable[ResolvedNetwork], observed: HostState) -> tuple[HostState, tuple[Link, ...]]:
    """The state without what others made of a host's virtual networks, for a twin that plays them by ours; those."""
    gone = {link.name: link for one in own for link in rivals(one, observed) if link.options.virtual}
    links = {
        name: replace(link, master=None, port=None, vlans=()) if link.master in gone else link
        for name, link in observed.links.items()
        if name not in gone
    }
    routes = tuple(route for route in observed.routes if route.dev not in gone)
    return replace(observed, links=links, routes=routes), tuple(gone.values())


def _left_behind(observed: HostState, mark: str, resolved_networks: Iterable[ResolvedNetwork]) -> Iterator[Note]:
    """What stays when the last network that needed it is taken out of the file: others may have come to need it."""
    resolved_networks = tuple(resolved_networks)
    ours = {x.name for x in observed.links.values() if x.alias == mark and x.name.startswith(BRIDGE_PREFIX)}
    if not ours - {one.bridge for one in resolved_networks}:
        return
    needed = {key for one in resolved_networks for key in sysctls(one)}
    for key in FORWARDING.values():
        if observed.sysctls.get(key) == "1" and key not in needed:
            text = "stays on, for others on this host may need it by now"
            yield Note(kind="warning", subject=dotted(key), text=text)


def _forwarding(
    resolved_networks: Iterable[ResolvedNetwork], host: Host, observed: HostState, links: Mapping[IfName, Link]
) -> tuple[dict[str, str], tuple[Note, ...]]:
    """What turns the host into a router, as far as it is none yet, and what the administrator should know of it."""
    changed = {key: "1" for one in resolved_networks for key in sysctls(one) if observed.sysctls.get(key) != "1"}
    notes = []
    if FORWARD4 in changed and REDIRECTS in observed.sysctls:
        changed[REDIRECTS] = "0"
    if FORWARD6 in changed:
        for name in sorted(_advertised(observed)):
            now = observed.sysctls.get(conf(6, name, "accept_ra"))
            if host.link(name) is not None and name in links and now in {"1", "2"}:
                changed[conf(6, name, "accept_ra")] = "2"
            elif now != "2":
                text = "gets its IPv6 routes from router advertisements, which a host that routes does not take"
                notes.append(Note(kind="warning", subject=name, text=f"{text} (unless accept_ra is 2)"))
    if FORWARD4 in changed or FORWARD6 in changed:
        notes += _between(host, links)
    return changed, tuple(notes)


def _advertised(observed: HostState) -> set[str]:
    """Links that took a route or an address from a router."""
    found = {route.dev for route in observed.routes if route.protocol == "ra"}
    return found | {x.name for x in observed.links.values() if any(a.dynamic and a.is_ipv6 for a in x.addresses)}


def _between(host: Host, links: Mapping[IfName, Link]) -> Iterator[Note]:
    """A host on several networks that begins to route does so between all of them, not only for its guests."""
    speaking = {
        link.name: link.network or link.name
        for link in host.links()
        if link.name in links and any(not address.is_link_local for address in links[link.name].addresses)
    }
    if len(set(speaking.values())) > 1:
        names = ", ".join(f"{name} ({network})" if network != name else name for name, network in speaking.items())
        text = f"routes between {names} as well, from whoever sends it packets for the other side"
        yield Note(kind="warning", subject=host.name, text=f"{text}; forbid it in the host's own firewall")


def _why_forwarding(
    key: str, resolved_networks: Iterable[ResolvedNetwork], networks: Mapping[str, VirtualNetwork]
) -> VirtualNetwork | None:
    """The first network that needs the host to route."""
    names = [one.name for one in resolved_networks if key in sysctls(one)]
    return networks[names[0]] if names else None
