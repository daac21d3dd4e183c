"""Which foreign files are in the way of what will be written, and whether moving them changes anything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from bascule.errors import Problem
from bascule.model.host_links import LISTENING, Ipv6
from bascule.model.values import IfName
from bascule.persist.compare import differences
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import Dialect
from bascule.persist.formats.rules import is_same_rule, rule_words
from bascule.persist.parsed import Below, Files, Hardware, Parsed

EMPTY: Below = MappingProxyType({})

ASKING: Mapping[str, Callable[[LinkConfig], bool]] = {
    "DHCP for IPv4": lambda link: link.dhcp4,
    "DHCP for IPv6": lambda link: link.ipv6 is Ipv6.DHCP,
    "router advertisements": lambda link: link.ipv6 in LISTENING,
}
CULPRITS_MAX = 50  # files that are looked at one by one for the one that is in the way


def left_alone(config: NetworkConfig, theirs: NetworkConfig) -> frozenset[IfName]:
    """The links that foreign files configure exactly as wanted.

    Each only together with everything that it hangs on, and that hangs on it.
    """
    same = {name for name, link in theirs.links.items() if config.links.get(name) == link}
    while apart := {name for name in same if not _neighbours(config.links[name], config) <= same}:
        same -= apart
    return frozenset(same)


def _neighbours(link: LinkConfig, config: NetworkConfig) -> set[str]:
    near = {name for name in (link.master, link.parent) if name}
    return near | {other.name for other in config.links.values() if link.name in {other.master, other.parent}}


def not_as_wanted(
    dialect: Dialect,
    config: NetworkConfig,
    after: Files,
    hardware: Hardware,
    below: Below = EMPTY,
    foreign: Collection[str] = (),
) -> list[Problem]:
    """Read everything as it will lie there, and name each link that would not come out as wanted.

    ``below`` are the files of packages and generators that are read with them, ``foreign`` the paths of those of
    others among them.
    """
    everything = dialect.in_effect(after, below)
    result = dialect.parse(everything, hardware).config
    problems = []
    for name, want in config.links.items():
        have = result.links.get(name)
        if have == want:
            continue
        if have is None:
            message = f"what Bascule would write for {name} would not be read"
            hint = f"see that /{next(iter(dialect.scaffold), 'etc')} includes it: source /etc/network/interfaces.d/*"
        else:
            told = list(differences(name, want, have, "wanted", "with the other files that are there"))
            rest = ((path, {**everything}) for path in sorted({*foreign, *below} & everything.keys())[:CULPRITS_MAX])
            alone = {path: dialect.parse(files, hardware) for path, files in rest if files.pop(path)}
            culprits = [path for path, said in alone.items() if said.config.links.get(name) == want]
            who = " or ".join(f"'/{below[path][0] if path in below else path}'" for path in culprits) or "other files"
            message = f"{who} would change what Bascule writes for {name}"
            message += f" ({told[0].partition(': ')[2]})" if told else ""
            hint = "it configures more than this link, so it cannot be moved aside: bascule import shows what it says"
            if any(path in below for path in culprits):
                hint = f"it is a package's or a generator's, so it is not moved: remove it, or take {name} out of it"
        problems.append(Problem(code="FILE-FOREIGN", message=message, hint=hint))
    return problems


def of_others(
    dialect: Dialect, config: NetworkConfig, before: Parsed, after: Files, hardware: Hardware, taken: Collection[str]
) -> list[Problem]:
    """A problem for each link that is not ours and that would come out otherwise, once these files are moved."""
    if not taken:
        return []
    result = dialect.parse(after, hardware).config
    where = " or ".join(f"'/{path}'" for path in sorted(taken))
    problems = []
    for name, have in before.config.links.items():
        if name in config.links or result.links.get(name) == have:
            continue
        message = f"to move {where} aside for this change would also change {name}, which the site file does not name"
        hint = f"take {name} into the site file (bascule import shows it), or write it into a file of its own"
        problems.append(Problem(code="FILE-SHARED", message=message, hint=hint))
    return problems


def lost_lines(before: Parsed, result: Parsed, path: str) -> tuple[str, ...]:
    """What stands in a moved file, is nowhere any more, and no part of a configuration that Bascule knows."""
    still = {(left.file, left.text) for left in result.left}
    return tuple(
        f"line {left.line}: {left.text}"
        for left in before.left
        if left.file == path and left.line and (left.file, left.text) not in still
    )


def lost_words(before: NetworkConfig, after: NetworkConfig, ours: Collection[IfName]) -> Iterator[tuple[str, str]]:
    """What the files said of our links and will not say any more: addresses, routes, rules, name servers, MTU.

    Each with the link that it was said of, or with none.
    """
    had, has = ([link for name, link in config.links.items() if name in ours] for config in (before, after))
    for word, one in (("name server", "dns"), ("search domain", "search"), ("address", "addresses")):
        there = {text for link in has for text in getattr(link, one)}
        for link in had:
            yield from (
                (link.name, f"{word} {text} of {link.name}") for text in getattr(link, one) if text not in there
            )
    routes = {(route.dst, route.gateway) for link in has for route in link.routes}
    for link in had:
        for route in link.routes:
            if (route.dst, route.gateway) not in routes:
                via = f" via {route.gateway}" if route.gateway else ""
                yield link.name, f"route to {route.dst}{via} of {link.name}"
    for rule in before.rules:
        if not any(is_same_rule(one, rule) for one in after.rules):
            yield "", f"rule {rule_words(rule)}"
    for word, asks in ASKING.items():
        if not any(map(asks, has)):
            yield from ((link.name, f"{word} of {link.name}") for link in had if asks(link))
    for link in had:
        now = {one.name: one for one in has}.get(link.name, link)
        if link.mtu not in {None, now.mtu}:
            yield link.name, f"MTU {link.mtu} of {link.name}"
        if link.wol not in {None, now.wol}:
            yield link.name, f"wake-on-LAN ({', '.join(link.wol) or 'off'}) of {link.name}"
        if link.mac is not None and not any(link.mac == one.mac for one in has):
            yield link.name, f"MAC {link.mac} of {link.name}"
