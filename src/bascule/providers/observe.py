"""What is there now: one look at a host through all providers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import cache

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.host.live import LiveHost
from bascule.model.state import HostState
from bascule.providers.effects import ObserveScope
from bascule.providers.kernel import KERNEL
from bascule.providers.nft import NFT
from bascule.providers.registry import PROVIDERS
from bascule.system.net.netns import Namespace
from bascule.system.run import Running

OPTIONAL = {"nft"}  # a host without it has no tables
_WITH_PROGRAMS = (KERNEL, NFT)


def observe(*, sysctls: Iterable[str] = (), namespace: Namespace | None = None) -> HostState:
    """What the kernel and nft show, in the given network namespace or the one we are in.

    ``sysctls`` names the files below /proc/sys to read. Raises MissingTool, NotPermitted, CommandFailed.
    """
    return look(ObserveScope(where=LiveHost(namespace), sysctls=tuple(sysctls)))


def look(scope: ObserveScope, begun: Running | None = None) -> HostState:
    """The state of a host, of every provider that is asked; ``begun`` is what ``begin`` gave.

    The kernel comes last: which of its parameters count follows from what the others say, and its programs run
    meanwhile.
    """
    with contextlib.ExitStack() as opened:
        running = opened.enter_context(begun or begin(scope.where))
        state = look_at_parts(scope)
        if any(provider.was_waited_for(state) for provider in PROVIDERS):  # the kernel was asked too early
            running = opened.enter_context(begin(scope.where))
        texts = cache(running.texts)
        if scope.parameters is not None:
            scope = replace(scope, sysctls=(*scope.sysctls, *scope.parameters(state)))
        first = 0
        for provider in _WITH_PROGRAMS:
            effects = provider.effects()
            own = slice(first, first := first + len(effects.programs()))
            state = provider.with_part(state, effects.read(lambda own=own: texts()[own], scope))  # type: ignore[misc]
    for one in PROVIDERS:
        state = one.lay_over(state)
    return state


def look_at_parts(scope: ObserveScope) -> HostState:
    """Only what those say who are no programs: files, servers, whoever runs the guests."""
    state = HostState()
    for provider in PROVIDERS:
        if provider in _WITH_PROGRAMS:
            continue
        try:
            part = provider.effects().read(list, replace(scope, seen=state))
        except BasculeError as error:
            if scope.faults is None:
                raise
            scope.faults.extend(f"{provider.name}: {problem.words}" for problem in error.problems)
            continue
        state = provider.with_part(state, part)
    return state


def begin(where: LiveHost | None = None) -> Running:
    """Start to look: what needs no site file may run while that is read."""
    programs = [argv for provider in _WITH_PROGRAMS for argv in provider.effects().programs()]
    return Running(programs, namespace=where.namespace if where else None, optional=OPTIONAL)
