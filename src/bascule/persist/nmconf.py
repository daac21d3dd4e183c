"""NetworkManager.conf: the links that it must leave alone (NetworkManager.conf(5), ``unmanaged-devices``)."""

from __future__ import annotations

from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import Files, Leftovers
from bascule.persist.ini import Item, read, write

FILE = "etc/NetworkManager/conf.d/90-bascule-unmanaged.conf"
READS = ("etc/NetworkManager/NetworkManager.conf", "etc/NetworkManager/conf.d/*.conf")


def render(config: NetworkConfig) -> dict[str, str]:
    """The drop-in, or nothing. ``+=`` adds to what the administrator has said elsewhere."""
    if not config.unmanaged:
        return {}
    names = ";".join(f"interface-name:{pattern}" for pattern in config.unmanaged)
    return {FILE: write([("keyfile", [("unmanaged-devices+", names)])])}


def parse(files: Files, left: Leftovers) -> list[str]:
    """The names and patterns in all of NetworkManager's configuration files."""
    found: list[str] = []
    for path in sorted(path for path in files if path.startswith("etc/NetworkManager/") and path.endswith(".conf")):
        for section in read(path, files[path], left):
            if section.name != "keyfile":
                continue
            for item in section.items:
                if item.key.rstrip("+-").rstrip() == "unmanaged-devices":
                    _unmanaged(path, item, found, left)
    return found


def _unmanaged(path: str, item: Item, found: list[str], left: Leftovers) -> None:
    if not item.key.endswith("+"):
        found.clear()
    for word in item.value.replace(",", ";").split(";"):
        kind, _, name = word.strip().rpartition(":")
        if kind == "interface-name" and name and not name.startswith("=") and "~" not in name[:1]:
            found.append(name)
        elif word.strip():
            left.add(path, item.line, word, "only 'interface-name:' marks are taken")
