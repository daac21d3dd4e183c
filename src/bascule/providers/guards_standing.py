"""Which ports of a host are behind a guard, by rules of nft or by flows of Open vSwitch; pure."""

from __future__ import annotations

from bascule.model.guarding import GuardLevel
from bascule.model.state import HostState
from bascule.policy.guards.flows import level_of
from bascule.policy.guards.standing import standing_guards
from bascule.providers.ovs import OVS
from bascule.providers.ovs.state import GUARDS, SwitchState


def guards_of(state: HostState) -> dict[str, GuardLevel]:
    """The guard of each port that has one, by the port's name."""
    found = standing_guards(state.tables)
    part: SwitchState | None = OVS.part(state)
    if part is None:
        return found
    for bridge, table in part.flows.items():
        names = part.bridges[bridge].external_ids.get(GUARDS, "").split() if bridge in part.bridges else []
        levels = {name: level_of(table.flows, name) for name in names}
        found |= {name: level for name, level in levels.items() if level is not None}
    return found
