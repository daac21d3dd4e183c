"""How the servers of a host's own virtual networks are looked at, started and ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from bascule.errors import CommandFailed
from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.boot_files import UNITS
from bascule.providers.dnsmasq.state import DnsmasqState
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.system.disk import durable
from bascule.system.disk.files import is_closed

END_S = 3.0  # how long a dnsmasq may take to end


class DnsmasqEffects(PlainEffects):
    """Daemons outlive us; each is known by the pid file in Bascule's own folder."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> DnsmasqState | None:  # no texts
        """Those that are there; None where no network is declared and none was ever made."""
        known: DnsmasqState | None = scope.known.get("dnsmasq")
        if known is None and scope.state is None:
            return None
        folder = Path(known.folder) if known is not None else Path(str(scope.state)) / "networks"
        if known is None and is_closed(folder):
            text = f"'{folder}' is readable by root only: which of Bascule's own name servers run, "
            text += "and what earlier changes did, is not known"
            scope.notes.append(Note(kind="warning", subject="not asked", text=text))
            return None
        declared = scope.host is not None and bool(scope.host.virtual_networks)
        if known is None and not declared and not folder.is_dir():
            return None
        from bascule.providers.dnsmasq.observe import observe

        return observe(folder, known.units if known is not None else UNITS)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Start and end them. Raises CommandFailed with dnsmasq's own words."""
        for command in batch.commands:
            if command.tool == "pkill":
                stop(Path(command.words[-1]))
            else:
                start(command.words, where)
        return ()


def start(arguments: Sequence[str], where: LiveHost) -> None:
    """Start one in the background; it outlives us. Raises CommandFailed with its own words."""
    pid = next((Path(word.partition("=")[2]) for word in arguments if word.startswith("--pid-file=")), Path("dnsmasq"))
    durable.make_folder(pid.parent)
    done = where.run(("dnsmasq", *arguments), check=False)
    if done.status != 0:
        words = " ".join(done.stderr.split()).removeprefix("dnsmasq: ") or f"exit status {done.status}"
        raise CommandFailed.of(
            "DNSMASQ",
            f"dnsmasq of virtual network '{pid.stem}' did not start: {words}",
            hint="`bascule doctor` shows who else has port 53 or 67",
        )


def stop(pid_file: Path) -> None:
    """End the dnsmasq of a pid file, if it is still that process, and wait until its ports are free."""
    from bascule.providers.dnsmasq.observe import running

    if pid_file.stem not in running(pid_file.parent):
        return
    with contextlib.suppress(OSError, ValueError):
        pidfd = os.pidfd_open(int(pid_file.read_text()))  # tells of the end when the sockets are closed
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(pidfd, number)
                if select.select([pidfd], [], [], END_S)[0]:
                    return
        finally:
            os.close(pidfd)
