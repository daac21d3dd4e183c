"""[Match] of a unit: which links it means, by systemd.network(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from msgspec.structs import replace

from bascule.model.values import Mac, parse_ifname, parse_mac
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.ini import Item, Section
from bascule.persist.formats.values import parse_ip, words

Located = tuple[str, Section]  # a section and the file that it stands in

GLOB = set("*?[!")
_NAMES = words("Name OriginalName")
_MACS = words("MACAddress PermanentMACAddress")
_OF_THE_HOST = words("Host Virtualization KernelCommandLine KernelVersion Version Credential Architecture Firmware")


def match_items(sections: Iterable[Located]) -> list[Item]:
    """All conditions of a unit: a key adds to its list, and empties it without a value."""
    found: dict[str, Item] = {}
    for item in (item for _, section in sections if section.name == "Match" for item in section.items):
        before = found.pop(item.key, None)
        if item.value:
            found[item.key] = item if before is None else replace(item, value=f"{before.value} {item.value}")
    return list(found.values())


def names_outright(items: Iterable[Item]) -> Iterator[str]:
    """The names without a pattern: such links are there."""
    for item in items:
        if item.key == "Name" and not item.value.startswith("!"):
            yield from (word for word in item.value.split() if not set(word) & GLOB)


def matches(sections: Iterable[Located], name: str, mac: Mac | None, kind: str = "") -> bool:
    """Whether a link is among those of [Match]; what cannot be seen decides only where its name is not written out."""
    items = match_items(sections)
    is_named = name in names_outright(items)
    return bool(items) and all(_fits(item, name, mac, kind, is_named=is_named) for item in items)


def _fits(item: Item, name: str, mac: Mac | None, kind: str, *, is_named: bool) -> bool:
    if item.key in _NAMES:
        return matches_name(item.value, name)
    if item.key in _MACS:
        given = {word.lower().replace("-", ":") for word in item.value.split()}
        return mac in given if mac is not None else is_named and not kind
    if item.key == "Type":
        return matches_name(item.value, kind or ("wlan" if name.startswith("wl") else "ether"))
    if item.key == "Kind":
        return matches_name(item.value, kind)
    return is_named or item.key in _OF_THE_HOST


def not_compared(sections: Iterable[Located]) -> Iterator[tuple[str, Section, Item]]:
    """Conditions of which nobody can tell from files whether they hold."""
    seen = {*_NAMES, *_MACS, "Type", "Kind"}
    for path, section in sections:
        for item in section.items if section.name == "Match" else ():
            if item.key not in seen:
                yield path, section, item


def matches_name(patterns: str, name: str) -> bool:
    """A list of patterns; ``!`` in front of the first turns it round."""
    inverse = patterns.startswith("!")
    given = patterns.removeprefix("!").split()
    hit = name in given or any(fnmatchcase(name, word) for word in given if set(word) & GLOB and (name or word != "*"))
    return hit != inverse


def name_by_mac(builder: Builder, path: str, items: list[Item]) -> None:
    """Without the host, a NIC that only its MAC tells is called as the file is: 20-lan0.network, and lan0."""
    found = [(item, word) for item in items if item.key in _MACS for word in item.value.lower().split()]
    outright = list(names_outright(items))
    if len(found) == len(outright) == 1 and outright[0] in builder.drafts:
        draft = builder.drafts[parse_ifname(outright[0])]
        draft.pin_mac = draft.pin_mac or _mac(found[0][1])
    name = path.rpartition("/")[2].removesuffix(".network").lstrip("0123456789-")
    given = {item.key: {_mac(word) for each, word in found if each.key == item.key} for item, _ in found}
    wanted = set.intersection(*given.values()) if given else set()  # a NIC must fit each key
    pins = list({pin: (item, pin) for item, word in found if (pin := _mac(word)) in wanted and pin}.values())
    if any(item.key in _NAMES for item in items) or name in builder.drafts:
        return
    known = {draft.pin_mac for draft in builder.drafts.values()}
    for number, (item, pin) in enumerate(pins):
        if pin not in known:
            try:
                builder.draft(name if len(pins) == 1 else f"{name}-{number}", path, item.line).pin_mac = pin
            except ValueError:
                return  # no name for a link; it is told that nothing matches


def _mac(text: str) -> Mac | None:
    try:
        return parse_mac(text)
    except ValueError:
        return None


def server(text: str) -> tuple[str, str]:
    """A name server and what stands beside its address: ``[2001:db8::1]:853%eth0#dns.example``."""
    match = re.fullmatch(r"\[([^\]]+)\]((?::[0-9]+)?.*)|([0-9]+(?:\.[0-9]+){3})(:[0-9]+.*)", text)
    address, rest = (match[1] or match[3], match[2] or match[4] or "") if match else (text, "")
    if not rest and (cut := re.search(r"[%#]", address)):
        address, rest = address[: cut.start()], address[cut.start() :]
    return parse_ip(address), rest
