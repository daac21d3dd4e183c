"""The dnsmasq that run in Bascule's folder, their files and their leases."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from bascule.model.domain import Lease
from bascule.providers.boot_files import MULTI_USER, UNITS
from bascule.providers.dnsmasq.arguments import parse_leases
from bascule.providers.dnsmasq.state import UNIT, DnsmasqState, Server
from bascule.providers.effects import is_enabled, text_of_file
from bascule.system.process import proc

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def observe(folder: Path, units: str = UNITS) -> DnsmasqState:
    """All that are there, running or started with the machine."""
    program = shutil.which("dnsmasq") or shutil.which("dnsmasq", path=PATH) or "/usr/sbin/dnsmasq"
    empty = DnsmasqState(folder=str(folder), units=units, program=program)
    now = running(folder)
    servers = {}
    there = {path.name.removeprefix(UNIT) for path in Path(units).glob(f"{UNIT}*.service")}  # whoever wrote it
    scripts = (script.stem for script in folder.glob("*.sh"))
    for name in sorted({*now, *scripts, *(name.removesuffix(".service") for name in there)}):
        path = empty.unit_path(name)
        servers[name] = Server(
            arguments=now.get(name),
            script=text_of_file(empty.file(name, "sh")),
            unit=text_of_file(path),
            enabled=is_enabled(path, MULTI_USER),
        )
    return DnsmasqState(folder=str(folder), units=units, program=program, servers=servers)


def running(folder: Path) -> dict[str, tuple[str, ...]]:
    """The networks whose dnsmasq runs, with the words behind its name; those of others are not in our folder."""
    found = {}
    for file in sorted(folder.glob("*.pid")):
        with contextlib.suppress(OSError, ValueError):
            argv = proc.argv(int(file.read_text()))
            if f"--pid-file={file}" in argv:  # not another process that got the number later
                found[file.stem] = argv[1:]
    return found


def leases_in(file: Path, network: str = "") -> tuple[Lease, ...]:
    """What a dnsmasq has given until now; none where it has no file."""
    with contextlib.suppress(OSError):
        return parse_leases(file.read_text(), network)
    return ()


def status(folder: Path) -> tuple[tuple[str, bool], ...]:
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
