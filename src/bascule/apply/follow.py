"""After a change or an undo: managers read their files and take the links over, and what stands beside the files stays.

systemd-networkd takes away routes and rules that no file of its own says when it reads them again (ManageForeignRoutes=
and ManageForeignRoutingPolicyRules= of networkd.conf(5)), those as well that somebody set by hand long before. And a
manager sets an address and a route again on a NIC before it has read that it is a port by now. Such a NIC hears
nobody answer, so a route by it leads nowhere: what is set again there is taken away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from itertools import chain

from msgspec.structs import replace

from bascule.apply.engine import execute
from bascule.apply.rollback.checkpoint import Checkpoint, Folder
from bascule.apply.rollback.files import changed_since
from bascule.errors import BasculeError
from bascule.model.state import ROUTING_DAEMONS, HostState, Link, Route
from bascule.model.values import IfName
from bascule.persist.takeover import take_over
from bascule.plan.address_migration import bare
from bascule.plan.change import Plan
from bascule.plan.diff import diff
from bascule.providers.observe import observe
from bascule.system.clock import Progress, unseen
from bascule.system.net.managers import runs_here

TAKEN = "taken away by the host's configuration system, whose files do not say it, and set again"
NETWORKD = "systemd-networkd"
KEEPING = {"routes": "ManageForeignRoutes=no", "rules": "ManageForeignRoutingPolicyRules=no"}  # networkd.conf(5)
KEPT_IN = "/etc/systemd/networkd.conf.d/foreign.conf"
LOOKS_S = 0.0, 0.25, 0.75  # from look to look: it answers before it has done; a rule went 0.1 s later
OF_OTHERS = {"kernel", "ra", "dhcp", "redirect"} | ROUTING_DAEMONS  # protocols of routes that come and go by themselves


def follow(folder: Folder, so_far: str, tell: Callable[[str], None], progress: Progress) -> None:
    """Let whoever reads the files take the links over; then nothing is left of what he did meanwhile."""
    backups = folder.read().files
    files = tuple(file.path for file in backups)
    (faults, again), swept = reload_managers(files, progress), tuple[str, ...]()
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
        tell(f"warning: {line}")
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


def reload_managers(paths: Collection[str], progress: Progress = unseen) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let whoever reads these files take them over: its faults, and what it took away and was set again, in words.

    Then it is said how to keep what systemd-networkd takes away at each reading.
    """
    if not paths:
        return take_over((), progress), ()
    before = _seen()
    faults = take_over(paths, progress)
    again, about, looks = list[str](), set[str](), LOOKS_S if runs_here(NETWORKD) else LOOKS_S[:1]
    try:
        for wait_s in looks:
            time.sleep(wait_s)
            now = observe()
            lost = diff(now, with_what_stood(before or now, now))
            execute(lost)
            again += (f"{TAKEN}: {one.subject}: {one.action}" for one in lost.changes)
            about |= {one.about for one in lost.changes}
    except BasculeError as error:  # the change stands all the same
        faults += tuple(problem.message for problem in error.problems)
    if looks is LOOKS_S:
        again += _how_to_keep(about)
    return faults, tuple(dict.fromkeys(again))


def _how_to_keep(about: Collection[str]) -> Iterator[str]:
    """What systemd-networkd took away it takes away again."""
    if settings := [setting for what, setting in KEEPING.items() if what in about]:
        text = f"{NETWORKD} takes this away again when it reads files the next time ('networkctl reload', a restart; a "
        text += f"change or undo sets it again): {' and '.join(settings)} under [Network] of {KEPT_IN} keeps it until "
        yield text + "the machine starts, 'routes:' and 'rules:' of the site file from then on as well"


def _seen() -> HostState | None:
    try:
        return observe()
    except BasculeError:
        return None


def with_what_stood(before: HostState, now: HostState) -> HostState:
    """The host as it is, and what it had before beside that: addresses, routes, rules and neighbours without an end."""
    links = {name: _with_addresses(link, before.links.get(name)) for name, link in now.links.items()}
    there = set(map(bare, now.rules))
    rules = [one for one in before.rules if bare(one) not in there]
    known = {(one.ip, one.dev, one.proxy) for one in now.neighbours}
    neighbours = [x for x in before.neighbours if x.dev in now.links and (x.ip, x.dev, x.proxy) not in known]
    return replace(
        now,
        links=links,
        routes=(*now.routes, *_routes(before, now)),
        rules=(*now.rules, *rules),
        neighbours=(*now.neighbours, *neighbours),
    )


def _with_addresses(link: Link, before: Link | None) -> Link:
    if before is None or before.master != link.master:
        return link
    there = {one.local for one in link.addresses}
    lost = [x for x in before.addresses if not (x.dynamic or x.is_link_local or x.is_temporary or x.local in there)]
    return replace(link, addresses=(*link.addresses, *lost)) if lost else link


def _routes(before: HostState, now: HostState) -> Iterator[Route]:
    """Those that went; where another one has their place, or leads the same way, the manager has set it anew."""
    there = {route.slot for route in now.routes} | set(map(_way, now.routes))
    for route in before.routes:
        if (
            route.protocol in OF_OTHERS
            or route.lifetime.valid_s is not None
            or not {route.slot, _way(route)}.isdisjoint(there)
        ):
            continue
        devs = {route.dev, *(dev for _, dev in route.hops)} - {""}
        links = [now.links.get(IfName(dev)) for dev in devs]
        if all(link is not None and link.up for link in links):
            yield route


def _way(route: Route) -> tuple[str, ...]:
    return (route.dst, route.table, route.tos, *chain.from_iterable(route.hops or ((route.gateway, route.dev),)))
