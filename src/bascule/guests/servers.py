"""The dnsmasq of a host's own virtual networks, as a part of a change: started behind the kernel's part, taken back.

Where systemd starts the machine, each network is a unit of its own, which makes bridge and rules again after a restart
and then starts its dnsmasq; elsewhere the dnsmasq is a plain daemon and ends with the machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError, CommandFailed, Problem
from bascule.model.state import FORWARDING, HostState, link_of
from bascule.model.values import bridge_name
from bascule.plan.change import Change, Note
from bascule.plan.diff import diff
from bascule.plan.step import Phase
from bascule.plan.virtual_network import ResolvedNetwork, needs_server
from bascule.policy.network_rules import table_key
from bascule.providers.dnsmasq.arguments import arguments as dnsmasq_arguments
from bascule.system.disk import durable
from bascule.system.disk.files import remove_file
from bascule.system.run import find_tool, run

UNITS = Path("/etc/systemd/system")
END_S = 3.0  # how long a dnsmasq may take to end
MARK = "# Bascule writes this file and takes it away again"


class ServerChange(Struct, frozen=True, kw_only=True):
    """What happens to one network's server. ``arguments`` None ends it; () is a network without a dnsmasq."""

    name: str
    arguments: tuple[str, ...] | None
    action: str
    reason: str
    rules_only: bool = False  # libvirt makes the network, and knows nothing of its forwards
    served: bool = True  # before, by a dnsmasq

    def as_change(self) -> Change:
        """The change as the plan prints it."""
        what = "start" if self.arguments == () or not (self.arguments or self.served) else "dnsmasq"
        return Change(subject=f"{what} of {self.name}", action=self.action, reason=self.reason, stage=Phase.SERVER)


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
    resolved_networks: Sequence[ResolvedNetwork],
    folder: Path,
    wanted: HostState,
    *,
    lasting: bool,
    by_libvirt: bool = False,
) -> tuple[ServerChange, ...]:
    """What must change so that each network has its server; one whose bridge goes away loses it.

    ``lasting``: also the units that start them with the machine. ``by_libvirt``: of a network with forwards only its
    rules are ours, and nothing of the others.
    """
    now = running(folder)
    declared = {one.name: one for one in resolved_networks if not by_libvirt}
    changes = [
        ServerChange(
            name=one.name,
            arguments=(),
            action="its rules are loaded again when the machine starts",
            reason=f"virtual network {one.name} is declared with port forwards",
            rules_only=True,
        )
        for one in resolved_networks
        if by_libvirt and lasting and one.forwards and not _starts(one.name, (), folder, wanted, rules_only=True)
    ]
    for name, one in declared.items():
        arguments = dnsmasq_arguments(one, str(folder)) if needs_server(one) else ()
        right = now.get(name, ()) == arguments
        if right and (not lasting or _starts(name, arguments, folder, wanted)):
            continue
        if not arguments:
            action = "its bridge and rules are made again when the machine starts"
        elif name not in now:
            action = f"started ({'DHCP and DNS' if one.ranges else 'names and router advertisements'})"
        else:
            action = "started with the machine from now on" if right else "started anew: what it answers has changed"
        reason = f"virtual network {name} is declared {one.mode}"
        changes.append(ServerChange(name=name, arguments=arguments, action=action, reason=reason))
    for name in now:
        if name not in declared and bridge_name(name) not in wanted.links:
            reason = f"its bridge {bridge_name(name)} goes away"
            changes.append(ServerChange(name=name, arguments=None, action="ended", reason=reason))
    kept = {one.name for one in resolved_networks if one.forwards or not by_libvirt}
    for name in _started(folder) if lasting else ():
        if name not in now and name not in kept and bridge_name(name) not in wanted.links:
            action, reason = "not made again when the machine starts", f"its bridge {bridge_name(name)} goes away"
            changes.append(ServerChange(name=name, arguments=None, action=action, reason=reason, served=False))
    return tuple(changes)


def _started(folder: Path) -> list[str]:
    """The networks that systemd makes when the machine starts."""
    return sorted(script.stem for script in folder.glob("*.sh"))


def _starts(
    name: str, arguments: tuple[str, ...], folder: Path, wanted: HostState, *, rules_only: bool = False
) -> bool:
    """Whether systemd makes this very network when the machine starts."""
    script, unit = _files(name, folder)
    again = make_again(name, wanted, rules_only=rules_only)
    return _text(script) == again and _text(unit) == unit_text(name, arguments, folder)


