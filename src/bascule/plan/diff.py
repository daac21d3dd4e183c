"""The plan that leads from one state of a host to another: the steps of every provider, in order."""

from __future__ import annotations

from bascule.model.state import HostState
from bascule.plan.change import Plan
from bascule.plan.step import Context
from bascule.providers import PROVIDERS

PLAIN = Context()


def diff(before: HostState, after: HostState, context: Context = PLAIN) -> Plan:
    """The plan that turns ``before`` into ``after``; empty when they say the same.

    A provider keeps the order of its own steps within a phase.
    """
    found = [
        step
        for provider in PROVIDERS
        if provider.part(before) is not None and provider.part(after) is not None
        for step in provider.diff(before, after)
    ]
    found.sort(key=lambda step: step.phase)
    return Plan(changes=tuple(step.change(context) for step in found))


def same(one: HostState, other: HostState) -> bool:
    """Whether nothing would have to change to get from one to the other, either way."""
    return not diff(one, other) and not diff(other, one)
