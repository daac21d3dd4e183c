"""Where a NIC of a guest belongs, for whoever makes its tap."""

from __future__ import annotations

from msgspec import Struct

from bascule.model.site import GuestNic
from bascule.model.state import PortVlans
from bascule.model.values import IfName


class Plug(Struct, frozen=True, kw_only=True):
    """Where a guest's NIC belongs: its tap on ``bridge``, both ends with ``mtu`` bytes.

    ``vlans`` are those of the tap on a VLAN-aware bridge; None on any other, and where the plan sets them. A switch
    that is not the kernel's takes the tap by a plan, ``by_kernel`` is False there.
    """

    nic: GuestNic
    bridge: IfName
    mtu: int = 1500
    by_kernel: bool = True
    vlans: tuple[PortVlans, ...] | None = None
