"""The rules of a virtual network, in a table of its own.

They say what libvirt's four modes mean (libvirt.org/formatnetwork.html#connectivity), so that a network that Bascule
makes by itself gives the same verdicts as the one that libvirt makes. They match by ``iifname``: the bridge may go and
come back, and the rules still hold. They accept nothing for others: a packet that another table drops stays dropped.
"""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.rules import (
    Chain,
    Ct,
    Fib,
    Hook,
    Mangle,
    Match,
    Meta,
    Nat,
    Payload,
    Prefix,
    Range,
    Reject,
    Rule,
    Statement,
    Table,
    VerdictStatement,
)
from bascule.model.site import Mode
from bascule.model.values import IpAddress, IpNetwork
from bascule.plan.virtual_network import ResolvedNetwork

FAMILY = "inet"
TABLE_PREFIX = "bascule_"  # of the name of a network's table
HOOKS = {
    "forward": Hook("filter", "forward", 0),
    "prerouting": Hook("nat", "prerouting", -100),
    "output": Hook("nat", "output", -100),
    "postrouting": Hook("nat", "postrouting", 100),
    "checksum": Hook("filter", "postrouting", 0),  # a nat chain sees only the first packet of a connection
}
ACCEPT, RETURN, REJECT, MASQUERADE = VerdictStatement("accept"), VerdictStatement("return"), Reject(), Nat("masquerade")
UNPRIVILEGED = Range(1024, 65535)
NOT_MASQUERADED = {4: (Prefix("224.0.0.0", 24), "255.255.255.255"), 6: (Prefix("ff02::", 16),)}


def table_key(network: str) -> str:
    """The table of a virtual network, as ``HostState.tables`` names it."""
    return f"{FAMILY} {TABLE_PREFIX}{network}"


def network_table(one: ResolvedNetwork, mark: str) -> Table | None:
    """The network's own table; None for `open` without forwards and without DHCP, which has no rules at all."""
    chains = (
        Chain(name, rules, HOOKS[name])
        for name, rules in (
            ("forward", tuple(_forward(one))),
            ("prerouting", tuple(_dnat(one))),
            ("output", tuple(_dnat(one, local=True))),
            ("postrouting", tuple(_postrouting(one))),
            ("checksum", tuple(_checksum(one))),
        )
        if rules
    )
    return Table(FAMILY, TABLE_PREFIX + one.name, found, mark=mark) if (found := tuple(chains)) else None


def _family(subnet: IpNetwork | IpAddress) -> str:
    return "ip" if subnet.version == 4 else "ip6"


def _source(subnet: IpNetwork) -> Match:
    return match(Payload(_family(subnet), "saddr"), prefix(subnet))


def _destination(subnet: IpNetwork, operator: str = "==") -> Match:
    return match(Payload(_family(subnet), "daddr"), prefix(subnet), operator=operator)


def prefix(subnet: IpNetwork) -> Prefix:
    """A subnet as a value of rules."""
    return Prefix(str(subnet.network_address), subnet.prefixlen)


def _forward(one: ResolvedNetwork) -> Iterator[Rule]:
    into, out_of = match(Meta("oifname"), one.bridge), match(Meta("iifname"), one.bridge)
    if one.mode is Mode.OPEN:
        return
    yield Rule((out_of, into, ACCEPT))
    if one.mode is not Mode.ISOLATED:
        for subnet in one.subnets:
            answers = (match(Ct("state"), "established", "related", operator="in"),) if one.mode is Mode.NAT else ()
            yield Rule((into, _destination(subnet), *answers, ACCEPT))
            yield Rule((out_of, _source(subnet), ACCEPT))
    if one.forwards:
        yield Rule((into, match(Ct("status"), "dnat", operator="in"), ACCEPT))
    yield Rule((into, REJECT))
    yield Rule((out_of, REJECT))


def _dnat(one: ResolvedNetwork, *, local: bool = False) -> Iterator[Rule]:
    """A port of any of the host's own addresses. Loopback ones stay out: the kernel routes nothing from 127.0.0.0/8."""
    for forward in one.forwards:
        family, service = _family(forward.address), forward.service
        here: tuple[Statement, ...] = (match(Fib(("daddr",), "type"), "local"),)
        if local:
            loopback = Prefix("127.0.0.0", 8) if family == "ip" else "::1"
            here = (*here, match(Payload(family, "daddr"), loopback, operator="!="))
        port, address = Payload(service.protocol, "dport"), str(forward.address)
        if forward.host_ports == service.ports:  # one rule, and the port stays as it is
            span = match(port, Range(service.ports[0], service.ports[-1]))
            yield Rule((*here, span, Nat("dnat", family, address)))
            continue
        for outer, inner in zip(forward.host_ports, service.ports, strict=True):
            yield Rule((*here, match(port, outer), Nat("dnat", family, address, inner)))


def _postrouting(one: ResolvedNetwork) -> Iterator[Rule]:
    into = match(Meta("oifname"), one.bridge)
    # a sibling that asks the host's port must be answered through the host, not directly; by source and not by
    # iifname, for where br_netfilter sees the packet on the bridge it has no input link left at this hook
    for subnet in one.subnets if one.forwards else ():
        yield Rule((into, _source(subnet), match(Ct("status"), "dnat", operator="in"), MASQUERADE))
    for subnet in one.subnets if one.mode is Mode.NAT else ():
        for group in NOT_MASQUERADED[subnet.version]:
            yield Rule((_source(subnet), match(Payload(_family(subnet), "daddr"), group), RETURN))
        out = (_source(subnet), _destination(subnet, "!="))
        for protocol in ("tcp", "udp"):
            # not below 1024: a guest must not speak from the host's privileged ports (NFS trusts them)
            yield Rule((match(Meta("l4proto"), protocol), *out, Nat("masquerade", port=UNPRIVILEGED)))
        yield Rule((*out, MASQUERADE))


def _checksum(one: ResolvedNetwork) -> Iterator[Rule]:
    """No UDP checksum in the answers of the network's DHCP server.

    What a host sends itself leaves the checksum to the NIC, and vhost hands it to the guest unfilled. A DHCP client
    that reads whole frames and passes over the note beside them (TP_STATUS_CSUMNOTREADY, packet(7)) sees a wrong
    checksum and drops the offer. Zero says that there is none (RFC 768). IPv6 allows no such thing, and DHCPv6
    clients have ordinary sockets, for which the guest's kernel knows.
    """
    if any(first.version == 4 for first, _ in one.ranges):
        to_client = match(Meta("nfproto"), "ipv4"), match(Payload("udp", "dport"), 68)
        yield Rule((match(Meta("oifname"), one.bridge), *to_client, Mangle(Payload("udp", "checksum"), 0)))
