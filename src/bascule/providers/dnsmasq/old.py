"""Checkpoints of version 0.1.0, which kept the servers' part in a file of its own, read as parts of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from bascule.providers.boot_files import UNITS
from bascule.providers.dnsmasq.state import UNKNOWN, DnsmasqState, Server


def parts_from_besides(kept: Mapping[str, Any]) -> tuple[DnsmasqState, DnsmasqState]:
    """The parts before and wanted; ``kept`` is what stands under ``servers`` in ``besides.json``.

    What was wanted that version did not keep; that it was another server is all that the way back asks.
    """
    before, wanted = DnsmasqState(folder=kept["folder"]), dict[str, Server]()
    servers = {}
    for name, words in kept["running"].items():
        script = kept["files"].get(before.file(name, "sh"))
        unit_path = next((path for path in kept["files"] if path.endswith(f"/{before.unit_name(name)}")), "")
        server = Server(
            arguments=None if words is None else tuple(words), script=script, unit=kept["files"].get(unit_path)
        )
        if server != Server():
            servers[name] = server
        wanted[name] = Server(arguments=UNKNOWN, unit="" if kept["lasting"] else None)
        before = replace(before, units=unit_path.rpartition("/")[0] or UNITS)
    before = replace(before, servers=servers)
    return before, replace(before, servers=wanted)
