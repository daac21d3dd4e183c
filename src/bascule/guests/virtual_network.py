"""What of a virtual network of our own is no part of the kernel's state: its dnsmasq.

Bridge, addresses, rules and forwarding are the plan's business, like everything else of a host's network.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from bascule.errors import CommandFailed, Problem
from bascule.model.domain import Lease
from bascule.plan.virtual_network import (
    Realm,
    dnsmasq_arguments,
    lease_file,
    parse_leases,
)
from bascule.system.net.netns import Namespace
from bascule.system.process.workers import Daemon


def leases_in(file: Path, network: str = "") -> tuple[Lease, ...]:
    """What a dnsmasq has given until now; none where it has no file."""
    with contextlib.suppress(OSError):
        return parse_leases(file.read_text(), network)
    return ()


class NetworkServer:
    """The dnsmasq of a virtual network beside us, in the namespace of its host; gone with ``stop``. For the twin."""

    def __init__(self, one: Realm, namespace: Namespace, folder: Path) -> None:
        """Start it; ``wait`` says whether it came up. Raises MissingTool."""
        self.realm = one
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        argv = ("dnsmasq", *dnsmasq_arguments(one, folder, upstream=False, foreground=True))
        self._daemon = Daemon(argv, namespace, folder / f"{one.name}.log")

    def wait(self) -> None:
        """Until it listens. Raises CommandFailed with its own words when it does not."""
        if not self._daemon.wait_for("started, version"):
            words = " ".join(self._daemon.output.split()) or "it said nothing"
            self.stop()
            text = f"dnsmasq of virtual network '{self.realm.name}' did not start: {words}"
            raise CommandFailed(Problem(code="DNSMASQ", message=text))

    @property
    def leases(self) -> tuple[Lease, ...]:
        """What it has given until now."""
        return leases_in(lease_file(self.realm, self._folder), self.realm.name)

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
