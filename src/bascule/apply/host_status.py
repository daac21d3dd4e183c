"""How this host stands: what is armed, what was left unfinished and what finishes it, what has drifted."""

from __future__ import annotations

import contextlib
import time

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.lock import open_elsewhere
from bascule.apply.rollback import boot_unit, files, parts
from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import Checkpoint, Folder, LogEntry, Status
from bascule.apply.rollback.passes import differences
from bascule.apply.rollback.watchdog import lives
from bascule.apply.state_directory import StateDirectory, here, relative_words
from bascule.errors import CommandFailed
from bascule.plan.diff import diff
from bascule.plan.drift import drift_goal
from bascule.policy.guards.counters import StoppedFrames
from bascule.providers.effects import ObserveScope
from bascule.providers.loaded_guards import guards_of
from bascule.providers.observe import observe
from bascule.providers.protocol import Provider, ThreeWay
from bascule.providers.registry import PROVIDERS
from bascule.system import boot
from bascule.system.disk.lockfile import Holder, holder


class HostStatus(Struct, frozen=True, kw_only=True):
    """The last change that is not taken back, and the host against it.

    ``words`` says what was found and what finishes it; ``ok`` is False when somebody must act: drift is put
    right, or made the file's, by a person.
    """

    words: str
    ok: bool = True
    number: int | None = None
    status: Status | None = None
    site: str = ""
    made_at: float = 0.0
    left_s: float | None = None  # until it is taken back
    until: float | None = None  # the same on the wall clock
    watchdog: str = ""
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # what others had changed when the last change of all was taken back
    drift: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()  # why it cannot be said whether anything has drifted
    busy: Holder | None = None
    servers: tuple[str, ...] = ()  # the dnsmasq of networks of our own, and those that are gone
    stopped: tuple[StoppedFrames, ...] = ()  # by the guards of guest NICs, since their table was loaded
    passed_over: tuple[str, ...] = ()  # what of others may let frames pass those guards


def host_status() -> HostStatus:
    """Look.

    Raises BasculeError when the checkpoint is damaged, MissingTool or NotPermitted when nothing can be seen.
    """
    place = here()
    latest = checkpoints.latest(place)
    busy = holder(place.lock)
    if latest is None:
        lost = open_elsewhere(place)
        words, kept = (lost, ()) if lost else _none(place)
        found = HostStatus(words=words, kept=kept, ok=not lost, busy=busy if busy.is_alive else None)
    else:
        folder, entry = latest
        found = _StatusReport(folder, entry, folder.read(), busy).tell()
        later, kept = _taken_back(place, after=folder.number)
        if entry.status is Status.CONFIRMED and later:
            found = replace(
                found, words=f"no change is pending; {later}; change {folder.number} is in effect", kept=kept
            )
    servers = _servers(place)
    return replace(
        found, servers=tuple(words for words, _ in servers), ok=found.ok and all(well for _, well in servers)
    )


def _servers(place: StateDirectory) -> tuple[tuple[str, bool], ...]:
    if not (place.state / "networks").is_dir():
        return ()
    from bascule.providers.dnsmasq.observe import status as servers_standing

    return servers_standing(place.state / "networks")


def _guards(checkpoint: Checkpoint) -> tuple[tuple[StoppedFrames, ...], tuple[str, ...]]:
    """What they have stopped, and what may pass them; nothing where the change made none.

    That their table is gone is drift, and told there.
    """
    if not guards_of(checkpoint.wanted):
        return (), ()
    from bascule.observe.guards import passed_over, stopped_frames

    stopped: tuple[StoppedFrames, ...] = ()
    with contextlib.suppress(CommandFailed):
        stopped = stopped_frames()
    return stopped, passed_over()


def _none(place: StateDirectory) -> tuple[str, tuple[str, ...]]:
    back, kept = _taken_back(place)
    if back:
        return f"no change is pending; {back}", kept
    words = relative_words()
    return (
        f"no change is pending; Bascule has changed nothing here{f', as far as is known: {words}' if words else ''}",
        (),
    )


def _taken_back(place: StateDirectory, *, after: int = 0) -> tuple[str, tuple[str, ...]]:
    """What became of the last change of all, if it was made after that one and is taken back, and what others keep."""
    found = checkpoints.newest(place)
    if found is None or found[0].number <= after:
        return "", ()
    folder, entry = found
    return f"change {folder.number} was taken back at {clock_words(entry.at)} by {entry.by}", entry.kept


