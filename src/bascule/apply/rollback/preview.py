"""What taking a change back would do now, before anybody says yes to it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from bascule.apply.rollback import checkpoint as checkpoints
from bascule.apply.rollback.checkpoint import Checkpoint, Folder, Status
from bascule.apply.rollback.files import FileBackup, back_up
from bascule.apply.rollback.go_back import three_way, why_not_now
from bascule.apply.rollback.parts import CheckpointObserver
from bascule.apply.rollback.passes import with_parameters
from bascule.apply.rollback.renamed_links import followed, new_names
from bascule.apply.state_directory import StateDirectory
from bascule.model.state import HostState
from bascule.observe.bridge_tables import forgotten_entries
from bascule.observe.held import on_bridges_that_go
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.plan.guest_ports import losses
from bascule.plan.merge import parts_alone, way_back
from bascule.plan.step import Context
from bascule.plan.warnings.spanning_tree import bridges_with_delayed_ports, hidden_times
from bascule.system.net.netlink import NetlinkMonitor

BEFORE = Context(otherwise="it was so before the change")


class UndoPreview(Struct, frozen=True, kw_only=True):
    """The change that would be taken back, and the plan that leads to what was before it.

    ``losses`` says of each guest's port that would be left without its bridge or its wire what it loses, and of each
    bridge for how long its spanning tree blocks ports; ``files`` what would become of which file, ``kept`` what
    others changed meanwhile and what therefore stays. ``observer`` has seen the host.
    """

    number: int
    status: Status
    made_at: float
    site: str
    plan: Plan
    losses: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    kept: tuple[str, ...] = ()
    observer: CheckpointObserver | None = None


def preview(place: StateDirectory, monitor: NetlinkMonitor | None = None) -> UndoPreview | None:
    """What `bascule undo` would do now; None where nothing can be taken back. Raises what a look may raise.

    While the ``monitor`` is open, an undo after it looks again only where the host has changed.
    """
    found = checkpoints.latest(place)
    if found is None:
        return None
    folder, entry = found
    checkpoint = folder.read()
    if why_not_now(folder, checkpoint):
        return None
    observer = CheckpointObserver(checkpoint, folder, monitor)
    plan, lost, kept = _plan(folder, checkpoint, observer())
    return UndoPreview(
        number=folder.number,
        status=entry.status,
        made_at=checkpoint.made_at,
        site=checkpoint.site_path or checkpoint.site,
        plan=plan,
        losses=lost,
        files=tuple((file.path, words) for file in checkpoint.files if (words := _what_happens(file))),
        kept=kept,
        observer=observer,
    )


def _plan(
    folder: Folder, checkpoint: Checkpoint, now: HostState
) -> tuple[Plan, tuple[tuple[str, str], ...], tuple[str, ...]]:
    change = replace(three_way(folder, checkpoint), now=now)
    if change.rebooted:
        merged = way_back(parts_alone(change))
        goal = replace(now, parts=merged.part.parts)
    else:
        if names := new_names(change.before, now):
            now = with_parameters(now, change.before, names)
            change = followed(replace(change, now=now))
        merged = way_back(change)
        goal = merged.part
    held = tuple(
        (one.words, f"is deleted with {one.bridge}, on which it is built") for one in on_bridges_that_go(now, goal)
    )
    lost = (*losses(now, goal), *held)
    told = tuple(
        f"{port} {words}" for port, _ in lost for words in ("is new and loses", "was plugged into", "is new and stands")
    )
    lost += (*bridges_with_delayed_ports(now, goal), *hidden_times(now, goal), *forgotten_entries(now, goal))
    return diff(now, goal, BEFORE), lost, tuple(line for line in merged.kept if not told or not line.startswith(told))


def _what_happens(file: FileBackup) -> str:
    """What happens to a file; empty where it is as it was. Raises OSError for one that cannot be read."""
    if file.root_is_gone:
        return f"is left out: {file.root} is not there any more"
    if file.is_as(back_up(file.path)):
        return ""
    if file.content is None:
        return "is removed, there was none"
    return "comes back from where it was moved" if file.aside else "becomes as it was"
