"""dhclient.conf(5): what the clients of ifupdown and of ifcfg files do not use of a lease, or take another word for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.dhcp.offers import Offer
from bascule.persist.formats.values import parse_ip, words
from bascule.persist.parsed import Files, Parsed, UnparsedLines

FILE = "etc/dhcp/dhclient.conf"
READ_BY = {"ifupdown", "ifcfg"}
_SILENT = words(  # how it asks, and who it says that it is
    """
    option send timeout retry reboot backoff-cutoff initial-interval initial-delay select-timeout require script
    do-forward-updates db-time-format lease alias reject also
    """
)
_ASKED = {"routers": Offer.GATEWAY, "domain-name-servers": Offer.DNS}


class _LeaseWords(Struct):
    unused: set[tuple[Offer, int]] = field(default_factory=set)
    dns: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)


def with_dhclient(parsed: Parsed, files: Files) -> Parsed:
    """What the files of a dialect say of links that ask for a lease, with what dhclient makes of it."""
    if FILE not in files or not any(link.dhcp4 for link in parsed.config.links.values()):
        return parsed
    left, of_all, own = UnparsedLines(), _LeaseWords(), dict[str, _LeaseWords]()
    for number, link, statement in _statements(files[FILE]):
        with left.unless_taken(FILE, number, f"{link}: {statement}" if link else statement):
            if not _take(own.setdefault(link, _LeaseWords()) if link else of_all, statement):
                raise ValueError("not taken")
    config, links = parsed.config, []
    for name, one in config.links.items():
        mine = own.get(name, _LeaseWords())
        links.append(
            replace(
                one,
                unused=one.unused | of_all.unused | mine.unused,
                dns=(*one.dns, *(mine.dns or of_all.dns)),
                search=(*one.search, *(mine.search or of_all.search)),
            )
            if one.dhcp4
            else one
        )
    known = config.with_links(links)
    return replace(parsed, config=known, left=tuple(sorted({*parsed.left, *left.done()})))


def _take(said: _LeaseWords, statement: str) -> bool:
    """Whether a statement is understood. Raises ValueError for a value that is none."""
    key, _, rest = statement.partition(" ")
    name, _, value = rest.partition(" ")
    several = [word.strip().strip('"') for word in value.split(",")]
    if key == "request":
        asked = {word.strip() for word in rest.split(",")}
        said.unused |= {(offer, 4) for option, offer in _ASKED.items() if option not in asked}
    elif key == "supersede" and name == "domain-name-servers":
        said.dns += map(parse_ip, several)
        said.unused.add((Offer.DNS, 4))
    elif key == "supersede" and name in {"domain-name", "domain-search"}:
        said.search += [word for each in several for word in each.split()]
    else:
        return key in _SILENT
    return True


def _statements(text: str) -> Iterator[tuple[int, str, str]]:
    """Each with its line and the link of the block that it stands in; what stands in other blocks is passed over."""
    blocks: list[str] = []
    said, number = "", 1
    for part in re.split(r"([;{}\n])", re.sub(r"#[^\n]*", "", text)):
        if part == "\n":
            number += 1
            said += " "
        elif part == "{":
            blocks.append(" ".join(said.split()))
            said = ""
        elif part in {";", "}"}:
            statement = " ".join(said.split())
            inside = [re.fullmatch(r'interface "?([^"\s]+)"?', block) for block in blocks]
            if statement and all(inside):
                yield number, "".join(found[1] for found in inside if found), statement
            said = ""
            if part == "}":
                blocks = blocks[:-1]
        else:
            said += part
