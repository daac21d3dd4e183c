"""NetworkManager's profiles without some links: those of ours go, and one for any NIC is told to leave ours alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from fnmatch import fnmatchcase

from bascule.model.values import IfName
from bascule.persist.formats import ini
from bascule.persist.keyfile import FOLDER
from bascule.persist.keyfile.lists import split_list
from bascule.persist.keyfile.parse import parse
from bascule.persist.keyfile.switches import KINDS
from bascule.persist.parsed import Files, Hardware, UnparsedLines


def without(files: Files, names: Collection[IfName], hardware: Hardware) -> dict[str, str | None]:
    """What is left of each profile that speaks for one of the links.

    A profile for ethernet that names neither link nor MAC fits any NIC, and may win it from ours by its priority or
    because it was used last (nm-settings(5), connection.autoconnect-priority). It goes where the host has no other NIC.
    """
    found: dict[str, str | None] = {}
    others = [name for name in hardware if name not in names]
    for path, text in files.items():
        if not path.startswith(f"{FOLDER}/"):
            continue
        if parse({path: text}, hardware).config.subjects & set(names) or _is_row_of(path, text, names):
            found[path] = None
        elif (patterns := _patterns(path, text)) is not None and any(_fits(name, patterns) for name in names):
            found[path] = _leaving(text, names) if any(_fits(name, patterns) for name in others) else None
    return found


def _is_row_of(path: str, text: str, names: Collection[IfName]) -> bool:
    """Whether it is the bridge or the port of Open vSwitch of one of the links."""
    connection = next((one for one in ini.read(path, text, UnparsedLines()) if one.name == "connection"), None)
    return connection is not None and connection.get("type") in KINDS and connection.get("interface-name") in names


def _patterns(path: str, text: str) -> list[str] | None:
    """The names that a profile for ethernet fits, [] for any.

    None where it names one link or MAC, or is another's port, or does not start by itself.
    """
    sections = {section.name: section for section in ini.read(path, text, UnparsedLines())}
    connection = sections.get("connection")
    if connection is None or connection.get("type") not in {"ethernet", "802-3-ethernet"}:
        return None
    named = connection.get("interface-name") or connection.get("master") or connection.get("controller")
    pins = [sections[name] for name in ("ethernet", "802-3-ethernet") if name in sections]
    starts = connection.get("autoconnect", "true").lower() not in {"false", "no", "0"}
    if not starts or named or any(pin.get("mac-address") for pin in pins):
        return None
    match = sections.get("match")
    return split_list(match.get("interface-name")) if match is not None else []


def _fits(name: str, patterns: list[str]) -> bool:
    """Whether a link has such a name: each with & must hold, one of the others must (nm-settings(5), match)."""
    must = [pattern[1:] for pattern in patterns if pattern.startswith("&")]
    may = [pattern.removeprefix("|") for pattern in patterns if not pattern.startswith("&")]
    return all(_holds(name, each) for each in must) and (not may or any(_holds(name, each) for each in may))


def _holds(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern.lstrip("!")) is not pattern.startswith("!")


def _leaving(text: str, names: Collection[IfName]) -> str:
    """With a [match] of every name but these: elements that must all hold, turned round (nm-settings(5), match)."""
    words = "".join(f"&!{name};" for name in sorted(names))
    said = re.search(r"^\[match\]\n(?:(?!\[).*\n)*?interface-name=(.*)$", text, re.MULTILINE)
    if said:
        return f"{text[: said.end()].rstrip(';')};{words}{text[said.end() :]}"
    return f"{text.rstrip()}\n\n[match]\ninterface-name={words}\n"
