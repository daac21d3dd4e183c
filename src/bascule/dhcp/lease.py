"""Let the host's DHCP clients go on on another link with the leases that they have, and bring them back."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from bascule.dhcp.clients import dhcp_clients
from bascule.errors import BasculeError, MissingTool
from bascule.model.dhcp.client import ClientStart, DhcpClient, Handover
from bascule.model.dhcp.kinds import KINDS
from bascule.system.boot import has_systemd
from bascule.system.disk import durable
from bascule.system.net.netns import is_machines_own
from bascule.system.net.resolved import link_names, set_link_names
from bascule.system.process.programs import end_with_children, programs, spawn_detached
from bascule.system.run import find_tool, rows, run

if TYPE_CHECKING:
    from bascule.plan.leases import NameServers

BOUND_S = 15.0  # for a client to hear from its server again: RFC 2131's first three tries, and STP
PAUSE_S = 0.1  # between two looks at an address that is still checked for duplicates
HOME_S = 5.0  # the same on the way back, which waits for nobody
FOREVER = 0xFFFFFFFF  # RFC 2131: a lease without an end


class HandoverResult(Struct, frozen=True, kw_only=True):
    """How it went: what could not be started or got another address, and what still waits for its server."""

    failed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def end(handovers: Iterable[Handover]) -> None:
    """End the clients on the links that they leave, at once: none of them gives its lease back or takes it off."""
    leaving = tuple(handovers)
    if not leaving:
        return
    running = programs()
    for client in dhcp_clients(running):
        if any(_is(client, handover, handover.link) for handover in leaving):
            end_with_children(client.pid, running)
            for path in KINDS[client.kind].pid_files(client.argv):
                if _read(path).strip() == str(client.pid).encode():
                    Path(path).unlink(missing_ok=True)


def begin(handovers: Iterable[Handover], folder: Path, *, patience_s: float) -> HandoverResult:
    """Start them on the links that they go to, where they do not run already, and wait until they have their leases.

    ``folder`` is that of the change: what they print stands there, and beside it the scripts that they run.
    """
    coming = tuple(handovers)
    running = dhcp_clients() if coming else ()
    until = time.monotonic() + patience_s
    started = []
    failed: list[str] = []
    for one in coming:
        if any(_is(client, one, one.to) for client in running):
            continue
        if "-6" in one.argv:
            _await_link_local(one.to, until)
        try:
            started.append(_StartedClient.start(one, folder))
        except (OSError, BasculeError) as error:
            failed.append(f"{one.kind} on {one.to} could not be started: {error}")
    waiting: list[str] = []
    for begun in started:
        words, final = begun.wait(until)
        if words:
            (failed if final else waiting).append(f"{begun.handover.kind} on {begun.handover.to} {words}")
    return HandoverResult(failed=tuple(failed), waiting=tuple(waiting))


def _await_link_local(link: str, until: float) -> None:
    """DHCPv6 is asked for from the link-local address, and dhclient ends at once where there is none (RFC 8415, 13.1).

    On a link that has just come up the kernel looks for duplicates of it first, for a second or two.
    """
    words = ("ip", "-6", "-j", "addr", "show", "dev", link, "scope", "link", "-tentative")
    while time.monotonic() < until:
        with contextlib.suppress(BasculeError, ValueError):
            if any(entry.get("addr_info") for entry in rows(words)):
                return
        time.sleep(PAUSE_S)


def give_names(names: Iterable[NameServers]) -> tuple[str, ...]:
    """Tell systemd-resolved the name servers of links that have none yet; what could not be told.

    On the way back there is nothing to do: it forgets a link that goes, and has kept what it knew for the other one.
    """
    faults = []
    for one in names:
        try:
            if not link_names(one.to):  # a client's hook may have been quicker
                set_link_names(one.to, one.facts)
        except BasculeError as error:
            faults.append(f"systemd-resolved does not take the name servers of {one.link} for {one.to}: {error}")
    return tuple(faults)


def _is(client: DhcpClient, handover: Handover, link: str) -> bool:
    family = ("-6" in client.argv) == ("-6" in handover.argv)
    return client.kind == handover.kind and family and link in client.links and not client.daemon


class _StartedClient(Struct, kw_only=True):
    handover: Handover
    start_: ClientStart
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, handover: Handover, folder: Path) -> _StartedClient:
        """Its lease in its place, and off it goes, in a session of its own."""
        start = KINDS[handover.kind].start(handover)
        _carry(start)
        for path in Path("/").glob(start.forgets) if start.forgets else ():  # or they come back with any link's lease
            path.unlink(missing_ok=True)
        argv = [word.replace("{script}", _script(handover, start, folder)) for word in start.argv]
        log = folder / f"{handover.kind}-{handover.to}.log"
        log.unlink(missing_ok=True)
        return cls(handover=handover, start_=start, log=log, process=spawn_detached(_command(argv), log=log))

    def wait(self, until: float) -> tuple[str, bool]:
        """Until it goes to the background; what is wrong, and whether waiting longer would not help."""
        status: int | None = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(max(until - time.monotonic(), 0.0))
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        if status:
            last = ([line for line in text.splitlines() if line.strip()] or [f"status {status}"])[-1]
            return f"ended: {last}", True
        found = re.search(self.start_.bound, text) if self.start_.bound else None
        if found and self.handover.addresses and found[1] not in self.handover.addresses:
            return f"was given another address, {found[1]}", True
        if found is None and (self.start_.bound or status is None):
            return "has not heard from its server again", False
        self._prolong(found[1] if found else "")
        return "", True

    def _prolong(self, address: str) -> None:
        """The kernel's time for the address is what was left of the lease; it was renewed just now."""
        for _, path in self.start_.carry:
            length = self.start_.seconds(_read(path)) if self.start_.seconds else None
            if length is None:
                continue
            with contextlib.suppress(BasculeError, ValueError, LookupError):
                entry = rows(("ip", "-j", "-4", "addr", "show", "dev", self.handover.to))[0]
                have = next(a for a in entry["addr_info"] if a.get("local") == address and a.get("dynamic"))
                lifetime = "forever" if length == FOREVER else str(length)
                words = [f"{address}/{have['prefixlen']}", *(("brd", have["broadcast"]) if "broadcast" in have else ())]
                run(("ip", "addr", "change", *words, "dev", self.handover.to, "valid_lft", lifetime,
                     "preferred_lft", lifetime))  # fmt: skip


