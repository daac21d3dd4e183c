"""Subnets that share addresses: legal where the longest prefix decides rightly, a problem where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.model.values import IpAddress, IpNetwork
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring, SpeakerNic
from bascule.topology.virtual_networks import host_address

Known = tuple[tuple[IpAddress, str], ...]  # addresses that stand on a subnet, and whose they are
SAME_HINT = "an address must belong to one network only, or no route to it can be right"
NESTED_HINT = "the longest prefix decides: what lies in both is looked for in the smaller one; give one of them another"


class _Claim(Struct, frozen=True):
    """A subnet that somebody declares. ``hidden`` ones of two hosts never meet."""

    subnet: IpNetwork
    label: str
    path: Path
    known: Known = ()
    host: str | None = None
    hidden: bool = False
    told: bool = True  # whether it is a declared network's, so that its overlaps with others are found for all at once

    def may_share(self, other: _Claim) -> bool:
        """Nat and isolated networks of two hosts never meet."""
        return None not in (self.host, other.host) and self.host != other.host and (self.hidden or other.hidden)

    def misrouted_host(self, inner: _Claim) -> str:
        """Who stands on this subnet and would be looked for in a smaller one within it; empty where nobody would."""
        if self.subnet == inner.subnet:
            return "all"
        return next((f"{whose} ({address})" for address, whose in self.known if address in inner.subnet), "")


def check_overlaps(wiring: DocumentWiring) -> None:
    """Networks and virtual networks against each other, then the links of each host."""
    # sorted like this, subnets that hold the next one lie on a stack: subnets are nested or apart
    order = sorted(_declared(wiring), key=_order)
    open_ones: list[_Claim] = []
    for each in order:
        while open_ones and each.subnet.network_address not in open_ones[-1].subnet:
            open_ones.pop()
        if (
            other := next((o for o in open_ones if not o.may_share(each) and o.misrouted_host(each)), None)
        ) is not None:
            _tell(wiring, other, each)
        open_ones.append(each)
    for host in wiring.document.hosts:
        _within(wiring, host)


def _order(claim: _Claim) -> tuple[int, int, int]:
    return claim.subnet.version, int(claim.subnet.network_address), claim.subnet.prefixlen


def _declared(wiring: DocumentWiring) -> Iterator[_Claim]:
    addresses: dict[tuple[str, ...], list[tuple[IpAddress, str]]] = {}
    for speaker in wiring.speakers:
        if speaker.segment is not None:
            addresses.setdefault(speaker.segment.key, []).extend((a.ip, speaker.label) for a, _ in speaker.addresses)
    for name, network in wiring.document.networks.items():
        known = tuple((gateway, f"the gateway of network '{name}'") for gateway in network.gateway)
        known += tuple(addresses.get(("network", name), ()))
        for index, subnet in enumerate(network.subnet):
            yield _Claim(subnet, f"network '{name}'", ("networks", name, "subnet", index), known)
    for host, entry in wiring.document.hosts.items():
        for name, virtual in entry.virtual_networks.items():
            for index, subnet in enumerate(virtual.subnet):
                known = ((host_address(subnet).ip, f"host '{host}' on virtual network '{name}'"),)
                if virtual.dhcp is not None:
                    known += tuple((end, f"a lease of virtual network '{name}'") for end in _ends(virtual.dhcp))
                known += tuple(addresses.get(("virtual", host, name), ()))
                path: Path = ("hosts", host, "virtual_networks", name, "subnet", index)
                hidden = virtual.mode in {"nat", "isolated"}
                yield _Claim(subnet, f"virtual network '{name}'", path, known, host, hidden)


def _ends(span: object) -> tuple[IpAddress, ...]:
    first, last = (getattr(span, "first", None), getattr(span, "last", None)) if span is not None else (None, None)
    return tuple(end for end in (first, last) if end is not None)


def _within(wiring: DocumentWiring, host: str) -> None:
    """The links of one host, as far as they are on no declared network: those are held against each other above."""
    claims = [
        claim for speaker in wiring.by_owner.get(host, ()) if speaker.kind == "hosts" for claim in _of(wiring, speaker)
    ]
    told: list[tuple[int, int]] = []
    open_ones: tuple[list[int], list[int]] = ([], [])  # the subnets around the next one: by links alone, by networks
    wide = (n for n, claim in enumerate(claims) if claim.subnet.prefixlen != claim.subnet.max_prefixlen)
    for n in sorted(wide, key=lambda n: _order(claims[n])):
        inner = claims[n]
        for stack in open_ones:
            while stack and inner.subnet.network_address not in claims[stack[-1]].subnet:
                stack.pop()
        for each in (*open_ones[0], *(() if inner.told else open_ones[1])):
            outer = claims[each]
            if outer.path[:4] != inner.path[:4] and outer.misrouted_host(inner):
                told.append((each, n))
        open_ones[inner.told].append(n)
    for outer_at, inner_at in sorted(told, key=lambda pair: (min(pair), max(pair))):
        _tell(wiring, claims[outer_at], claims[inner_at])


def _of(wiring: DocumentWiring, speaker: SpeakerNic) -> Iterator[_Claim]:
    """The subnets that a host has an address in by one of its links."""
    told = speaker.segment is not None and bool(speaker.segment.subnets)
    if speaker.path[2] == "virtual_networks":
        for subnet in speaker.segment.subnets if speaker.segment else ():
            yield _Claim(
                subnet, speaker.label, speaker.path, ((host_address(subnet).ip, speaker.label),), speaker.owner
            )
        return
    link = getattr(wiring.document.hosts[speaker.owner], str(speaker.path[2]))[speaker.path[3]]
    # a prefix that is routed to the host's link-local neighbour has nobody else on this wire, as hosters give them
    routed = any(gateway.is_link_local for gateway in link.gateway)
    own = tuple((a.ip, speaker.label) for a, _ in speaker.addresses if not (a.version == 6 and routed))
    known = (*own, *((gateway, f"the gateway of {speaker.label}") for gateway in link.gateway))
    for address, path in speaker.addresses:
        yield _Claim(address.network, speaker.label, path, known, speaker.owner, told=told)


def _tell(wiring: DocumentWiring, outer: _Claim, inner: _Claim) -> None:
    later, earlier = sorted((outer, inner), key=lambda e: wiring.found.place(e.path), reverse=True)
    same = outer.subnet == inner.subnet
    words = f"is also that of {earlier.label}" if same else f"overlaps {earlier.subnet} of {earlier.label}"
    wiring.found.add(
        "SUBNET-OVERLAP",
        f"subnet {later.subnet} of {later.label} {words}"
        + ("" if same else f", and {outer.misrouted_host(inner)} would be looked for in {inner.label}"),
        later.path,
        hint=SAME_HINT if same else NESTED_HINT,
        also=[("the other", earlier.path)],
    )
