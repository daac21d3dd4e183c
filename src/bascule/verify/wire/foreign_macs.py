"""Frames from outside that carry a MAC of ours: another machine on the wire has the same one, and takes our frames.

The switch outside learns a MAC where it spoke last; our own probes teach it the right port again, so that every probe
passes while most frames of the guest are lost. Only the other machine's frames show it, so it is made to speak: by an
echo request to all IPv6 nodes (RFC 4291, 2.7.1), which it answers, or whose sender it looks for, by ARP probes (RFC
5227) for the IPv4 addresses that are known, and by neighbour solicitations for those of IPv6 and for the ones that are
made of the MACs: a firewall that drops echoes lets these in. A copy of this host would answer to its own MAC, by which
no switch brings us anything, so it is asked to answer everybody. One that has another IPv4 address, and no IPv6, shows
only by the frames that the switch sends to it instead of us: what can be seen from another link of this host in the
same network.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

from msgspec import Struct

from bascule.frames import bpf, filters
from bascule.frames.codecs import arp, ethernet, icmp
from bascule.frames.packet import Frame, read_frame
from bascule.model.host_links import Bond, Nic
from bascule.model.site import Host, Network, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, IpAddress, IpInterface, Mac, link_local
from bascule.system.net.netns import Namespace
from bascule.verify.checks import Check, read_neighbours
from bascule.verify.wire.link_sockets import LISTEN_S, UNSPECIFIED, LinkQuestions, LinkSockets, address_probes, can_ask
from bascule.verify.wire.misdirected import MACS_AT_MOST, ROUNDS, arrivals

FILTERED_AT_MOST = 500  # MACs that the kernel looks for: a filter has 4096 instructions at most (linux/filter.h)
AT_MOST = 3  # frames that are described


class Uplink(Struct, frozen=True):
    """A port of a bridge that leads out: whose the MACs behind it are, and how its wire is asked.

    ``has_ipv4``: nothing says that its network has no IPv4. ``addresses`` are those that are asked for, ``other`` is
    another link of the host in the same network, with its MAC. ``host_addresses`` are the host's there. ``own``:
    it is no port, and the host's own MAC is asked for alone.
    """

    name: IfName
    mac: Mac
    owners: Mapping[Mac, str]
    has_ipv4: bool
    addresses: tuple[IpAddress, ...]
    other: tuple[IfName, Mac] | None = None
    host_addresses: tuple[IPv4Address, ...] = ()
    own: bool = False

    def questions(self) -> Iterator[bytes]:
        """The frames that make whoever has one of the MACs speak."""
        source = ethernet.mac_bytes(self.mac)
        yield icmp.echo_to_all_nodes(source, os.urandom(8))
        yield from address_probes(source, (*self.addresses, *map(link_local, self.owners)))
        for own in self.host_addresses:  # a copy of this host would answer its own MAC, which is to say itself
            yield arp.build(arp.REQUEST, source, UNSPECIFIED, own, answer_to=ethernet.BROADCAST)


def uplinks_of(site: Site, host: Host, state: HostState, known: tuple[IpInterface, ...]) -> Iterator[Uplink]:
    """The uplinks of a host's bridges that are up. ``known`` are addresses that the host has heard of."""
    every, others = _known_addresses(site, host, known), _links_by_network(site, host, state)
    for bridge, name in ((one, port.link) for one in host.bridges.values() for port in one.every_port):
        link, port = state.links.get(bridge.name), state.links.get(name)
        if link is None or port is None or port.mac is None or not port.up or _is_blocked(port):
            continue
        network = site.network_of_link(host, name)
        nics = site.nics_on(host.name, bridge.name)
        own = {link.mac: str(bridge.name)} if link.mac is not None else {}
        yield Uplink(
            name=port.name,
            mac=port.mac,
            owners={**own, **{nic.mac: nic.guest for nic in nics}},
            has_ipv4=network is None or not network.subnets or any(x.version == 4 for x in network.subnets),
            addresses=_addresses(network, every),
            other=next((one for one in others.get(network.name if network else "", ()) if one[0] != bridge.name), None),
            host_addresses=_host_addresses(link),
        )


