"""The servers of the hosts' own virtual networks; what else belongs to these, the plan has made by then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.model.domain import Lease
from bascule.plan.virtual_network import ResolvedNetwork, needs_server
from bascule.providers.dnsmasq.arguments import arguments
from bascule.providers.dnsmasq.observe import leases_in
from bascule.providers.dnsmasq.state import file_of
from bascule.system.net.netns import Namespace
from bascule.system.process.workers import Daemon
from bascule.twin.wiring import Wiring


def serve(wiring: Wiring, namespaces: Mapping[str, Namespace], folder: Path) -> list[NetworkServer]:
    """A dnsmasq for each network that has addresses or names to give; returns when all of them listen.

    Raises MissingTool, or CommandFailed with one problem per server that did not start; none runs then.
    """
    servers: list[NetworkServer] = []
    problems: list[Problem] = []
    try:
        for host, own in wiring.resolved_networks.items():
            servers += [NetworkServer(one, namespaces[host], folder / host) for one in own if needs_server(one)]
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


class NetworkServer:
    """The dnsmasq of a virtual network beside us, in the namespace of its host; gone with ``stop``. For the twin."""

    def __init__(self, one: ResolvedNetwork, namespace: Namespace, folder: Path) -> None:
        """Start it; ``wait`` says whether it came up. Raises MissingTool."""
        self.resolved_network = one
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        argv = ("dnsmasq", *arguments(one, str(folder), upstream=False, foreground=True))
        self._daemon = Daemon(argv, namespace, folder / f"{one.name}.log")

    def wait(self) -> None:
        """Until it listens. Raises CommandFailed with its own words when it does not."""
        if not self._daemon.wait_for("started, version"):
            words = " ".join(self._daemon.output.split()) or "it said nothing"
            self.stop()
            text = f"dnsmasq of virtual network '{self.resolved_network.name}' did not start: {words}"
            raise CommandFailed.of("DNSMASQ", text)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """What it has given until now."""
        return leases_in(
            Path(file_of(self.resolved_network.name, "leases", str(self._folder))), self.resolved_network.name
        )

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
