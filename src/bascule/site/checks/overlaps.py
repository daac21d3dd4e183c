"""Subnets that share addresses: legal where the longest prefix decides rightly, a problem where it cannot."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.model.values import IpAddress, IpNetwork
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring, SpeakerNic
from bascule.topology.virtual_networks import host_address

Known = tuple[tuple[IpAddress, IpAddress, str], ...]  # first and last of addresses that are used, and whose they are
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
    of_network: bool = True  # a declared one, whose overlaps with others are found for all at once

    def may_share(self, other: _Claim) -> bool:
        """Nat and isolated networks of two hosts never meet."""
        return None not in (self.host, other.host) and self.host != other.host and (self.hidden or other.hidden)

    def misrouted_host(self, inner: _Claim) -> str:
        """Who stands on this subnet and would be looked for in a smaller one within it; empty where nobody would."""
        if self.subnet == inner.subnet:
            return "all"
        low, high = inner.subnet.network_address, inner.subnet.broadcast_address
        for first, last, whose in self.known:
            if first.version == low.version and first <= high and low <= last:  # type: ignore[operator]  # of one version
                return f"{whose} ({first})" if first == last else f"{whose} ({first}-{last})"
        return ""


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
            _report(wiring, other, each)
        open_ones.append(each)
    for host in wiring.document.hosts:
        _within(wiring, host)


def _order(claim: _Claim) -> tuple[int, int, int]:
    return claim.subnet.version, int(claim.subnet.network_address), claim.subnet.prefixlen


def _declared(wiring: DocumentWiring) -> Iterator[_Claim]:
    used: dict[tuple[str, ...], list[tuple[IpAddress, IpAddress, str]]] = {}
    for speaker in wiring.speakers:
        if speaker.segment is not None:
            own = ((a.ip, a.ip, speaker.label) for a, _ in speaker.addresses)
            used.setdefault(speaker.segment.key, []).extend(own)
    for machine, each in wiring.document.machines.items():
        if each.dhcp is not None:
            leases = (*each.dhcp.range, f"a lease of machine '{machine}'")
            used.setdefault(("network", each.dhcp.network), []).append(leases)
    for name, network in wiring.document.networks.items():
        known = tuple((gateway, gateway, f"the gateway of network '{name}'") for gateway in network.gateway)
        known += tuple(used.get(("network", name), ()))
        for index, subnet in enumerate(network.subnet):
            yield _Claim(subnet, f"network '{name}'", ("networks", name, "subnet", index), known)
    for host, entry in wiring.document.hosts.items():
        for name, virtual in entry.virtual_networks.items():
            for index, subnet in enumerate(virtual.subnet):
                host_ip = host_address(subnet).ip
                known = ((host_ip, host_ip, f"host '{host}' on virtual network '{name}'"),)
                if virtual.dhcp is not None:
                    known += ((*virtual.dhcp, f"a lease of virtual network '{name}'"),)
                known += tuple(used.get(("virtual", host, name), ()))
                path: Path = ("hosts", host, "virtual_networks", name, "subnet", index)
                hidden = virtual.mode in {"nat", "isolated"}
                yield _Claim(subnet, f"virtual network '{name}'", path, known, host, hidden)


def _within(wiring: DocumentWiring, host: str) -> None:
    """The links of one host, as far as they are on no declared network: those are held against each other above."""
    claims = [
        claim for speaker in wiring.by_owner.get(host, ()) if speaker.kind == "hosts" for claim in _of(wiring, speaker)
    ]
    overlaps: list[tuple[int, int]] = []
    open_ones: tuple[list[int], list[int]] = ([], [])  # the subnets around the next one: by links alone, by networks
    wide = (n for n, claim in enumerate(claims) if claim.subnet.prefixlen != claim.subnet.max_prefixlen)
    for n in sorted(wide, key=lambda n: _order(claims[n])):
        inner = claims[n]
        for stack in open_ones:
            while stack and inner.subnet.network_address not in claims[stack[-1]].subnet:
                stack.pop()
        for each in (*open_ones[0], *(() if inner.of_network else open_ones[1])):
            outer = claims[each]
            if outer.path[:4] != inner.path[:4] and outer.misrouted_host(inner):
                overlaps.append((each, n))
        open_ones[inner.of_network].append(n)
    for outer_at, inner_at in sorted(overlaps, key=lambda pair: (min(pair), max(pair))):
        _report(wiring, claims[outer_at], claims[inner_at])


def _of(wiring: DocumentWiring, speaker: SpeakerNic) -> Iterator[_Claim]:
    """The subnets that a host has an address in by one of its links."""
    of_network = speaker.segment is not None and bool(speaker.segment.subnets)
    if speaker.path[2] == "virtual_networks":
        for subnet in speaker.segment.subnets if speaker.segment else ():
            host_ip = host_address(subnet).ip
            yield _Claim(subnet, speaker.label, speaker.path, ((host_ip, host_ip, speaker.label),), speaker.owner)
        return
    link = getattr(wiring.document.hosts[speaker.owner], str(speaker.path[2]))[speaker.path[3]]
    # a prefix that is routed to the host's link-local neighbour has nobody else on this wire, as hosters give them
    routed = any(gateway.is_link_local for gateway in link.gateway)
    own = tuple((a.ip, a.ip, speaker.label) for a, _ in speaker.addresses if not (a.version == 6 and routed))
    known = (*own, *((gateway, gateway, f"the gateway of {speaker.label}") for gateway in link.gateway))
    for address, path in speaker.addresses:
        yield _Claim(address.network, speaker.label, path, known, speaker.owner, of_network=of_network)


def _report(wiring: DocumentWiring, outer: _Claim, inner: _Claim) -> None:
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
