"""The lines of /etc/network/interfaces, and the files that they include."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field


class Line(Struct):
    """A logical line with the file and the number that it begins at, and the option that it gives.

    Ifupdown takes ``bridge_ports`` for ``bridge-ports``.
    """

    file: str
    number: int
    words: list[str]
    text: str
    key: str = ""

    def __post_init__(self) -> None:
        key = self.words[0]
        is_both = "_" in key and key.startswith(("bridge_", "bond_", "vlan_", "dns_", "ovs_"))
        self.key = key.replace("_", "-") if is_both else key


class Stanza(Struct):
    """``iface NAME FAMILY METHOD`` and its options."""

    name: str
    family: str
    method: str
    head: Line
    options: list[Line] = field(default_factory=list)


def includes(path: str, text: str) -> list[str]:
    """The patterns of the files that a file includes, without leading slash; for those who fetch files."""
    found = []
    for _, line in logical_lines(text):
        parts = line.split()
        if len(parts) > 1 and parts[0] in {"source", "source-directory"}:
            found += [absolute(part, path) + ("/*" * (parts[0] == "source-directory")) for part in parts[1:]]
    return found


def absolute(pattern: str, path: str) -> str:
    """A relative name is looked for beside the file that names it."""
    if pattern.startswith("/"):
        return pattern.lstrip("/").rstrip("/")
    return f"{path.rpartition('/')[0]}/{pattern}".rstrip("/")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continued ones joined."""
    pending, started = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if not pending:
            started = number
            if line.lstrip().startswith("#"):
                continue
        if line.endswith("\\") and len(pending) < 65536:
            pending += line[:-1] + " "
            continue
        joined, pending = (pending + line).strip(), ""
        if joined:
            yield started, joined
    if pending.strip():
        yield started, pending.strip()
