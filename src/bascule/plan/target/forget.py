"""What the file no longer names, and what it never named: the first goes where it is ours, the second stays."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.links import Other
from bascule.model.site import Host, Site
from bascule.model.state import MARK, HostState
from bascule.model.values import IfName, bridge_name
from bascule.plan.target.builder import TargetBuilder
from bascule.plan.virtual_network import ResolvedNetwork


def outdated_links(site: Site, host: Host, observed: HostState, *, by_libvirt: bool) -> set[IfName]:
    """Made by us for this site, and no longer in the file."""
    declared = {*host.bridges, *host.bonds, *host.vlans, *(b.port for b in host.bridges.values() if b.port)}
    if not by_libvirt:
        declared |= set(map(bridge_name, host.virtual_networks))
    return {
        name
        for name, link in observed.links.items()
        if link.alias == MARK + site.name and link.options.virtual and name not in declared
    }


def forget_addresses(build: TargetBuilder, networks: Iterable[ResolvedNetwork]) -> None:
    """Addresses that Bascule put there before and that the file no longer names go."""
    own = {one.bridge: one for one in networks}
    for name, added in build.earlier.added.items():
        link = build.links.get(IfName(name))
        if link is None:
            continue
        said = build.host.link(link.name)
        naming = (build.host.spoken(said) if said else None, own.get(link.name))
        old = added - {str(ip) for thing in naming if thing for ip in thing.addresses}
        build.set(link.name, addresses=tuple(a for a in link.addresses if a.ip not in old))


def note_foreign(build: TargetBuilder) -> None:
    """Say of every link that nothing here gave a reason for that it is left alone."""
    named = {*build.reasons, "lo"}
    for name, link in sorted(build.observed.links.items()):
        if name in named or name not in build.links:
            continue
        kind = link.options.info_kind if isinstance(link.options, Other) else link.options.kind
        what = f"port of {link.master}" if link.master else kind or "NIC"
        build.note("foreign", name, f"{what}, not in the file: left alone")