class ServerPart(Struct, frozen=True, kw_only=True):
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
            "rules_only": [change.name for change in self.servers if change.rules_only],
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
            remove_file(script)
            remove_file(unit)
        else:
            if not change.arguments:
                stop(change.name, self.folder)  # libvirt's own wants its ports
            again = make_again(change.name, wanted, rules_only=change.rules_only)
            durable.write_whole(script, again.encode(), mode=0o700)
            durable.write_whole(unit, unit_text(change.name, change.arguments, self.folder).encode(), mode=0o644)
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
                _unmake(name, rules_only=name in kept["rules_only"])
        except (BasculeError, OSError) as error:
            faults.append(f"dnsmasq of {name}: {error}")
    return (), tuple(faults)


def _one_back(
    name: str, words: Sequence[str] | None, folder: Path, texts: Mapping[str, str | None], *, lasting: bool
) -> None:
    now = running(folder).get(name)
    unit = _unit_path(name)
    if lasting and texts.get(str(unit)) is None:
        run(("systemctl", "disable", "--now", unit.name), check=False)
    for path in _files(name, folder):
        _file_back(path, texts.get(str(path)))
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


def files_back(kept: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Only the scripts and units, before systemd runs them; the paths, and what went wrong."""
    done, faults = [], []
    for path, text in kept["files"].items() if kept["lasting"] else ():
        try:
            if _file_back(Path(path), text):
                done.append(path)
        except OSError as error:
            faults.append(f"{path}: {error.strerror or error}")
    return tuple(done), tuple(faults)


def _file_back(path: Path, text: str | None) -> bool:
    """A script or unit as it was; whether it was not."""
    if _text(path) == text:
        return False
    link = UNITS / "multi-user.target.wants" / path.name
    if text is None:
        for each in (link, path) if path.parent == UNITS else (path,):
            remove_file(each)
    else:
        durable.write_whole(path, text.encode(), mode=0o700 if path.suffix == ".sh" else 0o644)
        if path.parent == UNITS:
            durable.make_folder(link.parent, mode=0o755)
            durable.link(link, path)
    return True


def _unmake(name: str, *, rules_only: bool) -> None:
    """What the unit made when the machine started; the checkpoint's kernel is gone, and its way back with it."""
    if not rules_only:
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
    """End the dnsmasq of a network, if it is still the one of the pid file, and wait until its ports are free."""
    if name not in running(folder):
        return
    with contextlib.suppress(OSError, ValueError):
        door = os.pidfd_open(int((folder / f"{name}.pid").read_text()))  # tells of the end when the sockets are closed
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(door, number)
                if select.select([door], [], [], END_S)[0]:
                    return
        finally:
            os.close(door)


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


def unit_text(name: str, arguments: Sequence[str], folder: Path) -> str:
    """A systemd unit for a network: its bridge and rules, then its dnsmasq, if it has one."""
    lines = [
        MARK,
        "[Unit]",
        f"Description=Virtual network {name}: what Bascule makes of it when the machine starts",
        "After=network.target nftables.service firewalld.service",
        "",
        "[Service]",
        f"ExecStartPre={folder / name}.sh",
    ]
    if arguments:
        words = " ".join(shlex.quote(word).replace("%", "%%") for word in arguments)
        lines += ["Type=forking", f"PIDFile={folder / name}.pid", "Restart=on-failure"]
        lines.append(f"ExecStart={find_tool('dnsmasq')} {words}")
    else:
        lines += ["Type=oneshot", "RemainAfterExit=yes", "ExecStart=/bin/true"]
    return "\n".join([*lines, "", "[Install]", "WantedBy=multi-user.target", ""])


def make_again(name: str, wanted: HostState, *, rules_only: bool = False) -> str:
    """A script that makes a network's bridge, rules and forwarding again, with the plan's own commands."""
    bridge = bridge_name(name)
    key = table_key(name)
    forwarding = {k: v for k, v in wanted.sysctls.items() if k in FORWARDING.values() and v == "1"}
    own = {k: v for k, v in wanted.sysctls.items() if link_of(k) == bridge}
    rules = HostState(tables={key: wanted.tables[key]} if key in wanted.tables else {}, sysctls=forwarding)
    always = diff(HostState(), rules)
    lines = ["#!/bin/sh", MARK, "set -e", *_lines(always.changes)]
    if rules_only:
        return "\n".join([*lines, ""])
    link = wanted.links[bridge]
    bare = replace(link, addresses=tuple(a for a in link.addresses if not a.is_link_local))  # the kernel makes those
    there = diff(HostState(), HostState(links={bridge: bare}, sysctls=own))
    lines += [f"if ! ip link show dev {bridge} > /dev/null 2>&1; then", *_lines(there.changes), "fi", ""]
    return "\n".join(lines)


def _lines(changes: Iterable[Change]) -> Iterator[str]:
    return (str(command) for change in changes for command in change.commands)
