"""How bare QEMU guests are looked at, and their monitors told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bascule.errors import BasculeError
from bascule.guests.paths import qemu_folder, unread_guests
from bascule.host.live import LiveHost
from bascule.model.values import IfName, Mac
from bascule.plan.batch import Batch
from bascule.plan.change import Command, Note
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.providers.qemu.state import QemuGuest, QemuState
from bascule.system.disk.files import is_closed
from bascule.system.net.iproute import masters_of_links
from bascule.system.process import proc

MONITOR_S = 1.0  # for how long a guest is asked whether it goes
HALTED = {  # RunState of qapi/run-state.json: those in which no processor of the guest runs, and that last
    "paused": "paused",
    "io-error": "paused",
    "watchdog": "paused",
    "guest-panicked": "crashed",
    "internal-error": "crashed",
    "suspended": "suspended",
}


class QemuEffects(PlainEffects):
    """A guest is known by its folder, and runs while the process of its pid file has its monitor."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> QemuState | None:  # no texts
        """The guests that were defined; None where libvirt runs the guests, or nobody ever defined one unasked."""
        known: QemuState | None = scope.known.get("qemu")
        if known is not None:
            return observe(Path(known.folder), scope.where)
        if scope.driver not in {"", "qemu"} or (not scope.driver and scope.uri is not None):
            return None
        folder = qemu_folder()
        if unread := unread_guests():
            scope.notes.extend(Note(kind="warning", subject="not asked", text=text) for text in unread)
            return None
        if not scope.driver and ("libvirt" in scope.seen.parts or not any(folder.glob("*/guest.json"))):
            return None
        return observe(folder, scope.where)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Tell the monitors. Raises CommandFailed with QEMU's own words."""
        for command in batch.commands:
            tell(command, where)
        return ()


def observe(folder: Path, where: LiveHost) -> QemuState:
    """All guests with a definition below a folder."""
    files = [] if is_closed(folder) else sorted(folder.glob("*/guest.json"))
    links = _masters(where) if files else {}
    guests = {}
    for path in files:
        facts = json.loads(path.read_text())
        taps = {row["tap"]: links[row["tap"]] for row in facts["nics"] if row["tap"] in links}
        process = process_of(folder / facts["name"])
        halted = _halted(process, folder / facts["name"] / "qmp") if process is not None else ""
        guests[facts["name"]] = QemuGuest(definition=facts, running=process is not None, halted=halted, bridges=taps)
    return QemuState(folder=str(folder), guests=guests)


def _masters(where: LiveHost) -> dict[str, str]:
    """The master of each link, the bridge of somebody else's that it is a port of, "" where it has none."""
    from bascule.providers.registry import SWITCH_PROVIDERS

    found = masters_of_links(where.namespace)
    told = (provider.effects().masters(where.namespace) for provider in SWITCH_PROVIDERS)
    return found | {port: bridge for masters in told for port, bridge in masters.items() if port in found}


def process_of(folder: Path) -> int | None:
    """The process of a guest's folder: the one of its pid file, with its monitor on the command line."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / "pid").read_text())
        if any(str(folder / "qmp") in word for word in proc.argv(pid)):  # not another that got the number later
            return pid
    return None


def _halted(process: int, monitor: Path) -> str:
    """Why a guest with a process does nothing; "" for one that goes, and where its monitor does not say in time."""
    from bascule.system.qmp import Qmp

    if proc.is_stopped(process):
        return "paused"
    with contextlib.suppress(BasculeError), Qmp(monitor, patience_s=MONITOR_S) as qmp:
        return HALTED.get(qmp.ask("query-status")["status"], "")
    return ""


def tell(command: Command, where: LiveHost) -> None:
    """One word to a monitor. Where a NIC's cable is moved the wire is told where the guest is, for it may be silent."""
    from bascule.guests.gratuitous_arp import announce, forget_elsewhere
    from bascule.system.qmp import Qmp

    path = Path(command.words[-1].partition(":")[2])
    message = json.loads(command.stdin.splitlines()[-1])
    arguments: Mapping[str, Any] = message["arguments"]
    moved = _nic(path.parent, str(arguments.get("name", ""))) if message["execute"] == "set_link" else None
    if moved and not arguments["up"]:
        forget_elsewhere(*moved, namespace=where.namespace)
    with Qmp(path) as qmp:
        qmp.ask(message["execute"], **arguments)
        while message["execute"] == "device_del":
            if qmp.wait_deleted().get("device") == arguments["id"]:
                break
    if moved and arguments["up"]:
        mac, tap = moved
        announce(tap, mac, namespace=where.namespace)


def _nic(folder: Path, device: str) -> tuple[Mac, IfName] | None:
    with contextlib.suppress(OSError, ValueError):
        for row in json.loads((folder / "guest.json").read_text())["nics"]:
            if device == f"nic{row['index']}":
                return Mac(row["mac"]), IfName(row["tap"])
    return None
