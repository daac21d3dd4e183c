"""One segment of one NIC (untagged, or one tag) as the judge sees it: pure.

Names the senders, whom they ask, the subnets and gateways that are stated, and the VLAN numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

from msgspec import Struct, field

from bascule.frames.envelope import Tags
from bascule.frames.findings import DIRECTED, Asks, Bpdu, Gateway, HeardServer, Name, Sender, Subnet
from bascule.frames.vendors import maker
from bascule.model.values import IpAddress, IpNetwork
from bascule.survey.evidence import UNTAGGED, NicTraffic
from bascule.survey.neighbours import SWITCH, Device, bpdus

BRIDGE_ID = "STP bridge id"  # its system id extension is the VLAN (IEEE 802.1t), which Cisco's access ports fill in
TYPICAL = 24  # the prefix length that is guessed where senders and targets lie closer together than that
BELIEVED = 3  # senders that are more than somebody's mistake
WIDEST = 12  # an ARP request over more than this is a wrongly configured host, not a subnet


NAMELESS = "nothing was heard that names a network"


class WireSegment(Struct, frozen=True, kw_only=True):
    """What speaks on one segment. Counts are frames.

    ``senders`` maps an address to the frames that carried it, ``macs`` to those who sent them and ``heard_by`` to the
    protocols, ``asked`` to the frames that asked for it and ``askers`` to how many machines those were, ``stated`` a
    subnet to who stated it and how often.
    ``native`` are the VLAN numbers that the untagged frames of this wire belong to, each with its source; ``pvst``
    are those of which the spanning trees speak that are heard here.
    """

    tags: Tags
    frames: int = 0
    macs: Mapping[IpAddress, frozenset[str]] = field(default_factory=dict)
    senders: Mapping[IpAddress, int] = field(default_factory=dict)
    heard_by: Mapping[IpAddress, frozenset[str]] = field(default_factory=dict)
    pairs: frozenset[tuple[IpAddress, IpAddress]] = frozenset()
    asked: Mapping[IpAddress, int] = field(default_factory=dict)
    askers: Mapping[IpAddress, int] = field(default_factory=dict)
    stated: Mapping[tuple[IpNetwork, str], int] = field(default_factory=dict)
    gateways: Mapping[tuple[IpAddress, str, str], int] = field(default_factory=dict)
    servers: Mapping[tuple[str, str], int] = field(default_factory=dict)
    names: Mapping[tuple[str, str], int] = field(default_factory=dict)
    native: Mapping[tuple[int, str], int] = field(default_factory=dict)
    vlan_names: Mapping[int, str] = field(default_factory=dict)
    pvst: frozenset[int] = frozenset()

    @property
    def vid(self) -> int | None:
        """The outer tag."""
        return self.tags[0] if self.tags else None

    @property
    def words(self) -> str:
        """How its frames arrive."""
        return "tagged " + ".".join(str(tag) for tag in self.tags) if self.tags else "untagged"

    def machines(self, addresses: Iterable[IpAddress]) -> int:
        """How many different senders have these addresses: one machine may have many."""
        every = list(addresses)
        return min(len(every), len({mac for ip in every for mac in self.macs.get(ip, ())}))

    def is_stated(self, net: IpNetwork) -> bool:
        """Whether somebody states a prefix who knows it; a broadcast address of fewer than three may be a mistake."""
        sources = {how for stated, how in self.stated if stated == net}
        return bool(sources - {DIRECTED}) or (
            bool(sources) and self.machines(ip for ip in self.senders if ip in net) >= BELIEVED
        )

    def evidence_kind(self, addresses: Iterable[IpAddress]) -> str:
        """``arp`` or ``nd`` where some of these addresses were heard so, else ``senders``."""
        protocols = {how for ip in addresses for how in self.heard_by.get(ip, ())}
        return "arp" if "ARP" in protocols else "nd" if "ND" in protocols else "senders"

    @property
    def is_silent(self) -> bool:
        """Nothing on it says which network it is."""
        return not (self.senders or self.stated or self.gateways or self.native)


@lru_cache(maxsize=65536)
def _address(text: str) -> IpAddress | None:
    ip = ip_address(text)
    useless = ip.is_loopback or ip.is_multicast or ip.is_unspecified or ip.is_link_local
    return None if useless or (ip.version == 4 and (int(ip) == 0xFFFFFFFF or int(ip) >> 24 == 0)) else ip


def segments(heard: NicTraffic, devices: Iterable[Device]) -> dict[Tags, WireSegment]:
    """Every segment of a NIC; the untagged one is there even if nothing was heard on it."""
    known = tuple(devices)
    names = {vid: name for device in known for vid, name in device.said.vlan_names if name}
    return {tags: _segment(heard, tags, known, names) for tags in sorted({UNTAGGED, *heard.facts})}


def _segment(heard: NicTraffic, tags: Tags, devices: Iterable[Device], vlan_names: Mapping[int, str]) -> WireSegment:
    senders: Counter[IpAddress] = Counter()
    heard_by: dict[IpAddress, set[str]] = defaultdict(set)
    asked: Counter[IpAddress] = Counter()
    pairs: set[tuple[IpAddress, IpAddress]] = set()
    macs: dict[IpAddress, set[str]] = defaultdict(set)
    askers: dict[IpAddress, set[str]] = defaultdict(set)
    for said, src, frames in heard.of(Sender, tags):
        if (ip := _address(said.ip)) is not None:
            senders[ip] += frames
            heard_by[ip].add(said.how)
            macs[ip].add(src)
    for ask, src, frames in heard.of(Asks, tags):
        sender, target = _address(ask.sender), _address(ask.target)
        if sender is not None and target is not None:
            asked[target] += frames
            pairs.add((sender, target))
            askers[target].add(src)
    stated: Counter[tuple[IpNetwork, str]] = Counter()
    for subnet, _, frames in heard.of(Subnet, tags):
        stated[ip_network(subnet.network), subnet.how] += frames
    gateways: Counter[tuple[IpAddress, str, str]] = Counter()
    for gateway, _, frames in heard.of(Gateway, tags):
        gateways[ip_address(gateway.ip), gateway.how, gateway.detail] += frames
    return WireSegment(
        tags=tags,
        frames=heard.sizes.get(tags, 0),
        macs={ip: frozenset(seen) for ip, seen in macs.items()},
        senders=senders,
        heard_by={ip: frozenset(how) for ip, how in heard_by.items()},
        pairs=frozenset(pairs),
        asked=asked,
        askers={ip: len(seen) for ip, seen in askers.items()},
        stated=stated,
        gateways=gateways,
        servers=_count(heard, tags, HeardServer),
        names=_count(heard, tags, Name),
        native=_native(heard, devices) if tags == UNTAGGED else {},
        vlan_names=vlan_names,
        pvst=frozenset(bpdu.vlan for bpdu, _, _ in heard.of(Bpdu, tags) if bpdu.vlan is not None),
    )


def _count(heard: NicTraffic, tags: Tags, kind: type[HeardServer] | type[Name]) -> Mapping[tuple[str, str], int]:
    counted: Counter[tuple[str, str]] = Counter()
    for said, _, frames in heard.of(kind, tags):
        counted[(said.kind, said.ip) if isinstance(said, HeardServer) else (said.text, said.how)] += frames
    return counted


def _native(heard: NicTraffic, devices: Iterable[Device]) -> Mapping[tuple[int, str], int]:
    found: Counter[tuple[int, str]] = Counter()
    for bpdu, _, frames, tags in bpdus(heard):
        if bpdu.vlan is not None and tags == UNTAGGED:
            found[bpdu.vlan, "PVST"] += frames
    if not any(bpdu.vlan is not None for bpdu, _, _, _ in bpdus(heard)):
        # not VLAN 1: on a trunk the IEEE BPDU says 1 whatever is native
        for bpdu, _, frames, tags in bpdus(heard):
            if tags == UNTAGGED and (vid := vlan_in_bridge_id(bpdu)) > 1:
                found[vid, BRIDGE_ID] += frames
    for device in devices:
        if device.role == SWITCH and device.said.native_vlan is not None:
            found[device.said.native_vlan, device.said.protocol] += device.frames
    return found


def vlan_in_bridge_id(bpdu: Bpdu) -> int:
    """The system id extension of a Cisco bridge, which is the VLAN; 0 for other makers' bridges.

    Older bridges have a priority of any 16 bits, MSTP has the instance there. Where the maker is not known, the root
    must be of the same VLAN.
    """
    if bpdu.variant not in ("STP", "RSTP"):
        return 0
    own, root = int(bpdu.bridge[:4], 16), int(bpdu.root[:4], 16)
    made = maker(bpdu.bridge[5:])
    is_cisco = made == "Cisco" or (not made and own >= 0x1000 and own & 0xFFF == root & 0xFFF)
    return own & 0xFFF if is_cisco else 0


def native_vlan(seg: WireSegment) -> int | None:
    """The VLAN of the untagged frames, if all that speak of it agree."""
    numbers = {vid for vid, _ in seg.native}
    return numbers.pop() if len(numbers) == 1 else None


def clusters(
    seg: WireSegment, addresses: Iterable[IpAddress] | None = None, *, declared: Iterable[IpNetwork] = ()
) -> list[tuple[IpNetwork, int, bool]]:
    """The subnets that the senders seem to be in: each with its number of senders, and whether it was stated.

    A declared or stated prefix (DHCP, RA, OSPF) is taken as it is. Else a prefix is the narrowest that covers a
    sender and those it asks for by ARP, but no narrower than /24 (IPv6: /64).
    """
    said = {net for net, _ in seg.stated}
    known = Prefixes({*said, *declared})
    inside: dict[IpNetwork | None, list[IpAddress]] = defaultdict(list)
    for ip in set(seg.senders if addresses is None else addresses):
        inside[known.narrowest(ip)].append(ip)
    left = set(inside.pop(None, ()))
    blocks = Prefixes(_blocks(left, seg.pairs))
    guessed: dict[IpNetwork, list[IpAddress]] = defaultdict(list)
    for ip in left:
        if (net := blocks.narrowest(ip)) is not None:
            guessed[net].append(ip)
    stated = {*said, *(net for net in inside if net is not None)}
    found = [(net, seg.machines(inside[net]), True) for net in stated]
    found += [(net, seg.machines(members), False) for net, members in guessed.items()]
    return sorted(found, key=lambda item: (not item[2], -item[1], str(item[0])))


class Prefixes:
    """Which of many networks holds an address, asked with one look-up for each length that occurs."""

    def __init__(self, nets: Iterable[IpNetwork]) -> None:
        self._nets = {(net.version, net.prefixlen, int(net.network_address)): net for net in nets}
        self._lengths = sorted({(version, length) for version, length, _ in self._nets})

    def widest(self, ip: IpAddress) -> IpNetwork | None:
        """The network with the shortest prefix, None if no network holds the address."""
        return next(self._holders(ip, self._lengths), None)

    def narrowest(self, ip: IpAddress) -> IpNetwork | None:
        """The network with the longest prefix, None if no network holds the address."""
        return next(self._holders(ip, reversed(self._lengths)), None)

    def _holders(self, ip: IpAddress, lengths: Iterable[tuple[int, int]]) -> Iterator[IpNetwork]:
        for version, length in lengths:
            if version == ip.version:
                spare = ip.max_prefixlen - length
                net = self._nets.get((version, length, int(ip) >> spare << spare))
                if net is not None:
                    yield net


def _blocks(addresses: set[IpAddress], pairs: frozenset[tuple[IpAddress, IpAddress]]) -> list[IpNetwork]:
    blocks: set[IpNetwork] = {
        ip_network((int(ip), TYPICAL if ip.version == 4 else 64), strict=False)
        if ip.version == 4
        else ip_network(f"{ip}/64", strict=False)
        for ip in addresses
    }
    for sender, target in pairs:
        if sender in addresses and isinstance(sender, IPv4Address) and isinstance(target, IPv4Address):
            cover = _cover(sender, target)
            if cover is not None:
                blocks.add(cover)
    every = Prefixes(blocks)
    return [net for net in blocks if every.widest(net.network_address) == net]


def _cover(one: IPv4Address, two: IPv4Address) -> IPv4Network | None:
    length = min(32 - (int(one) ^ int(two)).bit_length(), TYPICAL)
    return IPv4Network((int(one), length), strict=False) if length >= WIDEST else None
