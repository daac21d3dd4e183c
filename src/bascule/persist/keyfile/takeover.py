"""NetworkManager takes over the links that a change made.

To activate a profile it would tear down what the kernel has and take every port off a bridge, the guests' taps as
well (measured with 1.42: `nmcli connection up br2` drops 348 of 406 pings, and the tap stays out). What it does not
touch is a link that it finds when it starts, if its own note below /run says that the link carried this profile
before. So the notes are written while it is down for a moment, as a restart for an upgrade does it.

A link on which it still waits for an address it would take off its bridge or bond when that attempt fails (seen with
1.42, whose attempts at DHCP end after 45 s). So it is kept from such attempts as long as the change may go back.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from bascule.apply.state_directory import here
from bascule.errors import BasculeError
from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig
from bascule.persist.files import is_ours
from bascule.persist.keyfile import FOLDER
from bascule.persist.keyfile.profiles import path_of, profile_uuid
from bascule.persist.manager import Ours, Takeover, concerns
from bascule.persist.takeover import tell
from bascule.system.boot import has_systemd
from bascule.system.disk.durable import make_folder
from bascule.system.net.managers import (
    networkmanager_dhcp,
    networkmanager_hold,
    networkmanager_release,
    networkmanager_states,
    runs_here,
)
from bascule.system.process.on_death import OnDeath
from bascule.system.run import run

NOTES = Path("/run/NetworkManager/devices")  # by ifindex
LINKS = Path("/sys/class/net")
# what does not outlive a restart, and would be lost for a change that has nothing to do with it
FRAGILE = frozenset({"vpn", "802-11-wireless", "gsm", "cdma", "pppoe", "adsl", "bluetooth"})
# in a session of its own: whoever called may lose his terminal, and NetworkManager must not stay down
RESTART = ("setsid", "--wait", "sh", "-c")
WAIT_S = 30.0


PROFILES = f"/{FOLDER}/"
READS = (PROFILES, "/etc/NetworkManager/", "/etc/sysconfig/network-scripts/")


class _NetworkManager(Takeover):
    def follow(self, paths: Collection[str], ours: Ours) -> list[str]:
        if not runs_here("NetworkManager"):
            return []
        faults = []
        if links := ours():
            faults = _give_links(links, changed=concerns(paths, (PROFILES,)))
        elif concerns(paths, READS):
            faults = tell("nmcli", "general", "reload", "conf") + tell("nmcli", "connection", "reload")
        _release()
        return faults

    @contextlib.contextmanager
    def paused(self, ours: Ours, touched: Collection[str] | None, *, back: bool) -> Iterator[bool]:
        """It is down while links are put back, and forgets which profiles they had: it would take those from them.

        A link whose profile of ours went gets the one back that it had before, and with it whoever keeps its lease.
        Links on which it has not got what it wants yet it only leaves alone, and on a way back those that it was told
        to leave alone before the change.
        """
        had: dict[IfName, str] = {}
        links: dict[IfName, str] = {}
        held: list[str] = []
        if runs_here("NetworkManager"):
            rests = None if back else touched
            had = _had(ours())
            links = {name: kind for name, kind in had.items() if rests is None or name in rests}
            held = _hold(set(rests or ()) - links.keys())
        if not links or not has_systemd():
            yield bool(links or held)
            return
        stays = had.keys() - links.keys()
        again = partial(_start_again, links, ours, stays)
        with OnDeath(again):  # whoever is killed meanwhile leaves no host without its manager
            run(("systemctl", "stop", "NetworkManager"))
            try:
                yield True
            finally:
                again()

    def client_id(self, link: IfName) -> ClientId | None:
        return ClientId.of_lease(*networkmanager_dhcp(link))


TAKEOVER = _NetworkManager()


def _start_again(links: Collection[IfName], ours: Ours, stays: Collection[IfName]) -> None:
    """Start it without its notes on the links; twice does no harm.

    Nor on others that have a profile of ours by now, but for those that it had brought up by it, which ``stays``: of a
    link that went by one of the host's own it would activate that in its place, and take the ports off a bridge.
    """
    names = set(links)
    with contextlib.suppress(BasculeError, OSError):
        names |= ours().keys() - set(stays)
    for name in names:
        with contextlib.suppress(OSError):
            _put_back(name)
    run(("systemctl", "start", "NetworkManager"))


def _give_links(ours: Mapping[IfName, LinkConfig], *, changed: bool) -> list[str]:
    """Every link that has a profile of ours becomes that profile's; what could not be done, in words.

    ``changed`` says that profiles were written: one that is active already must be read again.
    """
    links = {name: link.options.kind for name, link in ours.items() if (LINKS / name).exists()}
    mine = {profile_uuid(name): name for name in links}
    try:
        active = _active()
        if not changed and mine.keys() <= {row.uuid for row in active}:
            return []
        fragile = ", ".join(row.name for row in active if row.kind in FRAGILE)
        if fragile or not has_systemd():
            # only loaded: to reload would also forget those that are gone, and take down what is still active by them
            run(("nmcli", "connection", "load", *(f"/{path_of(name)}" for name in ours)))
            reason = f"which would end {fragile} now" if fragile else "and there is no systemd to do it"
            hint = "'systemctl restart NetworkManager'"
            return [f"NetworkManager takes the profiles over when it starts again, {reason}: {hint}"]
        _remember(links, active)
        _restart(links)
        left = _wait(mine)
    except BasculeError as error:
        return [problem.message for problem in error.problems]
    return [f"NetworkManager does not have {', '.join(left)} as its own yet: see 'nmcli device'"] if left else []


def _had(ours: Mapping[IfName, LinkConfig]) -> dict[IfName, str]:
    """Those links, with their kinds, that have the profile of ours: all, where it does not tell."""
    if not ours:
        return {}
    try:
        active = {row.uuid for row in _active()}
    except BasculeError:
        active = {profile_uuid(name) for name in ours}
    return {name: link.options.kind for name, link in ours.items() if profile_uuid(name) in active}


class _Active(Struct, frozen=True):
    uuid: str
    kind: str
    device: str
    file: str
    name: str


def _active() -> list[_Active]:
    """The active connections."""
    text = run(
        ("nmcli", "-t", "-e", "no", "-f", "UUID,TYPE,DEVICE,FILENAME,NAME", "connection", "show", "--active")
    ).stdout
    rows = [line.split(":", 4) for line in text.splitlines()]
    return [_Active(*row) for row in rows if len(row) == 5]


def _held() -> Path:
    """The links that it must not attempt by itself, a line each, until the change stands or is taken back."""
    return here().runtime / "networkmanager-held"


def _hold(links: Collection[str]) -> list[str]:
    """Keep it from attempts at those of the links that it manages and has not brought up; which they are."""
    states = networkmanager_states() if links else {}
    held = sorted(link for link in links if states.get(link, "").startswith(("connecting", "disconnected")))
    # an address that somebody may be using is not taken away
    trying = [link for link in held if states[link].startswith("connecting") and not _has_address(link)]
    try:
        if held:
            make_folder(_held().parent)
            _held().write_text("".join(f"{link} {'trying' if link in trying else 'idle'}\n" for link in held))
    except OSError:  # the change itself will say what is wrong with the folder
        return []
    for link in held:
        with contextlib.suppress(BasculeError):
            networkmanager_hold(link, trying=link in trying)
    return held


def _has_address(link: str) -> bool:
    return bool(run(("ip", "address", "show", "dev", link, "scope", "global"), check=False).stdout.strip())


def _release() -> None:
    """It may attempt them again, except those that are ports, and goes on where it was trying."""
    if not _held().exists():
        return
    states = networkmanager_states()
    for link, what in map(str.split, _held().read_text().splitlines()):
        if not (LINKS / link / "master").exists():
            with contextlib.suppress(BasculeError):
                again = what == "trying" and states.get(link, "").startswith("disconnected")
                networkmanager_release(link, attempt=again)
    _held().unlink(missing_ok=True)


def _note(uuid: str, kind: str) -> str:
    return f"[device]\nmanaged=true\nconnection-uuid={uuid}\nnm-owned={'true' if kind else 'false'}\n"


def _index(name: str) -> str:
    return (LINKS / name / "ifindex").read_text().strip()


def _before() -> Path:
    """Notes on the profiles that links had before they got ours, by the links' names; they go with a restart."""
    return here().runtime / "networkmanager"


