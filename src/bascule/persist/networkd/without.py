"""networkd's units without some links: a unit of ours goes whole, one that lists further names keeps those."""

from __future__ import annotations

from collections.abc import Collection

from bascule.model.values import IfName, Mac
from bascule.persist.formats.builder import Builder
from bascule.persist.networkd import FOLDER
from bascule.persist.networkd.match import GLOB, Located, match_items, matches
from bascule.persist.networkd.parse import UnitReader
from bascule.persist.parsed import Files, Hardware

EXACT = frozenset({"Name", "OriginalName", "MACAddress", "PermanentMACAddress"})


def without(files: Files, names: Collection[IfName], hardware: Hardware) -> dict[str, str | None]:
    """What is left of each unit that speaks for one of the links.

    A pattern is only in the way where it is read before ours; one that other NICs need as well is left alone.
    """
    reader = UnitReader(Builder(), files)
    ours = (f"{FOLDER}/10-{name}.{kind}" for name in names for kind in ("netdev", "network"))
    found: dict[str, str | None] = {path: None for unit in ours for path in reader.dropins.get(unit, ())}
    for path in reader.units(".netdev"):
        heads = [section for _, section in reader.unit(path) if section.name == "NetDev"]
        if any(section.get("Name") in names for section in heads):
            found |= dict.fromkeys((path, *reader.dropins.get(path, ())))
    for path in reader.units(".network"):
        sections = reader.unit(path)
        if reader.is_unmanaged(sections):
            continue
        words = _names(sections)
        if words is not None and set(words) & set(names):
            rest = [word for word in words if word not in names]
            if rest:
                found[path] = _with_names(files[path], rest)
            else:
                found |= dict.fromkeys((path, *reader.dropins.get(path, ())))
        elif words is None and _goes(path, sections, names, hardware):
            found |= dict.fromkeys((path, *reader.dropins.get(path, ())))
    return found


def _names(sections: list[Located]) -> list[str] | None:
    """The names that [Match] lists, where it has nothing but a list of names."""
    items = match_items(sections)
    words = [word for item in items for word in item.value.split()]
    plain = bool(items) and all(item.key == "Name" for item in items) and not any(set(word) & GLOB for word in words)
    return words if plain else None


def _goes(path: str, sections: list[Located], names: Collection[IfName], hardware: Hardware) -> bool:
    """Whether patterns or MACs take links of ours alone, and by a MAC or before ours."""

    def hits(name: IfName, mac: Mac | None) -> bool:
        return matches(sections, name, mac)

    mine = [name for name in names if hits(name, hardware.get(name))]
    if not mine or any(hits(name, mac) for name, mac in hardware.items() if name not in names):
        return False
    items = match_items(sections)
    is_exact = all(item.key in EXACT and not set(item.value) & GLOB for item in items)
    return is_exact or any(path < f"{FOLDER}/10-{name}.network" for name in mine)


def _with_names(text: str, names: list[str]) -> str:
    """The unit with these names in the first Name= of [Match], and no other."""
    out, section, said = [], "", False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if bare.startswith("["):
            section = bare
        if section == "[Match]" and bare.partition("=")[0].rstrip() == "Name":
            if not said:
                out.append(f"Name={' '.join(names)}\n")
            said = True
        else:
            out.append(line)
    return "".join(out)
