"""What every driver of virtual servers can do with a guest's NICs, whoever runs the guest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from msgspec import Struct

from bascule.model.site import GuestNic
from bascule.model.state import PortVlans
from bascule.model.values import IfName
from bascule.plan.change import Note


class Plug(Struct, frozen=True, kw_only=True):
    """Where a guest's NIC belongs: its tap on ``bridge``, both ends with ``mtu`` bytes.

    ``vlans`` are those of the tap on a VLAN-aware bridge; None on any other, and where the plan sets them.
    """

    nic: GuestNic
    bridge: IfName
    mtu: int = 1500
    vlans: tuple[PortVlans, ...] | None = None


class GuestDriver(Protocol):
    """Guests by their NICs. All calls take many NICs at once and are all or error; errors are BasculeError.

    A driver that cannot do something for a NIC says so in a note and leaves that NIC as it was.
    """

    name: ClassVar[str]

    def attach(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Give guests these NICs: the tap made, its MTU set before it is enslaved, quiet, on its bridge, up."""

    def detach(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Take NICs away from their guests, taps and all."""

    def unplug(self, nics: Sequence[GuestNic]) -> tuple[Note, ...]:
        """Pull the cable: the guest sees its link go down; the NIC stays."""

    def replug(self, plugs: Sequence[Plug]) -> tuple[Note, ...]:
        """Link down, to the bridge, link up: the guest sees it and renews its lease. It plugs in what is unplugged."""
