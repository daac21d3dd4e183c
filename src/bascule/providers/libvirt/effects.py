"""Where libvirt is meant, and how it is asked and told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError, NotPermitted
from bascule.host.live import LiveHost
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.providers.libvirt.state import LibvirtState
from bascule.system.net.netns import is_machines_own

SOCKETS = ("libvirt-sock", "virtqemud-sock")  # below /run/libvirt: the one daemon, or the one for QEMU alone


class LibvirtEffects(PlainEffects):
    """A connection for each look and for each run of commands; nothing of libvirt is loaded where it is not meant."""

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> LibvirtState | None:  # no texts
        """Everything that it knows, where it is meant; None where it is not, or does not answer unasked.

        Raises NotPermitted or CommandFailed where it was asked for by name; waits for one that is restarting where a
        checkpoint knows it.
        """
        known = scope.known.get("libvirt")
        named = scope.driver == "libvirt" or (scope.driver == "" and scope.uri is not None)
        unasked = scope.driver == "" and _is_concerned(scope) and may_be_here()
        if known is None and not named and not unasked:
            return None
        from bascule.providers.libvirt.observe import connect_with_retries, observe
        from bascule.system.libvirt import connect

        if known is not None:
            return observe(connect_with_retries(known.uri))
        try:
            return _with_accel(observe(connect(scope.uri)), scope)
        except BasculeError as error:
            if named:
                raise
            if isinstance(error, NotPermitted):
                why = "; ".join(problem.message for problem in error.problems)
                text = f"could not be asked, so its guests and networks are not in this plan: {why}"
                scope.notes.append(Note(kind="warning", subject="libvirt", text=text))
            return None

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """Tell it one after the other. No program inherits ``keep``: the library is part of ours."""
        from bascule.providers.libvirt.execute import execute
        from bascule.providers.registry import PROVIDERS

        notes = execute(batch, where)
        for one in PROVIDERS:
            if one.keeps_links:
                one.effects().ports_came(where.namespace)  # those of a guest that it started
        return notes


def _is_concerned(scope: ObserveScope) -> bool:
    site, host = scope.site, scope.host
    if site is None or host is None:
        return True
    return bool(host.virtual_networks) or any(True for _ in site.guests_on(host.name))


def _with_accel(state: LibvirtState, scope: ObserveScope) -> LibvirtState:
    """What a new guest would run on is found out by running one, which takes a moment, so only if there is one."""
    if scope.site is None or scope.host is None:
        return state
    if all(guest.name in state.domains for guest in scope.site.guests_on(scope.host.name)):
        return state
    from bascule.guests.accelerator import accel

    return replace(state, accel=accel().name)


def may_be_here() -> bool:
    """Whether it is worth a try: it was named, or this is the machine's own network and libvirt's socket is there.

    In another network namespace the machine's libvirt is not meant: its taps are not there.
    """
    if os.environ.get("LIBVIRT_DEFAULT_URI"):
        return True
    return is_machines_own() and any(Path("/run/libvirt", name).exists() for name in SOCKETS)
