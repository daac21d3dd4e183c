"""What a host's network is, in the kernel's own terms, as one frozen value.

The same type says what is (observed), what shall be (wanted) and what was (checkpoint), so there is one diff.
Facts that belong to the moment and not to the configuration (carrier, indexes, remaining lifetimes) are kept
for the pictures and the messages, but do not take part in comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from bascule.model.links import Bridge, BridgePort, LinkOptions
from bascule.model.values import IfName, Mac
from bascule.records import dataclass

MARK = "bascule:"  # the alias of every link that Bascule made starts with it; nothing without it is ever deleted
FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}  # whether a host routes, by IP version


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Address:
    """An address on a link: ``ip`` is written with its prefix length, as in 192.168.1.10/24.

    ``dynamic`` ones have a lifetime (a DHCP lease, SLAAC); ``valid_s`` and ``preferred_s`` are the seconds that
    remain, None for ever.
    """

    ip: str
    scope: str = "global"
    broadcast: str = ""
    peer: str = ""
    label: str = ""
    metric: int = 0
    flags: tuple[str, ...] = ()  # of noprefixroute, nodad, home, mngtmpaddr, autojoin, temporary, deprecated…
    dynamic: bool = False
    valid_s: int | None = field(default=None, compare=False)
    preferred_s: int | None = field(default=None, compare=False)

    @property
    def is_link_local(self) -> bool:
        """Made by the kernel on its own (fe80::/10)."""
        return self.ip.startswith("fe80:")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Route:
    """A route that the kernel did not make by itself. ``dst`` is a prefix; the default is 0.0.0.0/0 or ::/0."""

    dst: str
    dev: str = ""
    gateway: str = ""
    table: str = "main"
    metric: int = 0
    prefsrc: str = ""
    protocol: str = "boot"
    scope: str = "global"
    kind: str = "unicast"
    flags: tuple[str, ...] = ()  # onlink…
    nexthops: tuple[str, ...] = ()  # of a multipath route, each as `nexthop …` words of ip-route(8)
    extra: tuple[str, ...] = ()  # further words for `ip route add` (mtu 1400…)
    expires_s: int | None = field(default=None, compare=False)

    @property
    def is_ipv6(self) -> bool:
        """The family follows from the destination."""
        return ":" in self.dst


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rule:
    """A policy routing rule (ip-rule(8)), as the words that would make it."""

    priority: int
    words: tuple[str, ...]
    ipv6: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortVlans:
    """A range of VLANs on a bridge port or on the bridge itself."""

    first: int
    last: int
    pvid: bool = False
    untagged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One network interface."""

    name: IfName
    options: LinkOptions
    up: bool = False
    mac: Mac | None = None
    mtu: int = 1500
    master: IfName | None = None
    parent: IfName | None = None  # what a VLAN or macvtap sits on; the peer of a veth in the same namespace
    port: BridgePort | None = None
    vlans: tuple[PortVlans, ...] = ()
    addresses: tuple[Address, ...] = ()
    addrgenmode: str = "eui64"
    alias: str = ""
    altnames: tuple[str, ...] = ()
    group: str = "default"  # ip-link(8): links of one group can be deleted in one go
    index: int = field(default=0, compare=False)
    carrier: bool = field(default=False, compare=False)
    operstate: str = field(default="", compare=False)
    stp_port_state: str = field(default="", compare=False)
    permanent_mac: Mac | None = field(default=None, compare=False)
    bus: str = field(default="", compare=False)  # "pci/0000:03:00.0" of hardware
    wireless: bool = field(default=False, compare=False)

    @property
    def is_bridge(self) -> bool:
        """Whether other links can be its ports."""
        return isinstance(self.options, Bridge)

    @property
    def is_ours(self) -> bool:
        """Whether it carries Bascule's mark."""
        return self.alias.startswith(MARK)


def _frozen(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(dict(mapping))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """A host's network: links by name, routes, rules, the sysctls that were asked for, and our nft tables.

    ``sysctls`` maps a path below /proc/sys with slashes (``net/ipv4/ip_forward``) to its text. ``tables`` maps
    ``family name`` of each nft table that Bascule owns to its rules as nft's own text.
    """

    links: Mapping[IfName, Link] = field(default_factory=lambda: MappingProxyType({}))
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    _ports: dict[str, tuple[Link, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("links", "sysctls", "tables"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        object.__setattr__(self, "routes", tuple(sorted(self.routes)))
        object.__setattr__(self, "rules", tuple(sorted(self.rules)))

    @classmethod
    def of(cls, links: Iterable[Link], **rest: Any) -> HostState:
        """A state from links in any order."""
        return cls(links={link.name: link for link in links}, **rest)

    @property
    def has_ipv6(self) -> bool:
        """Whether the kernel speaks IPv6."""
        return FORWARDING[6] in self.sysctls

    def ports(self, bridge: str) -> tuple[Link, ...]:
        """The links whose master is ``bridge``, in the order of their names."""
        if not self._ports:  # of all masters at once: a host of a thousand bridges is asked for each
            found: dict[str, list[Link]] = {"": []}
            for link in sorted((x for x in self.links.values() if x.master), key=lambda x: x.name):
                found.setdefault(link.master or "", []).append(link)
            self._ports.update((master, tuple(links)) for master, links in found.items())
        return self._ports.get(bridge, ())


def link_of(sysctl: str) -> str:
    """The link that a kernel parameter belongs to, empty when it belongs to none."""
    parts = sysctl.split("/")
    return parts[3] if len(parts) > 4 and parts[0] == "net" and parts[2] in {"conf", "neigh"} else ""
