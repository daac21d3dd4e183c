"""The dnsmasq of a host's own virtual networks, as a part of a change: started behind the kernel's part, taken back.

Where systemd starts the machine, each network is a unit of its own, which makes bridge and rules again after a restart
and then starts its dnsmasq; elsewhere the dnsmasq is a plain daemon and ends with the machine.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.guests.virtual_network import leases_in
from bascule.model.state import FORWARDING, HostState, link_of
from bascule.plan.change import Change, Note
from bascule.plan.diff import diff
from bascule.plan.step import Phase
from bascule.plan.virtual_network import Realm, bridge_name, dnsmasq_arguments, needs_server, table_key
from bascule.system import durable
from bascule.system.run import find_tool, run

UNITS = Path("/etc/systemd/system")
END_S = 3.0  # how long a dnsmasq may take to end
MARK = "# Bascule writes this file and takes it away again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChange:
    """What happens to one network's server. ``arguments`` None ends it; () is a network without a dnsmasq."""

    name: str
    arguments: tuple[str, ...] | None
    action: str
    reason: str

    def as_change(self) -> Change:
        """The change as the plan prints it."""
        return Change(subject=f"dnsmasq of {self.name}", action=self.action, reason=self.reason, stage=Phase.SERVER)


def running(folder: Path) -> dict[str, tuple[str, ...]]:
    """The networks whose dnsmasq runs, with the words behind its name; those of others are not in our folder."""
    found = {}
    for file in sorted(folder.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{int(file.read_text())}/cmdline").read_bytes().decode().split("\0")
            if f"--pid-file={file}" in words:  # not another process that got the number later
                found[file.stem] = tuple(words[1:-1])
    return found


def plan_servers(
    realms: Iterable[Realm], folder: Path, wanted: HostState, *, lasting: bool
) -> tuple[ServerChange, ...]:
    """What must change so that each network has its server; one whose bridge goes away loses it.

    ``lasting``: also the units that start them with the machine.
    """
    now = running(folder)
    changes = []
    declared = {one.name: one for one in realms}
    for name, one in declared.items():
        arguments = dnsmasq_arguments(one, folder) if needs_server(one) else ()
        kept = not lasting or _unit_path(name).exists()
        if now.get(name, ()) == arguments and kept:
            continue
        answers = "DHCP and DNS" if one.ranges else "names and router advertisements"
        action = f"started ({answers})" if name not in now else "started anew: what it answers has changed"
        if not arguments:
            if kept:
                continue
            action = "needs none; its bridge and rules are made again when the machine starts"
        elif now.get(name) == arguments:
            action = "started with the machine from now on"
        reason = f"virtual network {name} is declared {one.mode}"
        changes.append(ServerChange(name=name, arguments=arguments, action=action, reason=reason))
    for name in now:
        if name not in declared and bridge_name(name) not in wanted.links:
            reason = f"{bridge_name(name)} goes away, or libvirt makes it"
            changes.append(ServerChange(name=name, arguments=None, action="ended", reason=reason))
    return tuple(changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPart:
    """The servers' part of a change; ``lasting`` where systemd starts them with the machine."""

    folder: Path
    servers: tuple[ServerChange, ...]
    lasting: bool = False

    kind: ClassVar[str] = "servers"
    moved_taps: ClassVar[frozenset[str]] = frozenset()
    own_links: ClassVar[frozenset[str]] = frozenset()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes as the plan prints them."""
        return tuple(change.as_change() for change in self.servers)

    def keep(self) -> dict[str, Any]:
        """What runs, and the files that start it with the machine, as they are."""
        now = running(self.folder)
        names = [change.name for change in self.servers]
        return {
            "folder": str(self.folder),
            "lasting": self.lasting,
            "running": {name: list(now[name]) if name in now else None for name in names},
            "files": {str(path): _text(path) for name in names for path in _files(name, self.folder)},
        }

    def made(self) -> dict[str, Any]:
        """Nobody but us changes them."""
        return {}

    def make(self, wanted: HostState) -> tuple[Note, ...]:
        """Start, restart and end them. Raises CommandFailed or MissingTool with dnsmasq's own words."""
        durable.make_folder(self.folder)
        for change in self.servers:
            if self.lasting:
                self._as_unit(change, wanted)
                continue
            stop(change.name, self.folder)
            if change.arguments:
                start(change.name, change.arguments)
        return ()

    def _as_unit(self, change: ServerChange, wanted: HostState) -> None:
        script, unit = _files(change.name, self.folder)
        if change.arguments is None:
            run(("systemctl", "disable", "--now", unit.name), check=False)
            stop(change.name, self.folder)
            _remove((script, unit))
        else:
            durable.write_whole(script, make_again(change.name, wanted).encode(), mode=0o700)
            durable.write_whole(unit, unit_text(change, script, self.folder).encode(), mode=0o644)
        run(("systemctl", "daemon-reload"))
        if change.arguments is not None:
            run(("systemctl", "enable", unit.name))
            run(("systemctl", "restart", unit.name))


def go_back(kept: Mapping[str, Any], *, rebooted: bool = False) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Servers and units as they were; nothing that others kept, and what went wrong."""
    folder, faults = Path(kept["folder"]), []
    texts: dict[str, str | None] = kept["files"]
    for name, words in kept["running"].items():
        try:
            _one_back(name, words, folder, texts, lasting=kept["lasting"])
            if rebooted and kept["lasting"] and texts.get(str(_unit_path(name))) is None:
                _unmake(name)
        except (BasculeError, OSError) as error:
            faults.append(f"dnsmasq of {name}: {error}")
    return (), tuple(faults)


def _one_back(
    name: str, words: Sequence[str] | None, folder: Path, texts: Mapping[str, str | None], *, lasting: bool
) -> None:
    now = running(folder).get(name)
    files = _files(name, folder)
    unit = files[1]
    changed = [path for path in files if _text(path) != texts.get(str(path))]
    if lasting and texts.get(str(unit)) is None:
        run(("systemctl", "disable", "--now", unit.name), check=False)
    for path in changed:
        text = texts.get(str(path))
        if text is not None:
            durable.write_whole(path, text.encode(), mode=0o700 if path.suffix == ".sh" else 0o644)
    _remove(path for path in changed if texts.get(str(path)) is None)
    if lasting:
        run(("systemctl", "daemon-reload"))
    if words is None:
        stop(name, folder)
        for suffix in ("leases", "pid"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    elif lasting and texts.get(str(unit)) is not None:
        run(("systemctl", "restart", unit.name))
    elif now != tuple(words):
        stop(name, folder)
        start(name, words)


def _unmake(name: str) -> None:
    """What the unit made when the machine started; the checkpoint's kernel is gone, and its way back with it."""
    run(("ip", "link", "del", "dev", bridge_name(name)), check=False)
    run(("nft", "delete", "table", *table_key(name).split()), check=False)


def start(name: str, arguments: Sequence[str]) -> None:
    """Start a dnsmasq in the background; it outlives us. Raises CommandFailed with its own words."""
    done = run(("dnsmasq", *arguments), check=False)
    if done.status != 0:
        words = " ".join(done.stderr.split()).removeprefix("dnsmasq: ") or f"exit status {done.status}"
        raise CommandFailed(
            Problem(
                code="DNSMASQ",
                message=f"dnsmasq of virtual network '{name}' did not start: {words}",
                hint="`bascule doctor` shows who else has port 53 or 67",
            )
        )


def stop(name: str, folder: Path) -> None:
    """End the dnsmasq of a network, if it is still the one of the pid file, and wait until it has ended."""
    end = time.monotonic() + END_S
    told = False
    while name in running(folder):
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / f"{name}.pid").read_text())
            if not told or time.monotonic() > end:
                os.kill(pid, signal.SIGKILL if told else signal.SIGTERM)
                told = True
        time.sleep(0.02)


