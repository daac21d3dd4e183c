"""Who is who, in words and for machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bascule.cli.common import table, width, wrapped
from bascule.cli.show.output_style import output_style

if TYPE_CHECKING:
    from bascule.guests.inventory import GuestRow, Inventory


COLUMNS = ("guest", "", "nic", "mac", "tap", "plugged into", "network", "guard", "pci", "ip")
SPARED = ("pci", "nic", "guard", "network", "tap", "plugged into", "mac")  # the first goes first where room is short


def as_document(found: Inventory) -> dict[str, Any]:
    """The inventory for ``--json``."""
    return {
        "ok": not found.problems,
        "nics": [_row_document(row) for row in found.rows],
        "problems": [problem.as_json() for problem in found.problems],
        "unread": list(found.unread),
    }


def _row_document(row: GuestRow) -> dict[str, Any]:
    domain, nic = row.domain, row.nic
    facts: dict[str, Any] = {
        "guest": domain.name,
        "driver": domain.driver,
        "running": domain.running,
        "halted": domain.halted or None,
    }
    if nic is None:
        return {**facts, "nic": None}
    return {
        **facts,
        "nic": nic.index,
        "mac": nic.mac,
        "plug": {"kind": nic.kind, "into": nic.into},
        "tap": nic.tap or None,
        "bridge": row.bridge or None,
        "network": row.network or None,
        "pci": nic.pci or None,
        "link_up": nic.link_up,
        "addresses": [{"address": str(s.address), "source": s.source, "age_s": s.age_s} for s in row.addresses],
        "heard_s": row.heard_s,
        "guard": row.guard or None,
        "remarks": list(row.remarks),
    }


def as_text(found: Inventory) -> str:
    """The inventory for people; with -q what is wrong alone."""
    none = "no guest is seen" if found.unread else "no guest is defined on this host"
    lines = [] if output_style().quiet else _table(found.rows) if found.rows else [none]
    for row in found.rows:
        lines += [f"remark  {row.domain.name}, NIC {row.nic.index if row.nic else '-'}: {text}" for text in row.remarks]
    lines += [str(problem) for problem in found.problems]
    lines += [f"not asked  {text}; run it as root" for text in found.unread]
    return "\n".join(lines)


def _table(found: Sequence[GuestRow]) -> list[str]:
    """A row for each NIC, with the columns that there is room for on a terminal; all with -v and where nobody looks."""
    rows = [COLUMNS, *map(_row_text, found)]
    columns = width()
    if output_style().verbose or not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        return table(rows, indent=0, columns=max(columns, 160))
    widest = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    empty = {name for place, name in enumerate(COLUMNS) if all(row[place] in {"", "-"} for row in rows[1:])}
    left_out: list[str] = []
    for name in sorted(SPARED, key=lambda name: name not in empty):
        room = sum(wide + 2 for each, wide in zip(COLUMNS, widest, strict=True) if each not in left_out) - 2
        if room <= columns:
            break
        left_out.append(name)
    kept = [place for place, name in enumerate(COLUMNS) if name not in left_out]
    lines = table((tuple(row[place] for place in kept) for row in rows), indent=0, columns=columns)
    hidden = [name for name in COLUMNS if name in left_out and name not in empty]
    if hidden:
        lines.append(wrapped(f"not shown: {', '.join(hidden)} (-v and --json have them)", indent=0, columns=columns))
    return lines


def _row_text(row: GuestRow) -> tuple[str, ...]:
    state = (row.domain.halted or "runs") if row.domain.running else "off"
    nic = row.nic
    if nic is None:
        return (row.domain.name, state, "-", "", "", "", "", "", "", "")
    where = nic.where if nic.kind != "bridge" or not row.bridge else f"bridge {row.bridge}"
    if nic.kind == "network" and row.bridge:
        where += f" ({row.bridge})"
    seen = ", ".join(f"{s.address} ({s.source}{_age(s.age_s)})" for s in row.addresses) or "-"
    if row.heard_s is not None and all(s.age_s is None for s in row.addresses):
        seen += f" (on the wire{_age(row.heard_s)})"
    cells = (row.domain.name, state, str(nic.index), nic.mac or "-", nic.tap or "-", where, row.network or "-")
    return (*cells, row.guard or "-", nic.pci or "-", seen)


def _age(seconds: float | None) -> str:
    if not seconds:
        return ""
    if seconds < 120:
        return f", {seconds:.0f} s ago"
    return f", {seconds / 60:.0f} min ago" if seconds < 7200 else f", {seconds / 3600:.0f} h ago"
