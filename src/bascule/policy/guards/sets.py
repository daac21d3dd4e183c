"""The sets that the rules of the guards look up, and what each port puts into them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from bascule.model.ruleset.numbers import number
from bascule.model.ruleset.rules import Prefix, Tuple, Value
from bascule.model.values import IpAddress, IpNetwork, Mac, link_local
from bascule.policy.guards.ports import GuardedPort
from bascule.policy.network_rules import prefix


class SetDefinition(Struct, frozen=True):
    """A set's name, its type as nft tells it, and its flags."""

    name: str
    type: str
    flags: tuple[str, ...] = ()


SETS = (
    SetDefinition("ports", "ifname"),  # behind a guard
    SetDefinition("strict", "ifname"),
    SetDefinition("loose", "ifname"),  # whose addresses nobody knows
    SetDefinition("any_source", "ifname"),  # of IP, for they forward or nobody knows
    SetDefinition("isolated", "ifname"),
    SetDefinition("routers", "ifname"),  # which may do what the guard forbids others
    SetDefinition("servers", "ifname"),
    SetDefinition("queriers", "ifname"),
    SetDefinition("groups", "ifname"),
    SetDefinition("tagged", "ifname"),
    SetDefinition("spanning", "ifname"),
    SetDefinition("no_advertisements", "ifname"),
    SetDefinition("known_routers", "ifname"),
    SetDefinition("known_servers", "ifname"),
    SetDefinition("known_servers6", "ifname"),
    SetDefinition("macs", "ifname . ether_addr"),
    SetDefinition("meets", "ifname . ether_addr"),  # the same of ports that are not isolated: for a quick look
    # the sender's MAC and the type of the frame as one number, and its address as another
    SetDefinition("own4", "ifname . integer . integer"),
    SetDefinition("own6", "ifname . integer . integer"),
    SetDefinition("apart_own4", "ifname . integer . integer"),  # the same of isolated ports
    SetDefinition("apart_own6", "ifname . integer . integer"),
    SetDefinition("behind4", "ifname . ether_addr . ipv4_addr", ("interval",)),
    SetDefinition("behind6", "ifname . ether_addr . ipv6_addr", ("interval",)),
    SetDefinition("arp_sender", "ifname . ether_addr . ether_addr . ipv4_addr"),
    SetDefinition("mac_bits", "ifname . integer"),  # the MACs as numbers, for where they stand inside of a packet
    SetDefinition("apart_mac", "ifname . ether_addr"),
    SetDefinition("apart4", "ifname . ipv4_addr"),
    SetDefinition("apart6", "ifname . ipv6_addr"),
    SetDefinition("apart_target", "ifname . integer"),
    SetDefinition("answers_from", "ifname . ipv4_addr"),
    SetDefinition("answers6_from", "ifname . ether_addr"),
    SetDefinition("advertisers", "ifname . ether_addr"),
)
NESTED_SETS = (
    SetDefinition("nesting", "ifname"),  # with guests inside, of which only the number is known
    SetDefinition("known_macs", "ether_addr"),  # of everybody whom the file knows: nobody learns them
    SetDefinition("known_local", "ipv6_addr"),
    SetDefinition("nested4", "ifname . ipv4_addr", ("interval",)),
    SetDefinition("nested6", "ifname . ipv6_addr", ("interval",)),
    SetDefinition("nested_target", "ifname . integer"),
)
_LIBERTIES = {
    "router": "routers", "dhcp-server": "servers", "multicast-querier": "queriers", "tags": "tagged", "bpdu": "spanning"
}  # fmt: skip


def elements(ports: Iterable[GuardedPort]) -> dict[str, list[Value]]:
    """What stands in each set."""
    found: dict[str, list[Value]] = {}
    ports = tuple(ports)
    for port in ports:
        for name, values in _of(port):
            key = (port.name, *values)
            found.setdefault(name, []).append(port.name if len(key) == 1 else Tuple(key))
    known = dict.fromkeys(mac for port in ports if port.guarding.nested for mac in port.known_macs)
    if known:
        found["known_macs"] = list(known)
        found["known_local"] = [str(link_local(mac)) for mac in known]
    return found


Part = int | str | Prefix
Element = tuple[str, tuple[Part, ...]]


def _of(port: GuardedPort) -> Iterator[Element]:
    yield from ((name, ()) for name in _memberships(port))
    for mac in port.every_mac:
        yield "macs", (mac,)
        if not port.other_macs:
            yield "meets", (mac,)
        yield "mac_bits", (_bits(mac),)
    if port.is_strict:
        yield from _addresses(port)
    if port.guarding.nested and port.is_strict:
        yield from _nested(port)
    for mac in port.other_macs:
        yield "apart_mac", (mac,)
    for address in port.others:
        yield _by_family(address, "apart4", "apart6"), (str(address),)
        if address.version == 6:
            yield "apart_target", (number(int(address)),)
    for address in port.servers or ():
        if address.version == 4:
            yield "answers_from", (str(address),)
    for mac in port.servers6 or ():
        yield "answers6_from", (mac,)
    for mac in port.routers or ():
        yield "advertisers", (mac,)


def _memberships(port: GuardedPort) -> Iterator[str]:
    guarding = port.guarding
    yield "ports"
    yield "strict" if port.is_strict else "loose"
    if not port.is_strict or "router" in guarding.may:
        yield "any_source"
    if guarding.nested:
        yield "nesting"
    if guarding.isolated:
        yield "isolated"
    if guarding.routers:
        yield "groups"
    if not port.takes_advertisements:
        yield "no_advertisements"
    if port.routers is not None:
        yield "known_routers"
    if port.servers is not None:
        yield "known_servers"
    if port.servers6 is not None:
        yield "known_servers6"
    yield from (_LIBERTIES[word] for word in sorted(guarding.may))


def _addresses(port: GuardedPort) -> Iterator[Element]:
    for address in port.addresses:
        for mac in port.every_mac:
            own = _by_family(address, "own4", "own6")
            sender = number(_bits(mac) << 16 | (0x0800 if address.version == 4 else 0x86DD))
            yield f"apart_{own}" if port.guarding.isolated else own, (sender, number(int(address)))
            for arp_mac in port.every_mac if address.version == 4 else ():
                yield "arp_sender", (mac, arp_mac, str(address))
    for subnet in port.prefixes:
        for mac in port.every_mac:
            yield _by_family(subnet, "behind4", "behind6"), (mac, prefix(subnet))


def _nested(port: GuardedPort) -> Iterator[Element]:
    """What guests inside may use: the further addresses and subnets of the NIC."""
    for subnet in port.guarding.also:
        whole = str(subnet.network_address) if subnet.num_addresses == 1 else prefix(subnet)
        yield _by_family(subnet, "nested4", "nested6"), (whole,)
        if subnet.version == 6 and subnet.num_addresses == 1:
            yield "nested_target", (number(int(subnet.network_address)),)


def _by_family(one: IpAddress | IpNetwork, four: str, six: str) -> str:
    return four if one.version == 4 else six


def _bits(mac: Mac) -> int:
    return int(mac.replace(":", ""), 16)
