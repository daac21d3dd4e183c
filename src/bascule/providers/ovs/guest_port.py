"""The tap of a guest that bare QEMU runs, as a port of Open vSwitch: libvirt does the same for its own. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import SwitchedNic
from bascule.model.state import PortVlans
from bascule.plan.change import Command
from bascule.providers.ovs.diff import PATIENCE_S
from bascule.providers.ovs.overlay import columns_of


def join(socket: str, bridge: str, tap: str, nic: SwitchedNic, *, isolated: bool) -> Command:
    """Its tap becomes a port, with its VLANs from its first frame on; one that is a port elsewhere leaves there."""
    columns = {**columns_of(_vlans(nic)), "protected": isolated}
    said = [f"{name}={_word(value)}" for name, value in columns.items() if value not in (None, (), False)]
    moved = ("--if-exists", "del-port", tap, "--", "add-port", bridge, tap)
    return Command("ovs-vsctl", (*_where(socket), *moved, *(("--", "set", "Port", tap, *said) if said else ())))


def leave(socket: str, tap: str) -> Command:
    """Its tap is no port any more."""
    return Command("ovs-vsctl", (*_where(socket), "--if-exists", "del-port", tap))


def _where(socket: str) -> tuple[str, ...]:
    return f"--db=unix:{socket}", f"--timeout={PATIENCE_S}", "--"


def _vlans(nic: SwitchedNic) -> Iterator[PortVlans]:
    if nic.untagged is not None:
        own = nic.untagged
        yield PortVlans(first=own, last=own, pvid=True, untagged=not nic.native_tagged)
    for first, last in nic.tagged:
        yield PortVlans(first=first, last=last)


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()
