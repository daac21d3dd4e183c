"""Second halves of IPv6 addresses that somebody has set for a link (ip-token(8)), which ip(8) shows beside the link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Interface
from typing import Any

from msgspec.structs import replace

from bascule.model.state import HostState, Link
from bascule.model.values import interface_id
from bascule.system.net.netns import Namespace
from bascule.system.run import rows

TOKENS = ("ip", "-j", "token")
HALF = (1 << 64) - 1


def with_tokens(state: HostState, namespace: Namespace | None) -> HostState:
    """The state with the token of each link; nobody is asked where every link makes its addresses of its MAC."""
    if not any(map(_makes_others, state.links.values())):
        return state
    told = tokens_of_links(rows(TOKENS, namespace=namespace))
    links = {
        name: replace(link, facts=replace(link.facts, token=told[name])) if name in told else link
        for name, link in state.links.items()
    }
    return replace(state, links=links)


def tokens_of_links(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What somebody has set, by link; ip(8) shows "::" where nobody has."""
    return {row["ifname"]: row["token"] for row in listed if row.get("token", "::") != "::"}


def _makes_others(link: Link) -> bool:
    """Whether it made an address of an advertised prefix that is not of its MAC (RFC 4291, appendix A)."""
    if link.addrgenmode != "eui64" or link.mac is None:
        return False
    own = int.from_bytes(interface_id(link.mac))
    made = (one.ip for one in link.addresses if one.dynamic and "mngtmpaddr" in one.flags)
    return any(int(IPv6Interface(ip).ip) & HALF != own for ip in made)
