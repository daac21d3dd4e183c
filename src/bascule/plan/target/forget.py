"""What the file no longer names, and what it never named: the first goes where it is ours, the second stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface

from msgspec.structs import replace

from bascule.model.host_links import Bridge, HostLink
from bascule.model.kernel_parameters import conf
from bascule.model.links import Other
from bascule.model.site import Host, Site
from bascule.model.state import DEFAULT_DST, MARK, HostState, Link, Route
from bascule.model.values import IfName, bridge_name, link_local
from bascule.plan.earlier import EarlierChanges, named_links, named_routes, route_key
from bascule.plan.target.addresses import foreign_bridge
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.target.ipv6 import own_link_local
from bascule.plan.virtual_network import ResolvedNetwork


def outdated_links(site: Site, host: Host, observed: HostState, *, by_libvirt: bool) -> set[IfName]:
    """Made by us for this site, and no longer in the file."""
    declared = {*host.bridges, *host.bonds, *host.vlans, *(b.port for b in host.bridges.values() if b.port)}
    declared |= {patch.name for bridge in host.bridges.values() for patch in bridge.patches}
    if not by_libvirt:
        declared |= set(map(bridge_name, host.virtual_networks))
    return {
        name
        for name, link in observed.links.items()
        if link.alias == MARK + site.name and link.is_makeable and name not in declared
    }


def forget_addresses(
    build: TargetBuilder, networks: Iterable[ResolvedNetwork], handed: Mapping[IfName, Bridge]
) -> None:
    """Addresses that Bascule put there before and that the file no longer names go, but for those ``handed_over``.

    So do others that it named, where it names another one in their place.
    """
    own = {one.bridge: one for one in networks}
    earlier = build.earlier
    for name in dict.fromkeys((*earlier.added, *earlier.named)):
        link = build.links.get(build.moved.get(name, IfName(name)))
        if link is None or name in handed:
            continue
        link_said = build.host.link(link.name)
        said = build.host.effective(link_said) if link_said else None
        old = earlier.added.get(name, frozenset()) | _replaced(link, said, earlier.named.get(name, frozenset()))
        old -= {str(ip) for thing in (said, own.get(link.name)) if thing for ip in thing.addresses}
        if link.mac is not None:
            old -= {f"{link_local(link.mac)}/64"}  # which the link makes itself, or its manager in its stead
        build.set(link.name, addresses=tuple(a for a in link.addresses if a.ip not in old))


def _replaced(link: Link, said: HostLink | None, named: frozenset[str]) -> frozenset[str]:
    """The addresses that the file named on a link, the host's own as well, where it has others of their version now.

    Of a link of which it says no address any more they stay: the host had them before.
    """
    if said is None:
        return frozenset()
    versions = {ip.version == 6 for ip in said.addresses} | ({False} if said.dhcp else set())
    lasting = {one.ip for one in link.addresses if not one.dynamic and not one.lifetime.kept_by}
    return frozenset(ip for ip in named & lasting if (":" in ip) in versions)


def remaining_routes(
    host: Host, observed: HostState, earlier: EarlierChanges, handed: Mapping[IfName, Bridge]
) -> Iterator[Route]:
    """Those with which the wanted state begins: of what Bascule set before, what is the host's own by now.

    The rest goes, whoever has set it again since, or is laid anew as the file names it.
    """
    named = named_routes(host)
    for route in observed.routes:
        key = route_key(route)
        was_set = route.is_ours or (key in earlier.routed and key not in named)
        is_own = key[1:] in earlier.found or _goes_along(route, handed.get(IfName(route.dev)))
        if not was_set or (is_own and key not in named):
            yield route


def _goes_along(route: Route, bridge: Bridge | None) -> bool:
    """Whether a route is of what a bridge takes over, which names no router of its own instead."""
    return bridge is not None and route.dst not in {DEFAULT_DST[router.version] for router in bridge.gateways}


def handed_over(host: Host, observed: HostState, earlier: EarlierChanges) -> Iterator[tuple[IfName, Bridge]]:
    """The links of which a bridge takes over what the host has there, whoever set it: an uplink's, or its own so far.

    Not where the file names addresses for it. The latter where nothing but what the file named before is on the bridge,
    as the uplink had nothing.
    """
    for bridge in host.bridges.values():
        before = observed.links.get(bridge.name)
        uplink = observed.links.get(bridge.port) if bridge.from_uplink and bridge.port is not None else None
        if uplink is None or host.effective(bridge).addresses:
            continue
        if uplink.master != bridge.name:
            yield (foreign_bridge(host, observed, uplink.name) or uplink).name, bridge
        elif before is not None:
            own = {one.ip for one in before.addresses if not one.dynamic and not one.is_link_local}
            if own and own <= earlier.added.get(bridge.name, frozenset()):
                yield bridge.name, bridge


def forget_options(build: TargetBuilder) -> None:
    """An MTU and the temporary addresses of a link of others are as they were found, where the file leaves them open.

    What it goes on saying is laid over that. A port has the MTU of the bridge of others that it is in, which comes
    first.
    """
    known = {name: build.links.get(name) for name in map(IfName, build.earlier.altered)}
    for name in sorted(known, key=lambda name: getattr(known[name], "master", None) is not None):
        altered, link = build.earlier.altered[name], build.links.get(name)
        found, ours = altered.get("mtu", ("", ""))
        if link is not None and str(link.mtu) == ours and not _is_held(build, link, int(found)):
            build.set(name, mtu=int(found))
        key = conf(6, name, "use_tempaddr")
        found, ours = altered.get(key, ("", ""))
        if link is not None and link.master is None and found and build.sysctls.get(key) == ours:
            build.sysctls[key] = found


def forget_settings(build: TargetBuilder) -> None:
    """What the file no longer names is as it was found, in all that Bascule set and nobody has set since."""
    named = {*named_links(build.host), *(nic.tap for nic in build.site.guest_nics(build.host.name))}
    earlier = build.earlier
    for name in dict.fromkeys(map(IfName, (*earlier.altered, *earlier.ports))):
        link = build.links.get(name)
        if link is None or name in named:
            continue
        if link.master is not None and link.master in build.links and link.master != earlier.ports.get(name):
            continue
        build.set(name, master=None, port=None, vlans=())
        for key, (found, ours) in earlier.altered.get(name, {}).items():
            if key == "addrgenmode" and link.addrgenmode == ours:
                own = own_link_local(build, link) if found == "eui64" else ()
                build.set(name, addrgenmode=found, addresses=(*link.addresses, *own))
            elif "/" in key and build.sysctls.get(key) == ours:
                build.sysctls[key] = found
        words = f"{name} is not in the file any more: what was set on it is as it was found"
        build.reasons.setdefault(name, words)


def _is_held(build: TargetBuilder, link: Link, mtu: int) -> bool:
    """Whether a link is a port of a bridge of others that has not this MTU."""
    master = build.links.get(link.master) if link.master is not None else None
    if master is None or master.is_ours or build.host.link(master.name) is not None:
        return False
    return master.mtu != mtu


def move_addresses(build: TargetBuilder) -> None:
    """An address that the file writes down for one link goes from the others of the file that have it."""
    if build.host.as_found:
        return
    declared = {said.name: {str(ip.ip) for ip in build.host.effective(said).addresses} for said in build.host.links()}
    owners = {ip: name for name, ips in declared.items() for ip in ips if name in build.links}
    for name, own in declared.items():
        link = build.links.get(name)
        if link is None or build.host.is_enslaved(name):
            continue
        moved = {ip for a in link.addresses if (ip := a.local) in owners and ip not in own}
        if moved := {ip for ip in moved if not ip.startswith("fe80:")}:
            build.set(name, addresses=tuple(a for a in link.addresses if a.local not in moved))
            _move_routes(build, link, build.links[name], {owners[ip] for ip in moved})
            to = ", ".join(sorted({owners[ip] for ip in moved}))
            build.note("warning", name, f"{', '.join(sorted(moved))} moves to {to}, which has it in the file")


def _move_routes(build: TargetBuilder, before: Link, after: Link, to: set[IfName]) -> None:
    """Routes by neighbours whom a link has no more are where those are now, unless others lead there already."""
    left = {ip_interface(a.ip).network for a in after.addresses}
    gone = {ip_interface(a.ip).network for a in before.addresses} - left
    homes = {ip_interface(a.ip).network: name for name in to for a in build.links[name].addresses}
    stay: list[Route] = []
    go: list[Route] = []
    for route in build.routes:
        router = ip_address(route.gateway) if route.dev == after.name and route.gateway else None
        is_far = router is not None and any(router in net for net in gone) and not any(router in net for net in left)
        (go if is_far else stay).append(route)
    had = {route.slot for route in stay}
    for route in go:
        home = next((name for net, name in homes.items() if ip_address(route.gateway) in net), None)
        if home is not None and route.slot not in had:
            stay.append(replace(route, dev=home))
    build.routes = stay


def note_foreign(build: TargetBuilder) -> None:
    """Say of every link that nothing here gave a reason for that it is left alone, or loses its bridge."""
    named = {*build.reasons, "lo"}
    for name, link in sorted(build.observed.links.items()):
        if name in named or name not in build.links:
            continue
        if link.master is not None and link.master not in build.links:
            build.note("warning", name, f"is not in the file, and in no bridge any more when {link.master} has gone")
            continue
        build.note("foreign", name, left_alone(link))
        bridge = build.host.bridges.get(link.master) if link.master is not None else None
        if bridge is not None and link.options.kind in {"", "bond", "vlan"} and (others := _wires(bridge)):
            text = f"stays a port of {bridge.name} beside {others}: their networks are one, and a loop where they meet"
            build.note("warning", name, text)


def _wires(bridge: Bridge) -> str:
    return ", ".join(port.link for port in bridge.every_port)


def left_alone(link: Link) -> str:
    """That a link is nothing of the file's, and what it is."""
    kind = link.options.info_kind if isinstance(link.options, Other) else link.options.kind
    return f"{f'port of {link.master}' if link.master else kind or 'NIC'}, not in the file: left alone"
