"""Values of NetworkManager's profiles that are lists."""

from __future__ import annotations

from bascule.model.state import PortVlans
from bascule.persist.formats import ini
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.ini import Section
from bascule.persist.formats.values import parse_vids


def split_list(text: str) -> list[str]:
    """``a;b;``."""
    return [word.strip() for word in text.split(";") if word.strip()]


def only_name(patterns: str) -> str:
    """The one link that interface-name= of [match] names outright, whatever it leaves out beside that; else nothing."""
    words = [word for word in split_list(patterns) if word[0] not in "!|&"]
    return words[0] if len(words) == 1 and not set(words[0]) & set("*?[\\") else ""


def parse_vlans(text: str) -> list[PortVlans]:
    """``10 pvid untagged, 20-29``."""
    found = []
    for part in text.replace(";", ",").split(","):
        words = part.split()
        if not words:
            continue
        if set(words[1:]) - {"pvid", "untagged"}:
            raise ValueError(f"'{part.strip()}' is not a range of VLANs")
        first, last = parse_vids(words[0])
        found.append(PortVlans(first=first, last=last, pvid="pvid" in words, untagged="untagged" in words))
    return found


def merged(path: str, text: str, builder: Builder) -> dict[str, Section]:
    """GLib takes a section that comes twice as one."""
    found: dict[str, Section] = {}
    for section in ini.read(path, text, builder.left):
        name = {"802-3-ethernet": "ethernet"}.get(section.name, section.name)
        if name in found or name != section.name:
            found.setdefault(name, Section(name, section.line)).items.extend(section.items)
        else:
            found[name] = section
    return found