def own_links(site: Site, host: Host, state: HostState, known: tuple[IpInterface, ...]) -> Iterator[Uplink]:
    """The NICs and bonds that are up and on which the host itself speaks."""
    every = _known_addresses(site, host, known)
    for said in host.speakers():
        link = state.links.get(said.name)
        if isinstance(said, Nic | Bond) and link is not None and link.mac is not None and link.up and not link.master:
            network = site.network_of_link(host, said.name)
            addresses = _addresses(network, every)
            owners = {link.mac: str(said.name)}
            yield Uplink(
                name=link.name,
                mac=link.mac,
                owners=owners,
                has_ipv4=True,
                addresses=addresses,
                host_addresses=_host_addresses(link),
                own=True,
            )


def _host_addresses(link: Link) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(a.local) for a in link.addresses if not a.is_ipv6)


def _is_blocked(port: Link) -> bool:
    return port.facts.stp_port_state not in {"", "forwarding"}


def blocked_uplinks(host: Host, state: HostState) -> Iterator[Check]:
    """Those that nobody listens on: what comes in there the bridge itself has sent by another port."""
    for bridge in host.bridges.values():
        for declared in bridge.every_port:
            port = state.links.get(declared.link)
            if port is not None and port.up and _is_blocked(port):
                detail = f"not listened: the spanning tree has it {port.facts.stp_port_state}, and what it hears "
                detail += f"may be what {bridge.name} sent by another port"
                yield Check(id="foreign-mac", subject=port.name, ok=None, detail=detail)


def _order(address: IpAddress) -> tuple[int, int]:
    return address.version, int(address)


def _known_addresses(site: Site, host: Host, known: Iterable[IpInterface]) -> list[IpAddress]:
    """The addresses that the file names or the host has heard of, in their order."""
    found = {a.ip for nic in site.guest_nics(host.name) for a in nic.addresses}
    found |= {a.ip for said in host.speakers() for a in said.addresses}
    found |= {a.ip for machine in site.machines.values() for nic in machine.nics for a in nic.addresses}
    return sorted(found.union(a.ip for a in known), key=_order)


def _addresses(network: Network | None, every: Sequence[IpAddress]) -> tuple[IpAddress, ...]:
    """Those of all addresses that are in a network."""
    found: set[IpAddress] = set()
    for subnet in network.subnets if network is not None else ():
        first, last = _order(subnet[0]), _order(subnet[-1])
        found.update(every[bisect_left(every, first, key=_order) : bisect_right(every, last, key=_order)])
    return tuple(sorted(found, key=_order))


def _links_by_network(site: Site, host: Host, state: HostState) -> Mapping[str, list[tuple[IfName, Mac]]]:
    """The links of the host that are no ports, and their MACs, by the network that they are in."""
    found: dict[str, list[tuple[IfName, Mac]]] = {}
    for link in state.links.values():
        if can_ask(link) and link.mac is not None:
            network = site.network_of_link(host, link.name)
            if network is not None:
                found.setdefault(network.name, []).append((link.name, link.mac))
    return found


class ForeignMacs(LinkSockets):
    """Listens on the uplinks of a host's bridges, in the namespace that we are in. A context manager."""

    def __init__(self, uplinks: Iterable[Uplink]) -> None:
        self._uplinks = {one.name: one for one in uplinks}
        self._asked = {name: frozenset(one.questions()) for name, one in self._uplinks.items()}
        super().__init__({
            name: LinkQuestions(_program(one), tuple(self._asked[name])) for name, one in self._uplinks.items()
        })  # fmt: skip

    def checks(self) -> Iterator[Check]:
        """What was heard, after LISTEN_S at least: a check for each uplink, or for each MAC that somebody has, too."""
        for link, frames in self.received():
            uplink = self._uplinks[link]
            bad = [*_heard(uplink, frames, self._asked[link])]
            if uplink.own:
                yield from bad
                continue
            others, seen = _misdirected(uplink)
            bad += [check for check in others if check.subject not in {each.subject for each in bad}]
            yield from bad or (_nothing(uplink, seen),)


