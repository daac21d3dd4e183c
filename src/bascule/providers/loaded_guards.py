"""Which ports of a host are behind a guard, by rules of nft or by those of whoever keeps their bridge; pure."""

from __future__ import annotations

from collections.abc import Container, Iterator

from bascule.model.guarding import Guarding, GuardLevel
from bascule.model.ruleset.openflow import NOT_KNOWN, LoadedRule, flow
from bascule.model.state import HostState
from bascule.policy.guards.loaded import loaded_guards
from bascule.providers.registry import SWITCH_PROVIDERS, switches_of, switches_with

SECURE = "secure"  # the fail_mode of a bridge that passes what its rules say and nothing else
OF_NOBODY = LoadedRule(0, 0, flow(0, 0, "", f"{NOT_KNOWN}: fail_mode is secure, and no rule is Bascule's"))


def guards_of(state: HostState) -> dict[str, GuardLevel]:
    """The guard of each port that has one, by the port's name."""
    found = loaded_guards(state.tables)
    for part in switches_of(state):
        for bridge in part.bridges:
            found |= part.guards_on(bridge)
    return found


def is_behind_guard(state: HostState, port: str, bridge: str) -> bool:
    """Whether a port is, or will be when it comes, behind a guard on this bridge; rules of nft see the kernel's."""
    part = switches_with(state, bridge)
    return port in (part.guards_on(bridge) if part is not None else loaded_guards(state.tables))


def unseen_guards(state: HostState) -> frozenset[str]:
    """Ports that have had their guards from somebody who does not answer whether they stand."""
    return frozenset[str]().union(*(part.unseen_guards() for part in switches_of(state)))


def unseen_frames(guarding: Guarding) -> dict[str, str]:
    """The kinds of hostile frames that such a guard lets through where it is not nft's, each with the reason."""
    return {kind: why for provider in SWITCH_PROVIDERS for kind, why in provider.unseen_frames(guarding).items()}


def guards_passed_over(state: HostState, bridges: Container[str]) -> Iterator[tuple[str, str]]:
    """Those of some switches on which rules of others may let frames pass their guards, with the words for it."""
    return (one for part in switches_of(state) for one in part.passed_over() if one[0] in bridges)


def rules_on_switches(state: HostState) -> dict[str, tuple[LoadedRule, ...]]:
    """The guards' rules of a state on each switch that has some, as if all their ports were there.

    One that passes nothing without rules, and has none of ours, waits for somebody else's.
    """
    secure = (link.name for link in state.links.values() if getattr(link.options, "fail_mode", "") == SECURE)
    found: dict[str, tuple[LoadedRule, ...]] = {str(name): (OF_NOBODY,) for name in secure}
    for part in switches_of(state):
        found |= part.guard_rules()
    return found