def _files(name: str, folder: Path) -> tuple[Path, Path]:
    """What makes a network again, and the unit that runs it."""
    return folder / f"{name}.sh", _unit_path(name)


def _unit_path(name: str) -> Path:
    return UNITS / f"bascule-network-{name}.service"


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def unit_text(change: ServerChange, script: Path, folder: Path) -> str:
    """A systemd unit for a network: its bridge and rules, then its dnsmasq."""
    lines = [
        MARK,
        "[Unit]",
        f"Description=Virtual network {change.name}: bridge, rules, DHCP and names",
        "After=network.target nftables.service firewalld.service",
        "",
        "[Service]",
        f"ExecStartPre={script}",
    ]
    if change.arguments:
        words = " ".join(shlex.quote(word).replace("%", "%%") for word in change.arguments)
        lines += ["Type=forking", f"PIDFile={folder / change.name}.pid", "Restart=on-failure"]
        lines.append(f"ExecStart={find_tool('dnsmasq')} {words}")
    else:
        lines += ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true"]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def make_again(name: str, wanted: HostState) -> str:
    """A script that makes a network's bridge, rules and forwarding again, with the plan's own commands."""
    bridge = bridge_name(name)
    link, key = wanted.links[bridge], table_key(name)
    forwarding = {k: v for k, v in wanted.sysctls.items() if k in FORWARDING.values() and v == "1"}
    own = {k: v for k, v in wanted.sysctls.items() if link_of(k) == bridge}
    rules = HostState(tables={key: wanted.tables[key]} if key in wanted.tables else {}, sysctls=forwarding)
    always = diff(HostState(), rules)
    there = diff(HostState(), HostState(links={bridge: link}, sysctls=own))
    lines = ["#!/bin/sh", MARK, "set -e", *_lines(always.changes)]
    lines += [f"if ! ip link show dev {bridge} > /dev/null 2>&1; then", *_lines(there.changes), "fi", ""]
    return "\n".join(lines)


def _lines(changes: Iterable[Change]) -> Iterator[str]:
    return (str(command) for change in changes for command in change.commands)


def standing(folder: Path) -> tuple[tuple[str, bool], ...]:
    """A word about each network's server, and whether it is well: those that run, and those that are gone."""
    now = running(folder)
    found = []
    for file in sorted(folder.glob("*.pid")):
        if file.stem in now:
            leases = len(leases_in(folder / f"{file.stem}.leases"))
            found.append((f"dnsmasq of {file.stem} runs (process {file.read_text().strip()}, {leases} leases)", True))
        else:
            found.append((f"dnsmasq of {file.stem} has ended; 'bascule apply' starts it again", False))
    return tuple(found)
