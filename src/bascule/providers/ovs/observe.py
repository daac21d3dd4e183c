"""The switches of a host as its database shows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from bascule.errors import CommandFailed, MissingTool, NotPermitted, Problem
from bascule.model.ruleset.openflow import NOT_KNOWN, LoadedRule, flow
from bascule.policy.guards.counters import StoppedFrames
from bascule.policy.guards.flows import COOKIE, LEARNED
from bascule.providers.ovs.flows import by_name, loading, read_flows, rebound, stopped
from bascule.providers.ovs.read import from_answer, reading, unknown_column
from bascule.providers.ovs.state import GUARDS, NETDEV, FlowTable, SwitchState
from bascule.system.net.links import link_indexes
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import Daemons, ask, daemons, failed, flows, rules_of
from bascule.system.process import proc


def look(namespace: Namespace | None) -> SwitchState | None:
    """Those of a network namespace; None where nobody keeps any. Raises CommandFailed or NotPermitted."""
    found = daemons(namespace)
    if found is None:
        return None
    rows = observe(found.socket, found)
    return replace(rows, unheard=rows.unheard | set(_unheard(rows, found.pid, namespace)))


def observe(path: str, keepers: Daemons | None = None) -> SwitchState:
    """The switches of a database, and what ``keepers`` say of them. Raises CommandFailed or NotPermitted."""
    try:
        found = _rows_and_trouble(path, keepers)
    except PermissionError as error:
        problem = Problem("NOT-PERMITTED", f"the database of Open vSwitch at {path} is root's", hint="run it as root")
        raise NotPermitted(problem) from error
    except KeyError as error:
        raise failed(path, ValueError(f"this version of it has no column {error}")) from error
    except (OSError, ValueError, TypeError) as error:
        raise failed(path, error) from error
    loaded = _loaded(found)
    ours = {
        bridge: (fragments, [one.rule for one in rules if one.cookie == COOKIE])
        for bridge, (fragments, rules) in loaded.items()
    }
    others = {bridge: told for bridge, (_, rules) in loaded.items() if (told := tuple(_of_others(rules)))}
    tables = {
        bridge: FlowTable(fragments=fragments, flows=by_name(flows, _guarded(found)[bridge], found.seen.ofports))
        for bridge, (fragments, flows) in ours.items()
        if flows
    }
    return replace(found, flows=tables, seen=replace(found.seen, others_rules=others))


def _unheard(found: SwitchState, pid: int, namespace: Namespace | None) -> Iterator[str]:
    """What ovs-vswitchd has open in userspace and reads from no socket.

    A link's index is the kernel's own answer: in the database it comes late, where links come and go.
    """
    userspace = {name for name, row in found.bridges.items() if row.datapath_type == NETDEV}
    heard = proc.packet_links(pid) if userspace and not found.seen.trouble else None
    if heard is None:
        return
    indexes = link_indexes(namespace)
    for port in found.ports.values():
        for one in port.interfaces if port.bridge in userspace else ():
            is_open = not one.type and one.name in found.seen.ofports
            if is_open and indexes.get(one.name) not in heard:
                yield one.name


def _of_others(rules: Collection[LoadedRule]) -> Iterator[str]:
    """Rules that a frame may meet on its way through the guards', and that are none of them."""
    tables = {one.rule.table for one in rules if one.cookie == COOKIE}
    for one in rules:
        if one.cookie not in {COOKIE, LEARNED} and one.rule.table in tables:
            yield f"cookie={one.cookie:#x},{one.rule.key} actions={one.rule.actions}"


def _rows_and_trouble(path: str, keepers: Daemons | None) -> SwitchState:
    """All rows, read again where ovs-vswitchd had still to do what they say. Raises as :func:`ask` does."""
    found = _rows(path)
    if keepers is None:
        return found
    trouble = keepers.lag(found.seen.next_cfg, found.seen.cur_cfg)
    if not trouble and found.seen.cur_cfg < found.seen.next_cfg:
        found = _rows(path)
        return replace(found, seen=replace(found.seen, waited=True))
    return replace(found, seen=replace(found.seen, trouble=trouble))


def _rows(path: str) -> SwitchState:
    """All rows in one read; of an older version without the columns that it lacks, each of which takes one more."""
    lacking: set[tuple[str, str]] = set()
    while True:
        answer = ask(path, reading(lacking))
        unknown = unknown_column(answer)
        if unknown is None or unknown in lacking:
            if refused := next((one for one in answer if (one or {}).get("error")), None):
                raise ValueError(f"it says '{refused.get('details') or refused['error']}'")
            found = from_answer(answer, path)
            return replace(found, seen=replace(found.seen, lacking=frozenset(lacking)))
        lacking.add(unknown)


def stopped_by_flows(namespace: Namespace | None) -> Iterator[StoppedFrames]:
    """What the guards of all switches have stopped. Raises CommandFailed or NotPermitted."""
    found = daemons(namespace)
    if found is None or not found.control:
        return
    part = _rows(found.socket)
    for bridge, (_, loaded) in _loaded(part).items():
        yield from stopped(loaded, _guarded(part)[bridge])


def rebinding(found: SwitchState) -> Iterator[tuple[str, str]]:
    """For each switch whose ports have come or gone since its guards were loaded, the lines that put that right."""
    for bridge, (_, loaded) in _loaded(found).items():
        there = [one.name for row in found.ports_of(bridge) for one in row.interfaces]
        rules = [one.rule for one in loaded if one.cookie == COOKIE]
        if rules and (
            text := loading(rules, rebound(rules, _guarded(found)[bridge], bridge, there), found.seen.ofports)
        ):
            yield bridge, text


def _guarded(found: SwitchState) -> dict[str, list[str]]:
    """The guarded ports of each switch that has some."""
    return {name: row.external_ids[GUARDS].split() for name, row in found.bridges.items() if GUARDS in row.external_ids}


def _loaded(found: SwitchState) -> dict[str, tuple[str, list[LoadedRule]]]:
    """How each switch with guards shows fragments, and its rules; nobody else's are read."""
    guarded = _guarded(found)
    try:
        told = rules_of(found.socket, guarded) if guarded and not found.seen.trouble else {}
    except CommandFailed:  # a switch that was not made yet has none
        return {}
    return {bridge: (fragments, list(read_flows(listing))) for bridge, (fragments, listing) in told.items()}


def all_rules(namespace: Namespace | None, part: SwitchState) -> dict[str, tuple[LoadedRule, ...]]:
    """The rules of each bridge that does more than to learn as a switch does, whoever made them.

    One that has none at all passes nothing. Empty where nobody can be asked; of an ovs-vswitchd that is there and does
    not answer, all rules are unknown.
    """
    if part.seen.trouble:
        unknown = LoadedRule(0, 0, flow(0, 0, "", f"{NOT_KNOWN}: ovs-vswitchd {part.seen.trouble}"))
        return dict.fromkeys(part.bridges, (unknown,))
    try:
        told = rules_of(part.socket, flows(part.bridges, namespace))
    except (CommandFailed, NotPermitted, MissingTool):
        return {}
    return {name: tuple(read_flows(listing)) for name, (_, listing) in told.items()}
