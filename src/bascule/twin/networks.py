"""The servers of the hosts' own virtual networks; what else belongs to these, the plan has made by then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.guests.virtual_network import NetworkServer
from bascule.plan.virtual_network import needs_server
from bascule.system.net.netns import Namespace
from bascule.twin.ends import Wiring


def serve(wiring: Wiring, rooms: Mapping[str, Namespace], folder: Path) -> list[NetworkServer]:
    """A dnsmasq for each network that has addresses or names to give; returns when all of them listen.

    Raises MissingTool, or CommandFailed with one problem per server that did not start; none runs then.
    """
    servers: list[NetworkServer] = []
    problems: list[Problem] = []
    try:
        for host, own in wiring.realms.items():
            servers += [NetworkServer(one, rooms[host], folder / host) for one in own if needs_server(one)]
        for server in servers:
            try:
                server.wait()
            except CommandFailed as failed:
                problems += failed.problems
        if problems:
            raise CommandFailed(*problems)
    except BasculeError:
        for server in servers:
            server.stop()
        raise
    return servers
