"""The smallest host that still shows a disagreement, as a case: each of its parts is left away while it stays wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from tests.oracle.compare import Difference
from tests.oracle.lab import Room
from tests.oracle.random_host import RandomHost
from tests.oracle.run import Tally, differences_of

CASES = Path(__file__).with_name("found")
LISTS = ("tables", "routes", "fdb", "again")


def shrunk(room: Room, host: RandomHost, wrong: Difference) -> RandomHost:
    """A smaller host on which model and kernel still disagree about one probe."""
    host = replace(host, probes=[wrong.probe])
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(host):
            if any(isinstance(one, Difference) for one in differences_of(room, smaller, Tally())):
                host, changed = smaller, True
                break
    return host


def _smaller(host: RandomHost) -> Iterator[RandomHost]:
    for name in LISTS:
        found = getattr(host, name)
        for place in range(len(found)):
            if name != "tables" or not host.again:  # whose numbers are those of the tables
                yield replace(host, **{name: found[:place] + found[place + 1 :]})
    for key in host.saves:
        yield replace(host, saves={tool: text for tool, text in host.saves.items() if tool != key})
    for place, table in enumerate(host.tables):
        lines = table.splitlines()
        for number, line in enumerate(lines):
            if not line.startswith(("table", "chain", "set", "type", "}", "elements")):
                less = "\n".join(lines[:number] + lines[number + 1 :]) + "\n"
                yield replace(host, tables=[*host.tables[:place], less, *host.tables[place + 1 :]])


def write_case(seed: int, host: RandomHost, wrong: Difference) -> Path:
    """Keep it with what the kernel did, for test_found.py."""
    CASES.mkdir(exist_ok=True)
    path = CASES / f"{seed}.json"
    document = {"host": host, "arrives": bool(wrong.seen.receiver), "replied": wrong.seen.replied}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    return path
