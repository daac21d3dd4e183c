"""Which ports of a host are behind a guard, by rules of nft or by flows of Open vSwitch; pure."""

from __future__ import annotations

from collections.abc import Container, Iterator

from bascule.model.guarding import GuardLevel
from bascule.model.ruleset.openflow import NOT_KNOWN, LoadedRule, flow
from bascule.model.state import HostState
from bascule.policy.guards.flows import COOKIE, levels_of
from bascule.policy.guards.loaded import loaded_guards
from bascule.providers.ovs import OVS
from bascule.providers.ovs.state import GUARDS, SECURE, SwitchState

OF_NOBODY = LoadedRule(0, 0, flow(0, 0, "", f"{NOT_KNOWN}: fail_mode is secure, and no rule is Bascule's"))


def guards_of(state: HostState) -> dict[str, GuardLevel]:
    """The guard of each port that has one, by the port's name."""
    found = loaded_guards(state.tables)
    part: SwitchState | None = OVS.part(state)
    if part is None:
        return found
    for bridge in part.flows:
        found |= _by_flows(part, bridge)
    return found


def is_behind_guard(state: HostState, port: str, bridge: str) -> bool:
    """Whether a port is, or will be when it comes, behind a guard on this bridge; rules of nft see no Open vSwitch."""
    part: SwitchState | None = OVS.part(state)
    if part is not None and bridge in part.bridges:
        return port in _by_flows(part, bridge)
    return port in loaded_guards(state.tables)


def _by_flows(part: SwitchState, bridge: str) -> dict[str, GuardLevel]:
    if bridge not in part.bridges or bridge not in part.flows:
        return {}
    known: dict[str, dict[str, GuardLevel]] = part.__dict__.setdefault("_guards", {})  # asked of each port
    if bridge not in known:
        names = part.bridges[bridge].external_ids.get(GUARDS, "").split()
        known[bridge] = levels_of(part.flows[bridge].flows, names)
    return known[bridge]


def unseen_guards(state: HostState) -> frozenset[str]:
    """Ports that have had their guards from Open vSwitch, which does not answer whether they stand."""
    part: SwitchState | None = OVS.part(state)
    if part is None or not part.seen.trouble:
        return frozenset()
    return frozenset(name for row in part.bridges.values() for name in row.external_ids.get(GUARDS, "").split())


def guards_passed_over(state: HostState, bridges: Container[str]) -> Iterator[tuple[str, str]]:
    """Those of some switches on which rules of others may let frames pass their guards, with the words for it."""
    part: SwitchState | None = OVS.part(state)
    return (one for one in (part.passed_over() if part is not None else ()) if one[0] in bridges)


def rules_on_switches(state: HostState) -> dict[str, tuple[LoadedRule, ...]]:
    """The guards' rules of a state on each switch that has some, as if all their ports were there.

    One that passes nothing without rules, and has none of ours, waits for somebody else's.
    """
    part: SwitchState | None = OVS.part(state)
    tables = part.flows if part is not None else {}
    secure = (link.name for link in state.links.values() if getattr(link.options, "fail_mode", "") == SECURE)
    found = {str(name): (OF_NOBODY,) for name in secure if name not in tables}
    return found | {name: tuple(LoadedRule(COOKIE, 0, rule) for rule in table.flows) for name, table in tables.items()}
