"""A wire: what two or more NICs hang on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from bascule.model.site import Host, Site
from bascule.topology.layer2 import CableEnd, Tags

WireKind = Literal["plain", "trunk", "LAG"]


class Wire(Struct, frozen=True, kw_only=True):
    """Two or more NICs on one wire, and the reasons. ``domains`` are the broadcast domains that they share.

    ``proven`` are those of them, or parts of them, for which more speaks than a spanning tree without a VLAN: two quiet
    access ports of one switch look alike to that, so what is heard on the one says nothing about the other.
    """

    nics: tuple[str, ...]
    kind: WireKind
    domains: tuple[frozenset[CableEnd], ...]
    reasons: tuple[str, ...]
    proven: tuple[frozenset[CableEnd], ...] = ()

    @property
    def segments(self) -> tuple[Tags, ...]:
        """The tags under which the domains arrive, untagged first."""
        return tuple(sorted({end.tags for domain in self.domains for end in domain}))

    @property
    def presumed(self) -> bool:
        """Whether some of its NICs are on it only because nothing speaks against it."""
        return self.kind != "LAG" and not any({end.nic for end in domain} >= set(self.nics) for domain in self.proven)


def join(groups: Iterable[frozenset[CableEnd]]) -> list[frozenset[CableEnd]]:
    """Broadcast domains from groups of cable ends: two that share one are one."""
    home: dict[CableEnd, set[CableEnd]] = {}
    for group in groups:
        merged = max((home[end] for end in group if end in home), key=len, default=set())
        for end in group:
            if end not in merged:
                more = home.get(end, {end})
                merged |= more
                home.update(dict.fromkeys(more, merged))
    return list({id(domain): frozenset(domain) for domain in home.values()}.values())


def declared_wires(site: Site, host: Host) -> tuple[Wire, ...]:
    """The wires that the file itself knows of: NICs that are declared for one network, bonds apart."""
    by_network: dict[tuple[str, Tags], list[str]] = {}
    for nic in host.nics.values():
        if nic.network is not None:
            vlan = site.networks[nic.network].vlan
            by_network.setdefault((nic.network, (vlan,) if vlan else ()), []).append(nic.name)
    for link in host.stacked():
        if tags := host.tags(link.name):
            network = site.network_of_link(host, link.name)
            name = network.name if network else f"VLAN {'.'.join(map(str, tags))}"
            on = by_network.setdefault((name, tags), [])
            on += [nic.name for nic in host.nics_of(link.name) if nic.name not in on]
    return tuple(
        Wire(
            nics=tuple(nics),
            kind="trunk" if tags else "plain",
            domains=(ends := frozenset(CableEnd(nic, tags) for nic in nics),),
            proven=(ends,),
            reasons=(f"the file puts both on {name}",),
        )
        for (name, tags), nics in by_network.items()
        if len(nics) > 1
    )