def _program(uplink: Uplink) -> tuple[bpf.Instruction, ...]:
    macs = filters.from_macs(uplink.owners) if len(uplink.owners) <= FILTERED_AT_MOST else []
    return bpf.any_of(*(macs or [filters.all_frames()]), refuse_outgoing=True)


def _heard(uplink: Uplink, frames: Iterable[bytes], asked: frozenset[bytes]) -> Iterator[Check]:
    """A check for each MAC that spoke outside, or one where the wire gives back what was sent."""
    heard: dict[Mac, list[str]] = {}
    for data in frames:
        if data in asked:
            detail = (
                f"what is sent by {uplink.name} comes in by it again: a loop, a port that reflects (hairpin), or links "
                "of a bond that the switch does not take for one; whether another machine has a MAC of its own cannot "
                "be told there"
            )
            yield Check(id="foreign-mac", subject=str(uplink.name), ok=None, detail=detail, unproven=True)
            return
        if (frame := read_frame(data)) is not None and frame.src in uplink.owners:
            heard.setdefault(frame.src, []).append(described(frame))
    for mac, words in heard.items():
        some = "; ".join(list(dict.fromkeys(words))[:AT_MOST])
        detail = (
            f"{len(words)} frame{'s' if len(words) > 1 else ''} from outside came in by {uplink.name} with its own "
            f"MAC {mac} ({some}): another machine on the wire has the same MAC, and gets its frames"
        )
        yield Check(id="foreign-mac", subject=uplink.owners[mac], ok=False, detail=detail)


def _misdirected(uplink: Uplink) -> tuple[list[Check], str]:
    """A check for each MAC whose frames the switch sends to somebody else, and what was seen of all others."""
    if uplink.other is None:
        return [], ""
    other, other_mac = uplink.other
    try:
        came = arrivals(other, other_mac, uplink.name, list(uplink.owners)[:MACS_AT_MOST])
    except OSError:  # one of the links is gone meanwhile
        return [], ""
    if not any(came.values()):  # the links are not on one wire, or nothing comes back at all: others' checks say that
        return [], ""
    bad = [
        Check(
            id="foreign-mac",
            subject=uplink.owners[mac],
            ok=False,
            detail=f"{ROUNDS - count} of {ROUNDS} frames from {other} to its MAC {mac} did not come in by "
            f"{uplink.name}: the switch sends them elsewhere, where another machine speaks with the same MAC",
        )
        for mac, count in came.items()
        if count < ROUNDS - 1  # one may be lost for other reasons
    ]
    return bad, f"{sum(came.values())} of {ROUNDS * len(came)} frames from {other} to them came in"


def _nothing(uplink: Uplink, seen: str) -> Check:
    """That nobody was heard, and who would not have been."""
    known = sum(address.version == 4 for address in uplink.addresses)
    asked = f"{known or 'no'} IPv4 address{'es were' if known > 1 else ' was'} asked for"
    behind = f"none of the {len(uplink.owners)} MACs" if len(uplink.owners) != 1 else "the one MAC"
    heard = "was heard" if len(uplink.owners) != 1 else "was not heard"
    detail = f"{behind} behind it {heard} from outside in {LISTEN_S:g} s, and {asked}"
    if seen:
        return Check(id="foreign-mac", subject=str(uplink.name), ok=True, detail=f"{detail}; {seen}")
    if not uplink.has_ipv4:
        return Check(id="foreign-mac", subject=str(uplink.name), ok=True, detail=detail)
    detail += "; a machine with one of them that speaks IPv4 alone, at an address that nobody knows, stays unseen"
    return Check(id="foreign-mac", subject=str(uplink.name), ok=None, detail=detail)


def live_uplinks(site: Site, host: Host, state: HostState, here: Namespace) -> Iterator[Uplink]:
    """The uplinks, with the addresses in this host's table of neighbours."""
    known = tuple(address for addresses in read_neighbours(here).values() for address in addresses)
    yield from uplinks_of(site, host, state, known)
    yield from own_links(site, host, state, known)


def described(frame: Frame) -> str:
    """What it is about, in a few words."""
    if frame.arp is not None:
        return f"ARP of {frame.arp.sender}"
    if frame.packet is not None:
        return f"a packet from {frame.packet.src} to {frame.packet.dst}"
    return f"to {frame.dst}"
