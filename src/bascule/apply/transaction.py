"""A change that comes back by itself: lock, checkpoint, dead-man, change, checks; then wait for `confirm`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.lock import LOCK_S, lock, refuse_if_pending
from bascule.apply.options import Writer
from bascule.apply.plan_preview import read_only_problems
from bascule.apply.prepare import PreparedPlan, again, with_files
from bascule.apply.probes import Probes, dhcp_answers
from bascule.apply.rollback import boot_unit
from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import ChangeFacts, Checkpoint, Folder, Status
from bascule.apply.rollback.files import back_up_for
from bascule.apply.rollback.go_back import go_back
from bascule.apply.rollback.passes import RollbackResult, differences, not_taken_back
from bascule.apply.rollback.watchdog import StandbyWatchdog, Watchdog, arm, disarm
from bascule.apply.state_directory import StateDirectory, here, refused
from bascule.dhcp import lease
from bascule.errors import BasculeError, CommandFailed, NotPermitted, Problem, TakenBack
from bascule.model.state import HostState
from bascule.observe.spanning_tree import await_forwarding
from bascule.plan.change import Plan
from bascule.plan.diff import diff, made_links
from bascule.plan.dynamic_state import with_what_came
from bascule.plan.file_change import FileChange
from bascule.plan.step import Phase
from bascule.plan.warnings.spanning_tree import settling_s
from bascule.providers.effects import ObserveScope
from bascule.providers.observe import look as look_at
from bascule.system import boot
from bascule.system.clock import Progress, unseen
from bascule.system.disk import durable
from bascule.system.disk.lockfile import Lock
from bascule.system.disk.mounts import read_only
from bascule.system.process import signals

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # of a disk
WINDOW_S = 60.0  # to confirm in, unless told otherwise
GUARD_S = 120.0  # how long a change and its checks may take before the dead-man takes it for dead, beside its waits

Verify = Callable[[], Sequence[str]]  # what does not hold, a line for each; empty when all is well


class ApplyOptions(Struct, frozen=True, kw_only=True):
    """How it shall be done.

    ``window_s`` None keeps the change without a confirmation. ``agree`` is asked once more when the host moved while
    the administrator read the plan. ``probes`` are HOST:PORT that must still answer, besides those that are asked
    anyway; ``verify`` says what does not hold after the change. ``waiting`` is a dead-man that was standby before.
    ``progress`` is told what goes on, ``tell`` the warnings.
    """

    window_s: float | None = WINDOW_S
    agree: Callable[[PreparedPlan], bool] = lambda _: True
    tell: Callable[[str], None] = lambda _: None
    probes: Sequence[str] = ()
    verify: Verify | None = None
    writer: Writer | None = None
    waiting: StandbyWatchdog | None = None
    progress: Progress = unseen


class ApplyResult(Struct, frozen=True, kw_only=True):
    """A change that was made."""

    prepared: PreparedPlan
    folder: Folder
    window_s: float | None
    written: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()  # what answered before the change and answers after it
    brought: tuple[str, ...] = ()  # what the change brings in place of one that answered, and that answers


def apply(prepared: PreparedPlan, options: ApplyOptions) -> ApplyResult:
    """Make the change; the dead-man watches until it is confirmed, or only until it is made when no window is wanted.

    Raises TakenBack when a step or a check failed and the host is as before; BasculeError when it is not, or when
    nothing was changed: somebody else is at it, a change waits for its confirmation, the state cannot be kept.
    """
    place = here()
    place.make()
    with lock(place, "apply", wait_s=LOCK_S) as held, signals.hangup_ignored():
        refuse_if_pending(place)
        return _Transaction(place, held, prepared, options).run()


class _Transaction:
    """One change on its way, from the checkpoint to the probes."""

    watchdog: Watchdog
    folder: Folder
    probes: Probes
    checkpoint: Checkpoint

    def __init__(self, place: StateDirectory, held: Lock, prepared: PreparedPlan, options: ApplyOptions) -> None:
        self.place, self.held, self.options = place, held, options
        self.prepared = prepared if prepared.plan.files else with_files(prepared, options.writer)
        self.files: tuple[FileChange, ...] = ()  # that will be written, moved or removed, as they are now
        self.dhcp_answers = False

    def run(self) -> ApplyResult:
        if closed := read_only(file.path for file in self.prepared.plan.files):  # not made first and then taken back
            raise BasculeError(*read_only_problems(closed, "; nothing was changed"))
        self._ready()
        try:
            try:
                self._arm_boot_rollback()
                self.folder.note(Status.CHANGING)
            except BasculeError:
                self._give_up()
                raise
            except OSError as error:
                self._give_up()
                raise refused(self.folder.path, error) from error
            try:
                written = self._change()
            except BaseException as failed:  # Ctrl-C as well: the host must not stay half changed
                raise self._take_back(failed) from failed
            return ApplyResult(
                prepared=self.prepared,
                folder=self.folder,
                window_s=self.options.window_s,
                written=written,
                checked=tuple(probe.name for probe in self.probes.passed),
                brought=tuple(probe.name for probe in self.probes.brought),
            )
        finally:
            self.options.progress("")
            self.watchdog.let_go()

    # ---- before

    def _ready(self) -> None:
        """Checkpoint on the disk, dead-man awake, and the host still as it was when the plan was made."""
        for _ in range(2):
            self.probes = Probes(self.prepared, self.options.probes)
            self.dhcp_answers = dhcp_answers(self.prepared)
            self._arm()
            try:
                fresh = again(self.prepared, self.place)  # while the dead-man gets ready
                if fresh.does_what(self.prepared) and self.files == self.prepared.plan.files:
                    moved = fresh.observed != self.prepared.observed
                    self.prepared = replace(fresh, plan=replace(fresh.plan, files=self.files))
                    if moved:
                        self.checkpoint = self._checkpoint()
                        checkpoints.rewrite(self.folder, self.checkpoint)
                    self.watchdog.wait_ready()
                    self.folder.note(Status.ARMED, guard=self.watchdog.facts)
                    return
                self.options.tell("the host changed since the plan was made; planned again")
                self._give_up()
                fresh = with_files(fresh, self.options.writer)
                gone = bool(fresh.plan) is not bool(self.prepared.plan)
                if gone or fresh.plan.risk > self.prepared.plan.risk or not self.options.agree(fresh):
                    break
                self.prepared = fresh
            except OSError as error:
                self._give_up()
                raise refused(self.folder.path, error) from error
            except BaseException:
                self._give_up()
                raise
        raise BasculeError.of(
            "HOST-MOVED",
            "the host's network changed while the plan was made; nothing was changed",
            hint="see what moves it ('bascule status --watch'), then run it again",
        )

    def _checkpoint(self) -> Checkpoint:
        site, writer = self.prepared.site, self.options.writer
        self.files = tuple(writer.changes(self.prepared.wanted)) if writer else ()
        return Checkpoint.now(
            before=self.prepared.observed,
            wanted=self.prepared.wanted,
            site=site.name,
            site_path=site.source.path,
            leases=self.prepared.leases.handovers,
            files=back_up_for(self.files),
        )

    def _arm(self) -> None:
        plan = self.prepared.plan
        waits_s = plan.patience_s + settling_s(self.prepared.observed, self.prepared.wanted)
        limit_s = GUARD_S + (self.options.window_s or 0.0) + 2 * waits_s  # there, and back where that fails
        deadline_s = boot.boottime_s() + limit_s
        prepared = self.prepared
        put = prepared.earlier.with_change(prepared.site, prepared.host, prepared.observed, prepared.wanted)
        facts = ChangeFacts(
            site=prepared.site.name,
            host=prepared.host.name,
            added={name: sorted(ips) for name, ips in put.added.items()},
            named={name: sorted(ips) for name, ips in put.named.items()},
            isolated=sorted(put.isolated),
            macs=put.macs,
            kept=self.options.writer is not None,
            parts=tuple(prepared.observed.parts),
            routed=sorted(put.routed),
            found=sorted(put.found),
            altered=put.altered,
            ports=put.ports,
        )
        self.checkpoint = self._checkpoint()
        self.folder = checkpoints.write(self.place, self.checkpoint, facts, deadline_s=deadline_s)
        try:
            self.watchdog = arm(self.place, self.folder, self.options.waiting)
        except BaseException:
            durable.remove_folder(self.folder.path)
            raise

    def _arm_boot_rollback(self) -> None:
        """What the next boot would read is not written before that boot would take it back."""
        if boot_unit.is_needed(self.place, self.checkpoint):
            boot_unit.install(self.place, self.folder, self.checkpoint)

    def _give_up(self) -> None:
        """Nothing was changed: no checkpoint, no dead-man."""
        try:
            self.folder.note(Status.DROPPED)
        except OSError:
            durable.remove_folder(self.folder.path)
        boot_unit.remove(self.folder)
        disarm(self.watchdog.facts)
        self.watchdog.let_go()

    # ---- the change

    def _change(self) -> tuple[str, ...]:
        leases, progress = self.prepared.leases.handovers, self.options.progress
        progress("makes the change")
        lease.end(leases)
        plan = self.prepared.plan
        self._execute(plan.before(Phase.END_SERVER))
        self._await_spanning_tree()
        if leases:
            progress(f"waits for the DHCP server, {lease.BOUND_S:.0f} s at most")
        begun = lease.begin(leases, self.folder.path, patience_s=lease.BOUND_S)
        self._require_leases(begun)
        for fault in lease.give_names(self.prepared.leases.names):
            self.options.tell(f"warning: {fault}")
        self._execute(plan.since(Phase.END_SERVER))
        self._await_spanning_tree()
        applied = self._look()
        if missing := self._missing(applied):  # a client's script swept it off, or a manager has just renewed its lease
            execute(missing, keep=(self.held.fd,))
            applied = self._look()
            missing = self._missing(applied)
        self.folder.write_applied(applied)
        _require(f"the kernel does not have what was asked for: {words}" for words in differences(missing))
        progress(f"asks what answered before the change, {self.probes.patience_s:.0f} s at most")
        _require(self.probes(applied))
        for words in self.probes.no_longer_answering(applied):
            self.options.tell(f"warning: {words}")
        if self.options.verify is not None:
            _require(f"a check does not hold: {words}" for words in self.options.verify())
        written = tuple(self.options.writer.write(self.prepared.wanted)) if self.options.writer else ()
        if self.options.window_s is None:
            self.folder.note(Status.CONFIRMED, by="apply")
            boot_unit.remove(self.folder)
            disarm(self.watchdog.facts)
        else:
            self.folder.note(Status.APPLIED, deadline_s=boot.boottime_s() + self.options.window_s)
        return written

    def _await_spanning_tree(self) -> None:
        """Where STP is on, nobody answers over a new port before it forwards."""
        if not settling_s(self.prepared.observed, self.prepared.wanted):
            return
        settled = await_forwarding(self.prepared.host.bridges, progress=self.options.progress)
        for _, forwards, words in settled.lines():
            self.options.tell(f"{'spanning tree' if forwards else 'warning'}: {words}")

    def _execute(self, plan: Plan) -> None:
        for note in execute(plan, keep=(self.held.fd,)):
            self.options.tell(f"{note.kind}: {note.subject}: {note.text}")

    def _look(self) -> HostState:
        prepared = self.prepared
        keys = tuple(sorted({*prepared.observed.sysctls, *prepared.wanted.sysctls}))
        return look_at(ObserveScope(sysctls=keys, known=prepared.observed.parts, state=self.place.state))

    def _missing(self, applied: HostState) -> Plan:
        """What the plan asked for and kernel and nft do not have; what others do meanwhile is not our concern.

        Whoever keeps another part has said so himself if he did not do what he was told.
        """
        subjects = {change.subject for change in self.prepared.plan.changes}
        subjects -= made_links(self.prepared.observed, self.prepared.wanted)
        theirs = {handover.to for handover in self.prepared.leases.handovers}
        goal = with_what_came(self.prepared.wanted, self.prepared.observed, applied, theirs)
        return diff(replace(applied, parts={}), replace(goal, parts={})).only(subjects)

    def _require_leases(self, begun: lease.HandoverResult) -> None:
        """A server that did not answer before need not answer now."""
        lost = begun.failed + (begun.waiting if self.dhcp_answers else ())
        _require(f"the DHCP lease was not taken over: {words}" for words in lost)
        for words in begun.waiting:
            self.options.tell(f"warning: {words}; it did not answer before the change either")

    def _take_back(self, failed: BaseException) -> BaseException:
        with signals.ignoring_signals():
            back = go_back(self.folder, by="apply", keep=(self.held.fd,), progress=self.options.progress)
            if back.ok:
                disarm(self.watchdog.facts)
        return failure(failed, back)


def _require(faults: Iterable[str]) -> None:
    if problems := [Problem(code="CHECK-FAILED", message=fault) for fault in faults]:
        raise CommandFailed(*problems)


def failure(failed: BaseException, back: RollbackResult) -> BaseException:
    """What failed, and whether the host is as before."""
    if isinstance(failed, BasculeError):
        problems = failed.problems
    elif isinstance(failed, KeyboardInterrupt):
        problems = (Problem(code="INTERRUPTED", message="interrupted while the host was being changed"),)
    elif isinstance(failed, OSError) and failed.filename and failed.errno in NO_ROOM:
        hint = "make room on that disk, or see that it can be written, and apply it again"
        text = f"'{failed.filename}' cannot be written: {failed.strerror}"
        problems = (Problem(code="FILE-NOT-WRITTEN", message=text, hint=hint),)
    else:
        words = f"{type(failed).__name__}: {failed}"
        problems = (Problem(code="APPLY-FAILED", message=f"the change could not be completed: {words}"),)
    if not back.ok:
        return BasculeError(*problems, not_taken_back(back, "run 'bascule undo' again, or see 'bascule status'"))
    if isinstance(failed, NotPermitted):
        return NotPermitted(*problems)
    words = "the change was taken back; the host is as it was before"
    words += f", but for this: {'; '.join(back.kept)}" if back.kept else ""
    return TakenBack(*problems, Problem(code="TAKEN-BACK", message=words))