def _remember(links: Mapping[IfName, str], active: Iterable[_Active]) -> None:
    for row in active:
        name = IfName(row.device)
        # below /run stands what it made up itself for a link that it found configured
        if name in links and row.uuid != profile_uuid(name) and not row.file.startswith("/run/"):
            make_folder(_before())
            (_before() / name).write_text(_note(row.uuid, links[name]))


def _put_back(name: IfName) -> None:
    note, before = NOTES / _index(name), _before() / name
    profile = Path("/", path_of(name))
    if before.exists() and not (profile.exists() and is_ours(profile.read_text(errors="replace"))):
        note.write_text(before.read_text())
    else:
        note.unlink()


def _restart(links: Mapping[IfName, str]) -> None:
    notes = Path(tempfile.mkdtemp(prefix="bascule-", dir="/run"))
    try:
        for name, kind in links.items():
            (notes / _index(name)).write_text(_note(profile_uuid(name), kind))
        copy = f"cp -f {notes}/* {NOTES}/" if links else ":"
        run(("systemctl", "daemon-reload"))
        run((*RESTART, f"systemctl stop NetworkManager; {copy}; systemctl start NetworkManager"))
    finally:
        shutil.rmtree(notes, ignore_errors=True)


def _wait(mine: Mapping[str, IfName]) -> list[IfName]:
    """The links whose profile is not active in time."""
    end = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(BasculeError):  # it is just starting
            active = {row.uuid for row in _active()}
            left = sorted(name for uuid, name in mine.items() if uuid not in active)
            if not left or time.monotonic() > end:
                return left
        if time.monotonic() > end:
            return sorted(mine.values())
        time.sleep(0.2)
