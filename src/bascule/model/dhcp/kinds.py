"""The DHCP clients that can be moved to another link while they keep their lease: one small file for each."""

from __future__ import annotations

from collections.abc import Mapping

from bascule.model.dhcp import dhclient, dhcpcd, udhcpc
from bascule.model.dhcp.client import ClientKind

KINDS: Mapping[str, ClientKind] = {kind.NAME: kind for kind in (dhclient, dhcpcd, udhcpc)}
