"""udev's .link files (systemd.link(5)): which hardware carries which name, whoever configures it afterwards."""

from __future__ import annotations

from bascule.model.values import parse_mac
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.formats.builder import Builder
from bascule.persist.formats.ini import read, write
from bascule.persist.formats.values import parse_mtu
from bascule.persist.parsed import Files

FOLDER = "etc/systemd/network"


def render(config: NetworkConfig) -> dict[str, str]:
    """One file for each pinned NIC."""
    return {
        f"{FOLDER}/10-{link.name}.link": text
        for link in config.links.values()
        if (text := _render(link)) and not link.options.kind
    }


def _render(link: LinkConfig) -> str:
    match: list[tuple[str, str]] = []
    if link.pin_mac:
        match.append(("PermanentMACAddress", link.pin_mac))
    if link.pin_path:
        match.append(("Path", link.pin_path))
    return write([("Match", match), ("Link", [("Name", link.name)])]) if match else ""


def parse(files: Files, builder: Builder) -> None:
    """Pins of hardware; whatever else such files say is left over."""
    left = builder.left
    for path in sorted(path for path in files if path.startswith(f"{FOLDER}/") and path.endswith(".link")):
        sections = read(path, files[path], left, continued=True)
        items = {(s.name, item.key): item for s in sections for item in s.items}
        name = items.pop(("Link", "Name"), None)
        mac = items.pop(("Match", "PermanentMACAddress"), None) or items.pop(("Match", "MACAddress"), None)
        at = items.pop(("Match", "Path"), None)
        if name is None or (mac is None and at is None):
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
        draft.pin_path = at.value if at else None
        size = items.pop(("Link", "MTUBytes"), None)
        if size is not None:
            try:
                draft.mtu = parse_mtu(size.value)
            except ValueError as wrong:
                left.add(path, size.line, f"[Link] MTUBytes={size.value}", str(wrong))
        for (section, key), item in items.items():
            left.add(path, item.line, f"[{section}] {key}={item.value}", "not taken")
