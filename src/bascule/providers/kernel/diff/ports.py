"""How a link comes under a master, leaves it, and what the bridge keeps for it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from bascule.model.links import Bond, BridgePort
from bascule.model.state import HostState, Link
from bascule.plan.change import Risk
from bascule.plan.step import PLUG_S, Phase, Step, ip, step
from bascule.plan.warnings.spanning_tree import time_to_forwarding_s


def master_steps(old: Link, new: Link, before: HostState, after: HostState) -> Iterator[Step]:
    """Leave the old master, come under the new one."""
    if new.master == old.master:
        return
    name = new.name
    left = before.master_of(old)
    if left is not None and not left.options.by_kernel:
        old, left = replace(old, master=None), None  # whoever keeps that switch takes the port off it
    joined = after.master_of(new)
    if joined is None or not joined.options.by_kernel:
        if old.master in after.links or left is not None:
            yield step(
                Phase.DETACH,
                name,
                f"leave {old.master}",
                ip("link", "set", "dev", name, "nomaster"),
                risk=Risk.DETACHES,
                about="master",
            )
        return
    master = joined
    words = ip("link", "set", "dev", name, "master", master.name)
    down = (ip("link", "set", "dev", name, "down"),) if isinstance(master.options, Bond) and old.up else ()
    up = (ip("link", "set", "dev", name, "up"),) if down and new.up else ()
    moved = f" (from {old.master})" if old.master else ""
    speaks = any(not address.is_link_local for address in new.addresses)
    joins = Risk.CHANGES if speaks else Risk.ADDITION  # a port hears nothing for its own addresses any more
    yield step(
        Phase.ENSLAVE,
        name,
        f"become a port of {master.name}{moved}",
        *down,
        words,
        *up,
        risk=Risk.DETACHES if old.master else joins,
        outage_s=max(PLUG_S if old.master or old.addresses else 0.0, time_to_forwarding_s(master)),
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
