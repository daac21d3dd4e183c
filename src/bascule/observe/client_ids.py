"""Who each link is to its DHCP server at this moment, asked of the manager that keeps the leases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.system.managers import networkd_dhcp, networkmanager_dhcp

ASK = {"networkd": networkd_dhcp, "netplan": networkd_dhcp, "keyfile": networkmanager_dhcp}  # by dialect
MACHINES_OWN = "00020000ab11"  # DUID-EN with systemd's number; networkd makes the rest of it from /etc/machine-id


def client_ids(dialect: str, links: Iterable[IfName]) -> dict[IfName, ClientId]:
    """By link, for those whose lease the manager of this dialect keeps; an identifier of an odd form is left out."""
    found: dict[IfName, ClientId] = {}
    ask = ASK.get(dialect)
    if ask is None:
        return found
    for link in links:
        identifier, iaid = ask(link)
        said = ClientId.of(identifier)
        if said is None:
            continue
        if said.by_mac and iaid:  # which then counts for DHCPv6 alone
            said = replace(said, iaid=int(iaid, 16))
        elif said.duid.startswith(MACHINES_OWN):
            said = replace(said, duid="")
        found[link] = said
    return found
