"""Who a link is to its DHCP server at this moment, asked of the manager that keeps the leases."""

from __future__ import annotations

from msgspec.structs import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.system.net.managers import networkd_dhcp, networkmanager_dhcp

ASK = {"networkd": networkd_dhcp, "netplan": networkd_dhcp, "keyfile": networkmanager_dhcp}  # by dialect
MACHINES_OWN = "00020000ab11"  # DUID-EN with systemd's number; networkd makes the rest of it from /etc/machine-id


def client_id(dialect: str, link: IfName) -> ClientId | None:
    """None where the manager of this dialect keeps no lease on the link, and for an identifier of an odd form."""
    ask = ASK.get(dialect)
    identifier, iaid = ask(link) if ask else ("", "")
    said = ClientId.of(identifier)
    if said is None:
        return None
    if said.by_mac:
        return replace(said, iaid=int(iaid, 16)) if iaid else said  # which then counts for DHCPv6 alone
    return replace(said, duid="") if said.duid.startswith(MACHINES_OWN) else said
