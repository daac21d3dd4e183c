"""A plan that is only looked at: with the files that an apply would write, and why it would refuse."""

from __future__ import annotations

import os
from collections.abc import Iterable

from msgspec.structs import replace

from bascule.apply.options import ANY_DRIVER
from bascule.apply.prepare import PreparedPlan, prepare, with_files
from bascule.errors import BasculeError, Problem
from bascule.model.site import Host, Site
from bascule.persist.persister import ON_PURPOSE, OWN_NAMESPACE, Persister, find_persister
from bascule.plan.batch import tools
from bascule.plan.change import Note
from bascule.plan.file_change import FILES
from bascule.system.disk.mounts import read_only
from bascule.system.run import require_tools


def plan_preview(site: Site, host: Host, root: str | None) -> PreparedPlan:
    """What would change on this host and in its files, those below ``root``, to hold what is there against it.

    Raises BasculeError.
    """
    return with_listed_files(prepare(site, host, choice=ANY_DRIVER), root)


def runnable(prepared: PreparedPlan) -> PreparedPlan:
    """See that the plan's programs are here. Raises MissingTool.

    What this kernel cannot make, and what an ordinary user could not see, is a note.
    """
    if not prepared.plan:
        return prepared
    from bascule.observe.kernel_support import not_made_here

    needed = tools(prepared.plan)
    require_tools(needed)
    notes = [
        Note(kind="warning", subject="kernel", text=f"apply will refuse this: {problem.code}: {problem.message}")
        for problem in not_made_here(prepared.observed, prepared.wanted)
    ]
    if "nft" in needed and os.geteuid() != 0:
        text = "shows its tables to root only: the rules may be there already"
        notes.append(Note(kind="warning", subject="nft", text=text))
    return prepared.with_notes(notes)


def with_listed_files(prepared: PreparedPlan, root: str | None) -> PreparedPlan:
    """A plan that is only looked at, with the files that an apply would write and move; what stops one is a note."""
    try:
        persister, not_kept = find_persister(prepared.site, prepared.host, root=root)
        found = with_files(prepared, persister)
        texts = (*unread(persister), *unkept(found, not_kept))
        stopped = read_only_problems(read_only((f.path for f in found.plan.files if f.differs), mounted_so=True))
    except BasculeError as error:
        found, texts, stopped = prepared, (), error.problems
    if stopped:
        refused = tuple(f"apply will refuse this: {_words(each)}" for each in stopped)
        texts += refused
        found = replace(found, plan=replace(found.plan, refused=refused))
    return found.with_notes(Note(kind="warning", subject=FILES, text=text) for text in texts)


def not_asked_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """A note for each new address: only an apply asks its wire whether somebody has it."""
    if not prepared.plan.changes:
        return ()
    from bascule.apply.address_conflicts import asking_notes

    return asking_notes(prepared)


def read_only_problems(folders: Iterable[str], then: str = "") -> tuple[Problem, ...]:
    """What stops a change whose files would be written in folders where that cannot be; ``then`` ends the sentence."""
    hint = "mount it so that it can be written, or say 'persist: none' for a change until the next restart"
    return tuple(
        Problem(code="FILES-READ-ONLY", message=f"no file can be written in {one}{then}", hint=hint) for one in folders
    )


def unread(persister: Persister | None) -> tuple[str, ...]:
    """The files of which nobody knows whether they are in the way."""
    skipped = persister.unread if persister else ()
    return tuple(
        f"/{path} could not be read ({why}), so nobody knows whether it is in the way" for path, why in skipped
    )


def unkept(prepared: PreparedPlan, why: str) -> tuple[str, ...]:
    """That nobody keeps the change over a restart, where that is not what somebody wanted."""
    if not prepared.plan.changes or why in {"", ON_PURPOSE, OWN_NAMESPACE}:
        return ()
    return (f"nothing would keep this change after a restart: {why}",)


def no_files(prepared: PreparedPlan, root: str | None) -> str:
    """Why a plan lists no file: what stops an apply, or nobody who keeps it; empty where the files say it already."""
    told = "; ".join(note.text for note in prepared.plan.notes if note.subject == FILES)
    return told or find_persister(prepared.site, prepared.host, root=root)[1]


def _words(problem: Problem) -> str:
    return f"{problem.code}: {problem.message}" + (f"; {problem.hint}" if problem.hint else "")