class _StatusReport(Struct):
    folder: Folder
    entry: LogEntry
    checkpoint: Checkpoint
    busy: Holder

    def tell(self) -> HostStatus:
        n, entry = self.folder.number, self.entry
        runs = entry.status in {Status.ARMED, Status.CHANGING, Status.APPLIED} and self.folder.is_of_this_boot
        left_s = entry.deadline_s - boot.boottime_s() if runs and entry.deadline_s is not None else None
        watched = lives(entry.watchdog) if entry.status.is_open else False
        working = self.busy.is_alive
        ok, words = self._words(n, left_s, watched=watched, working=working)
        stands = entry.status in {Status.CONFIRMED, Status.APPLIED}
        drifted, unseen = _drift_or_why_not(self.checkpoint, self.folder) if stands else ((), ())
        if entry.status is Status.CONFIRMED:
            drifted += tuple(files.drift(self.checkpoint.files))
        stopped, passed_over = _guards(self.checkpoint) if stands and not unseen else ((), ())
        return HostStatus(
            words=words,
            ok=ok and not unseen and not drifted,
            number=n,
            status=entry.status,
            site=self.checkpoint.site_path or self.checkpoint.site,
            made_at=self.checkpoint.made_at,
            left_s=left_s,
            until=time.time() + left_s if left_s is not None else None,
            watchdog=watchdog_words(entry) if watched else "",
            left=entry.left if entry.status is Status.FAILED else (),
            kept=entry.kept if entry.status is Status.FAILED else (),
            drift=drifted,
            unseen=unseen,
            stopped=stopped,
            passed_over=passed_over,
            busy=self.busy if working else None,
        )

    def _words(self, n: int, left_s: float | None, *, watched: bool, working: bool) -> tuple[bool, str]:
        status = self.entry.status
        if status is Status.CONFIRMED:
            return True, f"no change is pending; change {n} is confirmed"
        if not self.folder.is_of_this_boot:
            return self._after_a_restart(n, working=working)
        if working and status is not Status.APPLIED:
            return True, f"bascule {self.busy.verb} (process {self.busy.pid}) is working on change {n}"
        if status is Status.APPLIED and left_s is not None and left_s > 0:
            if watched:
                return True, f"change {n} waits for 'bascule confirm'; it is taken back in {left_s:.0f} s"
            return (
                False,
                (
                    f"change {n} waits for confirmation, but its dead-man does not run: "
                    "'bascule confirm' keeps it, 'bascule undo' takes it back"
                ),
            )
        by_hand = "'bascule undo' takes it back"
        if status is Status.APPLIED:
            who = f"{watchdog_words(self.entry)} is about to take it back" if watched else by_hand
            return watched, f"change {n} was not confirmed in time; {who}"
        if status is Status.FAILED:
            return False, f"the rollback of change {n} is not complete; 'bascule undo' tries again"
        if status is Status.TAKING_BACK:
            return False, f"the rollback of change {n} was interrupted; 'bascule undo' finishes it"
        if status is Status.ARMED:
            return True, f"change {n} was abandoned before anything was changed"
        who = f"{watchdog_words(self.entry)} takes it back" if watched else by_hand
        return watched, f"change {n} was interrupted half-way; {who}"

    def _after_a_restart(self, n: int, *, working: bool) -> tuple[bool, str]:
        lost = f"change {n} was not confirmed before the machine was restarted; the kernel has lost it"
        if working:
            return True, f"{lost}; bascule {self.busy.verb} (process {self.busy.pid}) takes the rest of it back"
        if self.entry.status is Status.FAILED:
            return False, f"{lost}; the rollback is not complete; 'bascule undo' tries again"
        besides = parts.names(self.checkpoint.before, self.checkpoint.wanted)
        left = [*(["files"] if self.checkpoint.files else []), *besides]
        if self.entry.status is Status.TAKING_BACK and self.entry.by == boot_unit.BY:
            rest = f"{boot_unit.BY} has put its files back; 'bascule undo' does the rest"
            if boot_unit.is_installed(self.folder, boot_unit.LATE):
                rest += f", if {boot_unit.LATE} does not"
        else:
            rest = f"'bascule undo' puts its {' and '.join(left)} back" if left else "'bascule undo' closes it"
        return False, f"{lost}; {rest}"


def _drift_or_why_not(checkpoint: Checkpoint, folder: Folder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A daemon that does not answer must not hide that a change waits for its confirmation."""
    try:
        return drift(checkpoint, folder), ()
    except CommandFailed as error:
        return (), tuple(problem.message for problem in error.problems)
    except LookupError as gone:
        return (), (str(gone),)


def drift(checkpoint: Checkpoint, folder: Folder) -> tuple[str, ...]:
    """What it would take to put right what the change made or altered, a line for each thing, as a plan says it.

    Raises CommandFailed where somebody does not answer, LookupError where nobody keeps a part of it any more.
    """
    keys = sorted(checkpoint.wanted.sysctls)
    seen = observe(sysctls=keys)
    again: list[Provider] = []
    for one in PROVIDERS:
        is_altered = parts.altered(one.name, checkpoint)
        if one.part(checkpoint.wanted) is None or not (one.drifts or is_altered):
            continue
        part = one.effects().read(list, ObserveScope(known=checkpoint.wanted.parts, state=folder.state))
        if part is not None:
            seen = one.lay_over(one.with_part(seen, part))
            again.append(one)
        if is_altered and (why := parts.GONE if part is None else one.not_done(seen)):
            raise LookupError(f"{one.name}: {why}")
    applied = folder.applied() if again else None
    change = ThreeWay(before=checkpoint.before, wanted=checkpoint.wanted, now=seen, applied=applied)
    return tuple(differences(diff(seen, drift_goal(change, again))))


def watchdog_words(entry: LogEntry) -> str:
    """The dead-man by its name."""
    facts = entry.watchdog or {}
    return (
        f"the unit {facts['unit']}" if facts.get("kind") == "systemd" else f"the dead-man (process {facts.get('pid')})"
    )


def clock_words(at: float) -> str:
    """A moment for people, in the machine's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
