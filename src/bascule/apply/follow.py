"""After a change: whoever reads the files takes the links over.

A manager sets an address and a route again on a NIC before it has read that it is a port by now. Such a NIC hears
nobody answer, so a route by it leads nowhere: what is set again is taken away.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.reading import TAKEN, let_read
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.apply.rollback.files import changed_since
from bascule.errors import BasculeError
from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.providers.observe import observe
from bascule.system.clock import Progress


def follow(folder: Folder, so_far: str, tell: Callable[[str], None], progress: Progress) -> None:
    """Let whoever reads the files take the links over; then nothing is left of what he did meanwhile."""
    backups = folder.read().files
    files = tuple(file.path for file in backups)
    (faults, again), swept = let_read(files, progress), tuple[str, ...]()
    try:
        swept = clean_ports(folder) if files else ()
    except BasculeError as error:  # the change stands all the same
        faults += tuple(problem.message for problem in error.problems)
    progress("")
    for fault in faults:
        tell(f"warning: {so_far}, but the configuration system has not loaded them yet: {fault}")
    for path in changed_since(backups):
        tell(f"warning: {path} was written by somebody else since the change; 'bascule plan' says if it is in the way")
    for line in again:
        tell(f"warning: {TAKEN}: {line}")
    for line in swept:
        tell(f"warning: set again on a port by others, and taken off: {line}")


def clean_ports(folder: Folder) -> tuple[str, ...]:
    """Take it off the ports that the change made; what was taken off, a line for each. Raises BasculeError."""
    plan = _plan(folder.read(), observe())
    execute(plan)
    return tuple(f"{change.subject}: {change.action}" for change in plan.changes)


def _plan(checkpoint: Checkpoint, now: HostState) -> Plan:
    before, wanted = checkpoint.before.links, checkpoint.wanted.links
    ports = {
        name: link
        for name, link in now.links.items()
        if name in before and before[name].master is None and link.master is not None and name in wanted
        if link.master == wanted[name].master and not wanted[name].addresses
    }
    silent = {
        name: replace(link, addresses=tuple(address for address in link.addresses if address.is_link_local))
        for name, link in ports.items()
    }
    routes = tuple(route for route in now.routes if route.dev not in ports or route in checkpoint.wanted.routes)
    return diff(now, replace(now, links={**now.links, **silent}, routes=routes))
