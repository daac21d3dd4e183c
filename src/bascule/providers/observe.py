"""What is there now: one look at a host through all providers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from bascule.host.live import LiveHost
from bascule.model.state import HostState
from bascule.providers import PROVIDERS
from bascule.providers.effects import Scope
from bascule.system.net.netns import Namespace
from bascule.system.run import Running

OPTIONAL = {"nft"}  # a host without it has no tables


def observe(*, sysctls: Iterable[str] = (), namespace: Namespace | None = None) -> HostState:
    """What the kernel and nft show, in the given network namespace or the one we are in.

    ``sysctls`` names the files below /proc/sys to read. Raises MissingTool, NotPermitted, CommandFailed.
    """
    return look(Scope(where=LiveHost(namespace), sysctls=tuple(sysctls)))


def look(scope: Scope, begun: Running | None = None) -> HostState:
    """The state of a host, of every provider that is asked; ``begun`` is what ``begin`` gave."""
    state, first = HostState(), 0
    with begun or begin(scope.where) as running:
        texts = cache(running.texts)
        for provider in PROVIDERS:
            effects = provider.effects()
            end = first + len(effects.programs())
            part = effects.read(lambda own=slice(first, end): texts()[own], scope)  # type: ignore[misc]
            state, first = provider.with_part(state, part), end
    return state


def begin(where: LiveHost | None = None) -> Running:
    """Start to look: what needs no site file may run while that is read."""
    programs = [argv for provider in PROVIDERS for argv in provider.effects().programs()]
    return Running(programs, namespace=where.namespace if where else None, optional=OPTIONAL)
