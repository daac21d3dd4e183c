"""dhcpcd.conf(5): addresses, name servers and what is not used of a lease, beside the files of whoever makes the links.

On a Raspberry Pi networkd or ifupdown makes the bridge, and dhcpcd gives it its address. Only what stands below
``interface NAME`` is taken: that dhcpcd asks on every other link too, shows on the running host alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from msgspec.structs import replace

from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import LISTENING, Ipv6
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.foreign.dhclient import READ_BY
from bascule.persist.formats.builder import Builder, LinkDraft
from bascule.persist.formats.values import (
    default_of,
    parse_address,
    parse_ip,
    parse_mtu,
    parse_number,
    parse_prefix,
    words,
)
from bascule.persist.parsed import Files, Parsed, UnparsedLines

FILE = "etc/dhcpcd.conf"
_DENY = "denyinterfaces "
_SILENT = words(  # in the file that its package brings, or who it is to its server, or how long it waits
    """
    hostname clientid duid persistent vendorclassid option require slaac nohook controlgroup allowinterfaces
    denyinterfaces timeout reboot background waitip ipv4ll noipv4ll noarp debug quiet hostname_short release nodelay
    ipv4 ipv6 dhcp dhcp6 gateway
    """
)
_NOT_USED: Mapping[str, tuple[tuple[Offer, int], ...]] = {  # lines, or options of 'nooption'
    "nogateway": ((Offer.GATEWAY, 4), (Offer.GATEWAY, 6)),
    "nohook resolv.conf": ((Offer.DNS, 4), (Offer.DNS, 6)),
    "routers": ((Offer.GATEWAY, 4),),
    "classless_static_routes": ((Offer.ROUTES, 4),),
    "domain_name_servers": ((Offer.DNS, 4),),
    "dhcp6_name_servers": ((Offer.DNS, 6),),
}


def with_dhcpcd(parsed: Parsed, files: Files) -> Parsed:
    """What the files of a dialect say, and what dhcpcd adds to it."""
    if FILE not in files:
        return parsed
    builder = Builder()
    _read(files[FILE], builder)
    own = builder.finish()
    links, left = {**parsed.config.links}, UnparsedLines()
    for name, mine in own.config.links.items():
        theirs, line = links.get(name), own.places[name][1]
        if theirs is None:
            links[name] = mine
        elif theirs.master is not None:
            left.add(FILE, line, f"interface {name}", f"it is a port of {theirs.master}")
        else:
            links[name] = _both(theirs, mine)
            if mine.dhcp4 and theirs.addresses and not theirs.dhcp4:
                rank = f" metric {mine.metric}" if mine.metric else ""
                left.add(FILE, line, f"interface {name}{rank}", "no lease is asked for: its address is written down")
    config = parsed.config
    return replace(
        parsed,
        config=config.with_links(links.values()),
        left=tuple(sorted({*parsed.left, *own.left, *left.done()})),
        places={**own.places, **parsed.places},
        passed=(*parsed.passed, *own.passed),
    )


def configured(files: Files, links: Iterable[LinkConfig]) -> Iterator[IfName]:
    """The links that a dhcpcd for all links configures by its file: all but bridges (src/if-linux.c, if_ignore).

    A bridge counts where the file has a block for it, and no link where ``denyinterfaces`` or ``allowinterfaces`` of
    dhcpcd.conf(5) keep it away.
    """
    said: dict[str, list[str]] = {"denyinterfaces": [], "allowinterfaces": [], "interface": []}
    for raw in files.get(FILE, "").splitlines():
        key, *rest = raw.partition("#")[0].split() or [""]
        said.get(key, []).extend(rest)
    denied, allowed = ([*said[key]] for key in ("denyinterfaces", "allowinterfaces"))
    for link in links:
        is_seen = link.name in said["interface"] or not link.is_bridge
        is_denied = any(fnmatchcase(link.name, pattern) for pattern in denied)
        if is_seen and not is_denied and (not allowed or any(fnmatchcase(link.name, each) for each in allowed)):
            yield link.name


def kept_away(files: Files, config: NetworkConfig, dialect: str) -> tuple[Files, tuple[IfName, ...]]:
    """The file with a line that keeps dhcpcd away from the links that it would configure, and those.

    Not from one for which the dialect itself may ask by dhcpcd: the line would hold for that as well.
    """
    away = [link for link in config.links.values() if not (link.dhcp4 and dialect in READ_BY)]
    names = tuple(sorted(configured(files, away))) if FILE in files else ()
    return ({FILE: f"{_DENY}{' '.join(names)}\n{files[FILE]}"} if names else {}), names


def still_denied(now: str, moved: str, left: Iterable[IfName]) -> tuple[bool, tuple[IfName, ...]]:
    """Of the links that the site file has no more those that dhcpcd is still kept away from, by a line of ours.

    And whether the file is as it was ``moved`` but for such lines, so that it can come back.
    """
    added = now.removesuffix(moved).splitlines()
    is_whole = now.endswith(moved) and all(line.startswith(_DENY) for line in added)
    lines = added if is_whole else now.splitlines()
    denied = {word for line in lines if line.startswith(_DENY) for word in line.split()[1:]}
    own = {word for line in moved.splitlines() if line.startswith(_DENY) for word in line.split()[1:]}
    return is_whole, tuple(sorted(name for name in left if name in denied - own))


def twice(files: Files, config: NetworkConfig, dialect: str, starts: str) -> Iterator[tuple[IfName, str]]:
    """A sentence for each link that dhcpcd, which ``starts`` brings up, configures beside the files of the dialect."""
    taken = kept_away(files, config, dialect)[1]
    for name in configured(files, config.links.values()):
        if name not in taken:
            words = f"'systemctl disable dhcpcd', or 'denyinterfaces {name}' in /{FILE} if no other client is dhcpcd"
            yield name, f"dhcpcd configures it as well when the machine starts ({starts}): {words}"


def _both(theirs: LinkConfig, mine: LinkConfig) -> LinkConfig:
    """A link that others make and dhcpcd speaks on; where they give it an address, it asks for none."""
    return replace(
        theirs,
        dhcp4=theirs.dhcp4 or (mine.dhcp4 and not theirs.addresses),
        metric=theirs.metric if theirs.metric is not None else mine.metric,
        unused=theirs.unused | mine.unused,
        ipv6=theirs.ipv6 if theirs.has_address else mine.ipv6,
        addresses=(*theirs.addresses, *mine.addresses),
        routes=(*theirs.routes, *mine.routes),
        dns=(*theirs.dns, *mine.dns),
        search=(*theirs.search, *mine.search),
        mtu=theirs.mtu or mine.mtu,
    )


def _read(text: str, builder: Builder) -> None:
    """The blocks; what stands above the first is true of every link."""
    of_all: list[tuple[int, str]] = []
    blocks: list[tuple[LinkDraft, list[tuple[int, str]]]] = []
    lines, at_times = of_all, False
    for number, raw in enumerate(text.splitlines(), 1):
        line = " ".join(raw.partition("#")[0].split())
        key, _, name = line.partition(" ")
        at_times = key in {"ssid", "profile"} or (at_times and key != "interface")
        if at_times and line:
            builder.left.add(FILE, number, line, "what is true only at times is not supported")
        elif key == "interface":
            lines = []
            with builder.left.unless_taken(FILE, number, line):
                blocks.append((builder.draft(name, FILE, number), lines))
        elif line:
            lines.append((number, line))
    for draft, own in blocks:
        _InterfaceBlock(builder, draft).read([*of_all, *own])
    for number, line in of_all if not blocks else ():
        if line.partition(" ")[0] not in _SILENT:
            builder.left.add(FILE, number, line, "of dhcpcd for all links, and no interface is named")


class _InterfaceBlock:
    """What is said of one link."""

    def __init__(self, builder: Builder, draft: LinkDraft) -> None:
        self.builder = builder
        self.draft = draft
        self.families = {4, 6}  # that dhcpcd asks for
        self.gateways: list[str] = []
        self.metric = 0

    def read(self, lines: list[tuple[int, str]]) -> None:
        draft = self.draft
        draft.ipv6 = Ipv6.AUTO  # dhcpcd listens to routers, and asks for an address where they say so
        for number, line in lines:
            with self.builder.left.unless_taken(FILE, number, f"{draft.name}: {line}"):
                if not self._line(line):
                    raise ValueError("not taken")
        draft.dhcp4 = 4 in self.families and not any(":" not in address for address in draft.addresses)
        if 6 not in self.families:
            draft.ipv6 = Ipv6.MANUAL
        draft.metric = self.metric or None
        if (Offer.GATEWAY, 4) not in draft.unused:
            draft.routes += [StaticRoute(dst=default_of(way), gateway=way, metric=self.metric) for way in self.gateways]
        offered = {4: draft.dhcp4, 6: draft.ipv6 in LISTENING}
        draft.unused = {one for one in draft.unused if offered[one[1]]}

    def _line(self, line: str) -> bool:
        """Whether it is understood. Raises ValueError for a value that is none."""
        key, _, rest = line.partition(" ")
        if key in {"static", "inform", "inform6"}:
            name, _, value = rest.partition("=") if key == "static" else ("ip_address", "", rest)
            return self._static(name.strip(), value.strip())
        if line in _NOT_USED or key == "nooption":
            gone = [line] if line in _NOT_USED else rest.replace(",", " ").split()
            self.draft.unused |= {one for word in gone for one in _NOT_USED.get(word, ())}
            return all(word in _NOT_USED for word in gone)
        if key in {"metric", "mtu"}:
            self.metric = parse_number(rest) if key == "metric" else self.metric
            self.draft.mtu = parse_mtu(rest) if key == "mtu" else self.draft.mtu
            return True
        if line in {"noipv6", "ipv4only", "noipv6rs", "nodhcp", "noipv4", "ipv6only"}:
            self.families -= {4} if line in {"nodhcp", "noipv4", "ipv6only"} else {6}
            return True
        return key in _SILENT

    def _static(self, name: str, value: str) -> bool:
        draft, several = self.draft, value.replace(",", " ").split()
        if name in {"ip_address", "ip6_address"}:
            draft.addresses += [parse_address(word, "64" if name == "ip6_address" else "24") for word in several]
        elif name == "routers":
            self.gateways += map(parse_ip, several)
        elif name in {"domain_name_servers", "dhcp6_name_servers"}:
            draft.dns += map(parse_ip, several)
        elif name in {"domain_name", "domain_search"}:
            draft.search += several
        elif name == "interface_mtu":
            draft.mtu = parse_mtu(value)
        elif name in {"routes", "static_routes", "classless_static_routes"}:
            ways = zip(several[::2], several[1::2], strict=True)
            draft.routes += [StaticRoute(dst=parse_prefix(to), gateway=parse_ip(way)) for to, way in ways]
        else:
            return name in {"subnet_mask", "broadcast_address"}
        return True
