"""Files of sections and ``key=value`` lines: keyfile (GLib), networkd's units and NetworkManager.conf."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from bascule.persist.parsed import UnparsedLines


class Item(Struct, frozen=True):
    """``key=value`` with its line."""

    key: str
    value: str
    line: int


class Section(Struct):
    """``[name]`` and what stands under it."""

    name: str
    line: int
    items: list[Item] = field(default_factory=list)

    def get(self, key: str, default: str = "") -> str:
        """The last value of a key."""
        for item in reversed(self.items):  # a loop and no generator: some thirty keys are asked of each of 6,000 files
            if item.key == key:
                return item.value
        return default


def read(file: str, text: str, left: UnparsedLines, *, continued: bool = False) -> list[Section]:
    """The sections in their order. ``continued`` joins lines that end in a backslash with the next (systemd)."""
    sections: list[Section] = []
    pending, started = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if continued and pending and line[:1] in {"#", ";"}:
            continue  # systemd skips comments between continued lines
        if pending:
            line, pending = f"{pending} {line}", ""
        else:
            started = number
        if not line or line[0] in "#;":
            continue
        if continued and line.endswith("\\") and len(line) < 65536:
            pending = line[:-1].rstrip()
            continue
        if line[0] == "[":
            if line.endswith("]"):
                sections.append(Section(line[1:-1], started))
            else:
                left.add(file, started, line, "not a section")
            continue
        key, equals, value = line.partition("=")
        if not equals or not sections:
            left.add(file, started, line, "not 'key=value' in a section")
            continue
        sections[-1].items.append(Item(key.rstrip(), value.lstrip(), started))
    if pending:
        left.add(file, started, pending, "continued, but the file ends")
    return sections


def write(sections: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> str:
    """The text of sections, an empty line between two; empty sections are left out."""
    parts = []
    for name, items in sections:
        lines = [f"{key}={value}\n" for key, value in items]
        if lines:
            parts.append(f"[{name}]\n" + "".join(lines))
    return "\n".join(parts)
