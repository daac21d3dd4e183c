"""How the switches are looked at and changed: words over the socket of their database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bascule.errors import CommandFailed, NotPermitted
from bascule.host.live import LiveHost
from bascule.model.links.openvswitch import TIME_TO_FORWARDING_S
from bascule.plan.batch import Batch
from bascule.plan.change import Note
from bascule.providers.effects import ObserveScope, PlainEffects
from bascule.system.net.netns import Namespace
from bascule.system.openvswitch import daemons, forwarding, passes, tree_states

if TYPE_CHECKING:
    from bascule.model.ruleset.openflow import LoadedRule
    from bascule.policy.guards.counters import StoppedFrames
    from bascule.providers.ovs.state import SwitchState


class OvsEffects(PlainEffects):
    """One read, one transaction; the rules of guards are read and loaded by ovs-ofctl, a switch at a time.

    Nothing of it is loaded where nobody keeps switches.
    """

    time_to_forwarding_s = TIME_TO_FORWARDING_S
    passes = staticmethod(passes)
    tree_states = staticmethod(tree_states)
    learned = staticmethod(forwarding)

    def read(self, texts: Callable[[], Sequence[str]], scope: ObserveScope) -> SwitchState | None:  # no texts
        """All switches; None where nobody keeps any."""
        return self.look(scope.where.namespace)

    def look(self, namespace: Namespace | None) -> SwitchState | None:
        """The same."""
        if daemons(namespace) is None:
            return None
        from bascule.providers.ovs.observe import look

        return look(namespace)

    def rules(self, namespace: Namespace | None, part: SwitchState) -> Mapping[str, tuple[LoadedRule, ...]]:
        """As ovs-ofctl lists them."""
        from bascule.providers.ovs.observe import all_rules

        return all_rules(namespace, part)

    def stopped(self, namespace: Namespace | None) -> Iterator[StoppedFrames]:
        """By the counters of their rules."""
        from bascule.providers.ovs.observe import stopped_by_flows

        return stopped_by_flows(namespace)

    def execute(self, batch: Batch, *, where: LiveHost, keep: Sequence[int]) -> tuple[Note, ...]:
        """The transaction, and wait until ovs-vswitchd has done it. Raises CommandFailed with what it says."""
        from bascule.providers.ovs.execute import execute

        execute(batch, where, keep)
        return ()

    def masters(self, namespace: Namespace | None) -> Mapping[str, str]:
        """By the database."""
        with contextlib.suppress(CommandFailed, NotPermitted):
            part = self.look(namespace)
            return {name: row.bridge for name, row in part.ports.items()} if part is not None else {}
        return {}

    def ports_came(self, namespace: Namespace | None) -> None:
        """Its guards know ports by their numbers."""
        from bascule.providers.ovs.execute import bind_ports

        bind_ports(namespace)
