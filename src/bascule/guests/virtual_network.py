"""What of a virtual network of our own is no part of the kernel's state: its dnsmasq.

Bridge, addresses, rules and forwarding are the plan's business, like everything else of a host's network.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from bascule.errors import CommandFailed, Problem
from bascule.model.domain import Lease
from bascule.plan.virtual_network import (
    Realm,
    dnsmasq_arguments,
    lease_file,
    nft_script,
    parse_leases,
    pid_file,
)
from bascule.system.netns import Namespace
from bascule.system.run import run
from bascule.system.workers import Daemon


def set_rules(one: Realm, *, namespace: Namespace | None = None) -> None:
    """The network's own nft table, replaced in one transaction; also beside a network that libvirt runs."""
    run(("nft", "-f", "-"), stdin=nft_script(one), namespace=namespace)


def start_server(one: Realm, folder: Path) -> None:
    """Start dnsmasq in the background of the host that we are on; it outlives us. Raises CommandFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    stop_server(one, folder)
    run(("dnsmasq", *dnsmasq_arguments(one, folder)))


def stop_server(one: Realm, folder: Path) -> None:
    """End the dnsmasq of a network, if it is still the one of the pid file."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file(one, folder).read_text())
        if str(lease_file(one, folder)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)


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
        with contextlib.suppress(OSError):
            return parse_leases(lease_file(self.realm, self._folder).read_text(), self.realm.name)
        return ()

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
