"""Who shares a NIC by macvtap: its frames go past the host, out by the NIC or over to another that shares it.

Measured with macvlan, which is the same driver (Linux 6.18): of the modes only bridge passes frames between two who
share a NIC; vepa leaves that to the switch outside; none passes anything between them and the host on that NIC.
"""

from __future__ import annotations

from bascule.model.links.plain import Macvtap
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork, WireEnd

Told = tuple[Certainty, str]


def shared_nic(network: HostNetwork, end: WireEnd | None) -> str:
    """The NIC that an end shares by macvtap, empty where it shares none."""
    link = network.link(end.port) if end is not None else None
    return str(link.parent or "") if link is not None and isinstance(link.options, Macvtap) else ""


def passed(network: HostNetwork, source: WireEnd | None, target: WireEnd | None, version: int, address: int) -> Told:
    """Whether frames pass between two of whom at least one shares a NIC by macvtap, and why."""
    ends = (source, target)
    nics = [shared_nic(network, end) for end in ends]
    nic = nics[0] or nics[1]
    sharing = next(end for end, own in zip(ends, nics, strict=True) if end is not None and own)
    if any(_mode(network, end) == IPVLAN for end in ends):
        return Certainty.UNKNOWN, f"{sharing.name} is on {nic} by ipvlan, which the model does not cover"
    if None in ends:
        return _with_host(network, nic, sharing, version, address, from_host=source is None)
    assert source is not None and target is not None  # just seen
    near = source.next_hop(version, address) == address
    other = target if sharing is source else source
    outside = other.outside and other.port == nic
    if not near or not (outside or nics[0] == nics[1]):
        return (
            Certainty.UNKNOWN,
            f"{sharing.name} shares {nic} by macvtap, and the model does not cover what is between",
        )
    for name in dict.fromkeys((*(end.port for end, own in zip(ends, nics, strict=True) if end and own), nic)):
        link = network.link(name)
        if link is None or (link.facts.index and network.why_dead(link)):  # one that is planned comes up
            return Certainty.NO, f"{name} is down, by which {sharing.name} is on the wire"
        if name in network.traffic_control or any(network.rules.at("netdev", hook, name) for hook in HOOKS):
            return Certainty.UNKNOWN, f"there are rules at {name} itself, which the model does not cover here"
    if outside:
        return Certainty.YES, f"{sharing.name} is on the wire of {nic} by macvtap, which bypasses the host"
    modes = {mode for end in ends if (mode := _mode(network, end))}
    if modes == {"bridge"}:
        return Certainty.YES, f"both share {nic} by macvtap in mode bridge"
    if "private" in modes:
        return Certainty.NO, f"both share {nic} by macvtap, in mode private, which passes nothing between them"
    return (
        Certainty.UNKNOWN,
        f"both share {nic} by macvtap: whether a switch sends frames back there is not known",
    )


HOOKS = ("ingress", "egress")
IPVLAN = "ipvlan"  # in place of a macvlan's mode


def _mode(network: HostNetwork, end: WireEnd | None) -> str:
    link = network.link(end.port) if end is not None else None
    return link.options.mode if link is not None and isinstance(link.options, Macvtap) else ""


def _with_host(
    network: HostNetwork, nic: str, sharing: WireEnd, version: int, address: int, *, from_host: bool
) -> Told:
    """Between the host and one who shares its NIC: nothing passes there, and another way leads over the wire."""
    if from_host:
        hop = network.routes(version).find(address)
        straight = hop.link == nic and not hop.gateway
    else:
        straight = nic in network.own_addresses.get((version, address), ())
    if straight:
        return Certainty.NO, f"{sharing.name} shares {nic} by macvtap, which passes nothing between the host and it"
    return (
        Certainty.UNKNOWN,
        f"{sharing.name} shares {nic} by macvtap, and the way between its wire and the host is unknown",
    )
