"""Words of an expectation that stand for many: ``guests``, ``hosts``, ``machines``, a network, or a list of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from bascule.site import document as d
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring

SECTIONS = ("guests", "hosts", "machines")


class Pair(Struct, frozen=True):
    """One question of an expectation. ``grouped`` are the ends (``from``, ``to``) that a group brought in."""

    path: Path
    entry: d.Expect
    source: str
    target: str
    grouped: frozenset[str] = frozenset()


def is_endpoint(document: d.Document, name: str) -> bool:
    """Whether the name is a guest, host or machine of the file."""
    return any(name in getattr(document, section) for section in SECTIONS)


def is_group(document: d.Document, name: str) -> bool:
    """Whether the name stands for the members of a section or a network; an endpoint of that name goes before."""
    if is_endpoint(document, name):
        return False
    return name in SECTIONS or name in document.networks or name in _virtual_networks(document)


def unknown_name(wiring: DocumentWiring, name: str, path: Path, *, networks: bool = False) -> None:
    """A problem with a name that leads nowhere, unless what it names is broken, which was said already."""
    document = wiring.document
    if any(wiring.found.is_broken((section, name)) for section in ("networks", *SECTIONS)):
        return
    known = (*document.guests, *document.machines, *document.hosts, *(document.networks if networks else ()))
    kind = "guest, machine, host or network" if networks else "guest, machine or host"
    wiring.found.add("UNKNOWN-NAME", f"'{name}' is not a {kind}", path, hint=suggest(name, known, kind=kind))


def members(wiring: DocumentWiring, name: str) -> tuple[str, ...]:
    """For whom a name stands, in the order of the file; nobody for a name that leads nowhere."""
    document = wiring.document
    if is_endpoint(document, name):
        return (name,)
    if name in SECTIONS:
        return tuple(getattr(document, name))
    return tuple(dict.fromkeys(_on_network(wiring, name)))


def _on_network(wiring: DocumentWiring, network: str) -> Iterator[str]:
    """Whoever has a NIC on a network of the building, or is a guest on a virtual one. A host must speak there."""
    for speaker in wiring.speakers:
        key = speaker.segment.key if speaker.segment else ()
        if key == ("network", network):
            if speaker.kind != "hosts" or speaker.addresses or speaker.dhcp or speaker.unwritten:
                yield speaker.owner
        elif key[:1] == ("virtual",) and key[2] == network and speaker.kind == "guests":
            yield speaker.owner


def _virtual_networks(document: d.Document) -> set[str]:
    return {name for host in document.hosts.values() for name in host.virtual_networks}


def pairs(wiring: DocumentWiring) -> tuple[Pair, ...]:
    """Each question that the expectations stand for, in the order of the file.

    Nobody is asked whether it reaches itself because it is on both sides, and what a group asks that was asked
    already is not asked again.
    """
    written = [
        (_is_plain(wiring, entry), list(_pairs_of(wiring, path, entry)))
        for path, entry in wiring.checked.expectations()
    ]
    asked = {_key(one) for is_plain, found in written if is_plain for one in found}
    kept: list[Pair] = []
    for is_plain, found in written:
        for pair in found:
            if not is_plain:
                key = _key(pair)
                if key in asked or pair.source == pair.target:
                    continue
                asked.add(key)
            kept.append(pair)
    return tuple(kept)


def _key(pair: Pair) -> tuple[str, str, object, str]:
    return pair.source, pair.target, pair.entry.service, pair.entry.verdict


def _is_plain(wiring: DocumentWiring, entry: d.Expect) -> bool:
    """Whether both ends are one name of one endpoint each."""
    ends = (entry.from_, entry.to)
    return all(len(names) == 1 and not is_group(wiring.document, names[0]) for names in ends)


def _pairs_of(wiring: DocumentWiring, path: Path, entry: d.Expect) -> Iterator[Pair]:
    targets = [(name, {"to"} if is_grouped else set()) for name, is_grouped in _members_of(wiring, entry.to)]
    for source, is_grouped in _members_of(wiring, entry.from_):
        ends = [(target, frozenset({"from"} | end if is_grouped else end)) for target, end in targets]
        yield from (Pair(path, entry, source, target, grouped) for target, grouped in ends)


def _members_of(wiring: DocumentWiring, names: Iterable[str]) -> Iterable[tuple[str, bool]]:
    """Each member once, and whether a group brought it in; one that is named as well was not."""
    found: dict[str, bool] = {}
    for name in names:
        for one in members(wiring, name):
            found[one] = found.get(one, True) and is_group(wiring.document, name)
    return found.items()
