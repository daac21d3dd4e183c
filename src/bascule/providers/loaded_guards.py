"""Which ports of a host are behind a guard, by rules of nft or by flows of Open vSwitch; pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.site import Host
from bascule.model.state import HostState
from bascule.policy.guards.flows import COOKIE, level_of
from bascule.policy.guards.loaded import loaded_guards
from bascule.providers.ovs import OVS
from bascule.providers.ovs.state import GUARDS, SHOWN_RULES, SwitchState


def guards_of(state: HostState) -> dict[str, GuardLevel]:
    """The guard of each port that has one, by the port's name."""
    found = loaded_guards(state.tables)
    part: SwitchState | None = OVS.part(state)
    if part is None:
        return found
    for bridge, table in part.flows.items():
        names = part.bridges[bridge].external_ids.get(GUARDS, "").split() if bridge in part.bridges else []
        levels = {name: level_of(table.flows, name) for name in names}
        found |= {name: level for name, level in levels.items() if level is not None}
    return found


def unseen_guards(state: HostState) -> frozenset[str]:
    """Ports that have had their guards from Open vSwitch, which does not answer whether they stand."""
    part: SwitchState | None = OVS.part(state)
    if part is None or not part.seen.trouble:
        return frozenset()
    return frozenset(name for row in part.bridges.values() for name in row.external_ids.get(GUARDS, "").split())


def guards_passed_over(state: HostState, host: Host) -> Iterator[tuple[str, str]]:
    """The switches of a host on which rules of others may let frames pass their guards, with the words for it."""
    part: SwitchState | None = OVS.part(state)
    for bridge, words, evidence in part.besides_guards() if part is not None else ():
        if bridge in host.bridges:
            yield bridge, f"{words}: {'; '.join(evidence[:SHOWN_RULES])}"


def rules_on_switches(state: HostState) -> dict[str, tuple[LoadedRule, ...]]:
    """The guards' rules of a state on each switch that has some, as if all their ports were there."""
    part: SwitchState | None = OVS.part(state)
    tables = part.flows if part is not None else {}
    return {name: tuple(LoadedRule(COOKIE, 0, rule) for rule in table.flows) for name, table in tables.items()}
