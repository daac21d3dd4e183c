"""How a link comes under a master, leaves it, and what the bridge keeps for it."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.links import Bond, BridgePort
from bascule.model.state import HostState, Link
from bascule.plan.change import Risk
from bascule.plan.step import PLUG_S, Phase, Step, ip, step
from bascule.plan.warnings.spanning_tree import deaf_s


def master_steps(old: Link, new: Link, before: HostState, after: HostState) -> Iterator[Step]:
    """Leave the old master, come under the new one."""
    if new.master == old.master:
        return
    name = new.name
    if new.master is None or new.master not in after.links:
        if old.master in after.links or (old.master is not None and before.links.get(old.master) is not None):
            yield step(
                Phase.DETACH,
                name,
                f"leave {old.master}",
                ip("link", "set", "dev", name, "nomaster"),
                risk=Risk.DETACHES,
                about="master",
            )
        return
    master = after.links[new.master]
    words = ip("link", "set", "dev", name, "master", master.name)
    down = (ip("link", "set", "dev", name, "down"),) if isinstance(master.options, Bond) and old.up else ()
    up = (ip("link", "set", "dev", name, "up"),) if down and new.up else ()
    moved = f" (from {old.master})" if old.master else ""
    yield step(
        Phase.ENSLAVE,
        name,
        f"become a port of {master.name}{moved}",
        *down,
        words,
        *up,
        risk=Risk.DETACHES if old.master else Risk.ADDITION,
        outage_s=max(PLUG_S if old.master or old.addresses else 0.0, deaf_s(master)),
        about="master",
    )


def port_steps(old: Link, new: Link) -> Iterator[Step]:
    """The bridge's options for this port."""
    moved = new.master != old.master
    if new.port is not None:
        reference = BridgePort() if moved or old.port is None else old.port
        if words := new.port.arguments(reference):
            command = ip("link", "set", "dev", new.name, "type", "bridge_slave", *words)
            yield step(Phase.PORT, new.name, f"port {' '.join(words)}", command, about="port")
