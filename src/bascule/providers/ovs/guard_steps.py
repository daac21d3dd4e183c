"""The steps between two states of the guards' rules on the switches, a bundle each: all of it or nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bascule.model.links.openvswitch import management_socket
from bascule.model.ruleset.openflow import FlowRule
from bascule.model.state import HostState
from bascule.model.values import IfName, count
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, step
from bascule.policy.guards.flows import COOKIE, LEARNED, passes_unguarded
from bascule.providers.ovs.flows import BY_KERNEL, concrete, loading
from bascule.providers.ovs.state import GUARDS, FlowTable, SwitchState

LOAD_S = 0.5  # until frames meet the first rules: measured 25 to 60 ms, or the datapath's turn of half a second
OPENFLOW = ("-O", "OpenFlow14")  # the first with bundles
NONE = FlowTable(fragments="", flows=())
NO_GUARDS = "".join(f"delete cookie={cookie:#x}/-1\n" for cookie in (COOKIE, LEARNED))
USUAL = "normal"  # how a switch shows fragments to its rules
SHOWN = 3  # rules that are named; of more only the number is told


def guard_steps(old: SwitchState, new: SwitchState, after: HostState) -> Iterator[Step]:
    """Behind the transaction: until they stand, a guarded switch passes nothing."""
    for name in sorted(old.flows.keys() | new.flows.keys()):
        before, wanted = old.flows.get(name, NONE), new.flows.get(name, NONE)
        if before == wanted or name not in new.bridges:
            continue
        switch = management_socket(old.socket, name)
        if not wanted.flows:
            calls = [_bundle(switch, NO_GUARDS), _fragments(switch, USUAL)]
            yield step(Phase.SWITCHED, name, "delete the guards' rules", *calls, risk=Risk.CHANGES, about="ruleset")
            continue
        present = present_on(name, new, after)
        text = loading(before.flows, wanted.flows, present)
        calls = [_fragments(switch, wanted.fragments)] if before.fragments != wanted.fragments else []
        calls += [_bundle(switch, text)] if text else []
        if calls:
            guarded = new.bridges[name].external_ids.get(GUARDS, "").split()
            words = f"guard {', '.join(guarded)} by OpenFlow: {_words(before.flows, wanted.flows, present)}"
            risk, pause = (Risk.CHANGES, 0.0) if before.flows else (Risk.ADDITION, LOAD_S)
            yield step(Phase.SWITCHED, name, words, *calls, risk=risk, outage_s=pause, about="ruleset")


def present_on(bridge: str, part: SwitchState, state: HostState) -> frozenset[str]:
    """The interfaces of a switch that have a port of OpenFlow, as far as they were not refused."""
    return frozenset(
        one.name
        for row in part.ports.values()
        if row.bridge == bridge
        for one in row.interfaces
        if one.name not in part.seen.errors and (one.type not in BY_KERNEL or IfName(one.name) in state.links)
    )


def _fragments(switch: str, how: str) -> Command:
    return Command("ovs-ofctl", (*OPENFLOW, "set-frags", switch, how))


def _bundle(switch: str, lines: str) -> Command:
    return Command("ovs-ofctl", (*OPENFLOW, "--bundle", "add-flows", switch, "-"), lines)


def takes_guards_away(command: Command) -> bool:
    """Whether all rules go, and nothing is left that a frame must not pass."""
    return command.stdin == NO_GUARDS or command.words[-1] == USUAL


def _words(before: Iterable[FlowRule], wanted: Iterable[FlowRule], present: frozenset[str]) -> str:
    old, new = (frozenset(concrete(some, present)) for some in (before, wanted))
    if not old:
        return f"load {count(len(new), 'rule')}"
    signed = [*(f"- {one.key}" for one in sorted(old - new)), *(f"+ {one.key}" for one in sorted(new - old))]
    more = f"; and {len(signed) - SHOWN} more" if len(signed) > SHOWN else ""
    return "; ".join(signed[:SHOWN]) + more if signed else "show them the ports of fragments"


def righted_flows(
    before: Mapping[str, FlowTable], wanted: Mapping[str, FlowTable], now: SwitchState
) -> dict[str, FlowTable]:
    """The guards as a change left them; ports without one have come and gone since, and are let through as they are."""
    found = dict(now.flows)
    for name, table in wanted.items():
        bridge = now.bridges.get(name)
        if bridge is None or (table == before.get(name) and not bridge.site):
            continue
        there = found.get(name, NONE)
        passing = [one for one in (there if there.flows else table).flows if passes_unguarded(one)]
        ours = [one for one in table.flows if not passes_unguarded(one)]
        found[name] = FlowTable(fragments=table.fragments, flows=tuple(sorted([*ours, *passing])))
    return found


def merged_flows(
    before: Mapping[str, FlowTable], wanted: Mapping[str, FlowTable], now: Mapping[str, FlowTable]
) -> dict[str, FlowTable]:
    """The way back, rule by rule: what the change made goes, what it took away comes back."""
    found = dict(now)
    for name in before.keys() | wanted.keys():
        old, ours, there = (some.get(name, NONE) for some in (before, wanted, now))
        kept = set(there.flows) - (set(ours.flows) - set(old.flows)) | (set(old.flows) - set(ours.flows))
        if old == ours:
            continue
        if kept:
            found[name] = FlowTable(fragments=old.fragments or there.fragments, flows=tuple(sorted(kept)))
        else:
            found.pop(name, None)
    return found
