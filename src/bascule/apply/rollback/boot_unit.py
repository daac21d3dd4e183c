"""The boot after a loss of power takes back what nobody confirmed: units of systemd that stand while a change is open.

The dead-man dies with the power. What outlives it are the files, and a machine that boots unconfirmed ones may be out
of reach. So before the first of them is written, two units are on the disk: one puts the files back before anything
that configures the network reads them, the other (where a change has such parts) what only a running machine can
take back: definitions of guests, servers of virtual networks. Both run :mod:`bascule.apply.at_boot`. systemd finds
them when it starts the next time; nothing has to be told of them now.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from bascule.apply.rollback import parts
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.apply.rollback.watchdog import handed_over
from bascule.apply.state_directory import StateDirectory
from bascule.errors import BasculeError, NotPermitted, Problem
from bascule.providers.boot_files import HEADER
from bascule.system.boot import has_systemd
from bascule.system.disk import durable

BY = "the boot after it"  # as the journal says who took it back
OWN = "/etc/"  # files of the machine itself; with --root they lie elsewhere
UNITS = Path("/etc/systemd/system")
EARLY, LATE = "bascule-boot.service", "bascule-boot-rest.service"
WANTED_BY = {EARLY: "sysinit.target", LATE: "multi-user.target"}
# It is there until the machine restarts. Who reloads systemd meanwhile makes the units known to this boot as well, and
# whatever is started then pulls sysinit.target in, and with it what that wants
MARK = Path("/run/bascule/boot-guard")
READERS = (
    "systemd-sysctl.service", "systemd-networkd.service", "NetworkManager.service", "networking.service",
    "network.service", "wicked.service", "wickedd.service", "dhcpcd.service", "connman.service",
)  # fmt: skip
HYPERVISORS = tuple(
    f"{daemon}.{kind}" for daemon in ("libvirtd", "virtqemud", "virtnetworkd") for kind in ("socket", "service")
)


def is_needed(place: StateDirectory, checkpoint: Checkpoint) -> bool:
    """Whether a change leaves anything that the next boot would read, and systemd makes that boot."""
    files = any(file.path.startswith(OWN) for file in checkpoint.files)
    lasting = files or parts.last(checkpoint.before, checkpoint.wanted)
    return lasting and place.is_main and not gap(place)


def gap(place: StateDirectory) -> str:
    """Why no boot takes a change of this machine back; empty where it does."""
    if not has_systemd():
        return "systemd, which would take them back, does not run here"
    from bascule.system.disk.mounts import needs_network

    with contextlib.suppress(OSError):
        for path in _needs(place):
            if needs_network(path):
                return f"'{path}', which the rollback needs, is reached over the network only"
    return ""


def install(place: StateDirectory, folder: Folder, checkpoint: Checkpoint) -> None:
    """Have the units on the disk. Raises BasculeError where they cannot be there; none is then."""
    texts = {EARLY: _early(place, folder)}
    if parts.last(checkpoint.before, checkpoint.wanted):
        texts[LATE] = _late(place, folder)
    try:
        durable.make_folder(MARK.parent)
        MARK.touch()
        for name in reversed(texts):  # nobody starts the late one before there is an early one
            unit, link = UNITS / name, _link(name)
            durable.make_folder(link.parent, mode=0o755)
            durable.write_whole(unit, texts[name].encode(), mode=0o644)
            durable.link(link, unit)
    except OSError as error:
        remove(folder)
        problem = Problem(
            code="NOT-ARMED",
            message=f"'{UNITS / EARLY}', which takes the change back after a loss of power, cannot be written: "
            f"{error.strerror or error}; nothing was changed",
            hint="run it as root" if isinstance(error, PermissionError) else "free some space, or mount it writable",
        )
        raise (NotPermitted if isinstance(error, PermissionError) else BasculeError)(problem) from error


def remove(folder: Folder) -> None:
    """Take away the units of a change that is decided; those of another one stay.

    One that is left by a disk that takes nothing finds nothing open at the next boot, and goes then.
    """
    for name in WANTED_BY:
        with contextlib.suppress(OSError):
            for half in UNITS.glob(f".{name}.*.new"):  # of one who was killed while he wrote it
                durable.remove_file(half)
            if _is_for(folder, name):
                durable.remove_file(_link(name))
                durable.remove_file(UNITS / name)


def is_installed(folder: Folder, name: str = EARLY) -> bool:
    """Whether a boot takes this change back."""
    try:
        return _link(name).is_symlink() and _is_for(folder, name)
    except OSError:
        return False


def _is_for(folder: Folder, name: str) -> bool:
    return _whose(folder) in (UNITS / name).read_text().splitlines()


def _whose(folder: Folder) -> str:
    return f"# for {folder.path}"


def _link(name: str) -> Path:
    return UNITS / f"{WANTED_BY[name]}.wants" / name


def _early(place: StateDirectory, folder: Folder) -> str:
    """As a firewall's unit: before network-pre.target, and so before whoever configures the network."""
    return "\n".join([
        HEADER,
        _whose(folder),
        "[Unit]",
        f"Description=Puts back the files of Bascule's change {folder.number}, which nobody confirmed",
        "DefaultDependencies=no",
        *_conditions(place),
        "After=systemd-remount-fs.service local-fs.target",
        "Wants=network-pre.target",
        f"Before=network-pre.target {' '.join(READERS)}",
        "Conflicts=shutdown.target",
        "Before=shutdown.target",
        *_service(place, folder, "files", "10min"),
        *_install(EARLY),
    ])  # fmt: skip


def _late(place: StateDirectory, folder: Folder) -> str:
    """When the machine has started: it asks libvirt, and starts and stops units, which waits for nobody then."""
    return "\n".join([
        HEADER,
        _whose(folder),
        "[Unit]",
        f"Description=Takes back what else belongs to Bascule's change {folder.number}, which nobody confirmed",
        *_conditions(place),
        f"After={EARLY} multi-user.target {' '.join(HYPERVISORS)}",
        *_service(place, folder, "rest", "15min"),
        *_install(LATE),
    ])  # fmt: skip


def _conditions(place: StateDirectory) -> list[str]:
    needs = " ".join(_quoted(path) for path in _needs(place))
    return [f"RequiresMountsFor={needs}", f"ConditionPathExists=!{MARK}"]


def _service(place: StateDirectory, folder: Folder, what: str, limit: str) -> list[str]:
    words = (sys.executable, "-P", "-m", "bascule.apply.at_boot", what, str(folder.path), str(place.lock))
    return [
        "",
        "[Service]",
        "Type=oneshot",
        f"TimeoutStartSec={limit}",
        *(f"Environment={_quoted(f'{key}={value}')}" for key, value in handed_over().items()),
        f"ExecStart={' '.join(_quoted(word).replace('$', '$$') for word in words)}",
    ]


def _install(name: str) -> list[str]:
    return ["", "[Install]", f"WantedBy={WANTED_BY[name]}", ""]


def _needs(place: StateDirectory) -> list[Path]:
    """Where the checkpoint, the interpreter and Bascule lie."""
    paths = (place.state, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)
    return list(dict.fromkeys(path.absolute() for path in paths))


def _quoted(word: object) -> str:
    """A word as systemd reads it (systemd.syntax(7)), whatever is in it."""
    text = str(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
