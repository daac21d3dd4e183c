"""Routes and policy rules of a host as the site file writes them."""

from typing import Annotated

from pydantic import ConfigDict, Field

from bascule.model.host_links import RULE_ENDS
from bascule.model.values import parse_ip_protocol, parse_span
from bascule.site import scalars as s
from bascule.site.entry import Entry

_SPAN = {"type": ["string", "integer"], "pattern": "^[0-9]{1,10}(-[0-9]{1,10})?$"}
IpProtocol = Annotated[
    str,
    s.Scalar(
        "TYPE",
        "a protocol of IP",
        parse_ip_protocol,
        {"type": ["string", "integer"], "pattern": "^([a-z][a-z0-9.-]{1,15}|[0-9]{1,3})$", "examples": ["tcp"]},
        "write tcp, udp, icmp, or a number from 1 to 255",
    ),
]
PortSpan = Annotated[
    str,
    s.Scalar(
        "TYPE",
        "a port or a range of ports",
        lambda text: parse_span(text, 65535),
        _SPAN | {"examples": [443, "1000-1999"]},
        "write 80, or 1000-1999",
    ),
]
UserSpan = Annotated[
    str,
    s.Scalar(
        "TYPE",
        "a user's number or a range of them",
        lambda text: parse_span(text, s.U32, always=True),
        _SPAN | {"examples": ["1000-1999"]},
        "write 1000, or 1000-1999",
    ),
]
PrefixLength = Annotated[int, s.number("TYPE", "a prefix length", 0, 128, 0, called="the prefix length ")]


class Route(Entry):
    """A network that lies behind a router."""

    model_config = ConfigDict(title="a route")

    to: s.Subnet = Field(description="The network behind the router.")
    via: s.Address = Field(description="The next hop, on this link's network.")
    metric: s.Metric | None = Field(None, description="Of several routes to one network the lowest is used.")


class LinkRoute(Entry):
    """A network that the host reaches over this link."""

    model_config = ConfigDict(title="a route of a host")

    to: s.Subnet = Field(description="The network.")
    via: s.Address | None = Field(None, description="The next hop; without one the network is on-link here.")
    metric: s.Metric | None = Field(None, description="Of several routes to one network the lowest is used.")
    table: s.Table | None = Field(None, description="The routing table, where it is not the main one (see `rules`).")
    onlink: s.Boolean = Field(False, description="The next hop is on-link though no prefix here contains it.")
    src: s.Address | None = Field(None, description="The preferred source: which of its addresses the host sends from.")


class PolicyRule(Entry):
    """Which packets are routed by which table, or not at all; rules are looked up in the order of their priorities."""

    model_config = ConfigDict(title="a policy rule")

    priority: s.Priority = Field(description="The lowest is looked up first; the main table has 32766.")
    table: s.Table | None = Field(None, description="The routing table.")
    action: Annotated[str, s.choice(*RULE_ENDS, noun="an action of a rule")] | None = Field(
        None, description="In place of a table: the packets are dropped (blackhole) or refused (unreachable, prohibit)."
    )
    from_: s.Subnet | None = Field(None, alias="from", description="Packets from these addresses.")
    to: s.Subnet | None = Field(None, description="Packets to these addresses.")
    iif: s.Text | None = Field(None, description="Packets that come in on this link; 'lo' are the host's own.")
    fwmark: s.Fwmark | None = Field(None, description="Packets with this firewall mark, as 0x10 or 0x10/0xff.")
    oif: s.Text | None = Field(None, description="Packets of a socket that is bound to this link.")
    ipproto: IpProtocol | None = Field(None, description="Packets of this protocol: tcp, udp, icmp, or its number.")
    sport: PortSpan | None = Field(None, description="Packets from this port, or from a range of them.")
    dport: PortSpan | None = Field(None, description="Packets to this port, or to a range of them.")
    uidrange: UserSpan | None = Field(None, description="Packets of these users of the host, by their numbers.")
    not_: s.Boolean = Field(False, alias="not", description="All packets but those that fit the rest.")
    suppress_prefixlength: PrefixLength | None = Field(
        None, description="A route that it finds counts only with a longer prefix: 0 for all but the default route."
    )
    family: Annotated[str, s.choice("ipv4", "ipv6", noun="an address family")] | None = Field(
        None, description="Where neither 'from' nor 'to' shows it; ipv4 if not given."
    )