def _carry(start: ClientStart) -> None:
    """The lease files of the link that is left, as those of the new one."""
    for source, target in start.carry:
        path = Path(source)
        if not path.is_file():
            continue
        status = path.stat()
        data = path.read_bytes() if start.rewrite is None else start.rewrite(path.read_bytes(), _read(target))
        durable.write_whole(Path(target), data, mode=status.st_mode & 0o7777, owner=(status.st_uid, status.st_gid))


def _script(handover: Handover, start: ClientStart, folder: Path) -> str:
    """A script of ours between a client and its own, for as long as the client runs."""
    if not start.script:
        return ""
    path = folder.parent.parent / "clients" / f"{handover.kind}-{handover.to}"
    durable.make_folder(path.parent)
    durable.write_whole(path, start.script.encode(), mode=0o755)
    path.with_name(path.name + ".bound").unlink(missing_ok=True)
    return str(path)


def _command(argv: Sequence[str]) -> list[str]:
    """The program by its path. Under systemd in a scope of its own: it must outlive the administrator's session."""
    try:
        words = [find_tool(argv[0]), *argv[1:]]
    except MissingTool:
        words = [find_tool("busybox"), *argv]  # an applet that has no link of its own
    if is_machines_own() and has_systemd() and shutil.which("systemd-run"):
        return ["systemd-run", "--scope", "--quiet", "--collect", f"--description=DHCP client: {argv[0]}", "--", *words]
    return words


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
