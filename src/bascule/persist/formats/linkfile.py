"""udev's .link files (systemd.link(5)): which hardware carries which name, whoever configures it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bascule.model.links.wake_on_lan import in_order, wake_words
from bascule.model.values import parse_mac
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.ini import Item, read, write
from bascule.persist.formats.values import parse_mtu
from bascule.persist.parsed import Files

FOLDER = "etc/systemd/network"
_WORDS: tuple[tuple[str, str, Callable[[str], Any]], ...] = (  # key, what it is in a draft, how it is read
    ("MTUBytes", "mtu", parse_mtu),
    ("WakeOnLan", "wol", lambda text: in_order(text.split())),
)


def render(config: NetworkConfig, *, with_wake: bool = False) -> dict[str, str]:
    """One file for each pinned NIC; ``with_wake``: it says as well what wakes the machine by it."""
    return {
        f"{FOLDER}/10-{link.name}.link": text
        for link in config.links.values()
        if (text := _render(link, with_wake=with_wake)) and not link.options.kind
    }


def _render(link: LinkConfig, *, with_wake: bool) -> str:
    match: list[tuple[str, str]] = []
    if link.pin_mac:
        match.append(("PermanentMACAddress", link.pin_mac))
    if link.pin_path:
        match.append(("Path", link.pin_path))
    own = [("Name", str(link.name))]
    if with_wake and link.wol is not None:
        own.append(("WakeOnLan", wake_words(link.wol)))
    return write([("Match", match), ("Link", own)]) if match else ""


def is_one(path: str) -> bool:
    """Whether udev reads a file of that path, below the root."""
    return path.startswith(f"{FOLDER}/") and path.endswith(".link")


def parse(files: Files, builder: Builder) -> None:
    """Pins of hardware; whatever else such files say is left over."""
    left = builder.left
    for path in sorted(filter(is_one, files)):
        sections = read(path, files[path], left, continued=True)
        items = {(s.name, item.key): item for s in sections for item in s.items}
        given = items.pop(("Link", "Name"), None)
        name = given or _plain(items.pop(("Match", "OriginalName"), None))
        mac = items.pop(("Match", "PermanentMACAddress"), None) or items.pop(("Match", "MACAddress"), None)
        at = items.pop(("Match", "Path"), None)
        if name is None or (given is not None and mac is None and at is None):
            left.add(path, 0, "", "does not tie a name to a MAC or path")
            continue
        try:
            pin_mac = parse_mac(mac.value) if mac else None
            if at and (set(at.value) & set("*?[! ")):
                raise ValueError(f"'{at.value}' is a pattern, not one path")
            draft = builder.draft(name.value, path, name.line)
        except ValueError as wrong:
            left.add(path, name.line, f"Name={name.value}", str(wrong))
            continue
        draft.pin_mac = pin_mac or draft.pin_mac
        draft.pin_path = at.value if at else draft.pin_path
        for key, field, read_value in _WORDS:
            item = items.pop(("Link", key), None)
            with left.unless_taken(path, item.line if item else 0, f"[Link] {key}={item.value if item else ''}"):
                if item is not None:
                    setattr(draft, field, read_value(item.value))
        for (section, key), item in items.items():
            left.add(path, item.line, f"[{section}] {key}={item.value}", "not taken")


def _plain(item: Item | None) -> Item | None:
    """The name that a file finds a NIC by; None for a pattern."""
    return None if item is None or set(item.value) & set("*?[]! ") else item
