"""The trap of macvtap: a guest on a NIC talks to everybody but its own host. Said before it is sprung; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bascule.model.site import GuestNic, Host, Site
from bascule.model.values import grouped, natural
from bascule.plan.change import Note

TRAP = "host and guest cannot talk to each other there, for macvtap sends no frame back to its own host"
MANY = 3  # guests on one NIC that are named
FIX = "plug it into a bridge, or give guest and host a second NIC on an isolated virtual network"


def macvtap_notes(site: Site, host: Host) -> Iterator[Note]:
    """A warning for each guest that shares a NIC of the host, and what it can reach all the same."""
    nics = [nic for nic in site.guest_nics(host.name) if nic.shared_nic]
    sharing = grouped((nic.into, nic.guest) for nic in nics)
    for nic in nics:
        text = f"is plugged into {nic.into} directly (macvtap): {TRAP}; "
        text += f"{_beside(nic, sharing[nic.into])}{_round(site, host, nic)}{FIX}"
        yield Note(kind="warning", subject=nic.guest, text=text)


def _beside(nic: GuestNic, guests: Sequence[str]) -> str:
    """Macvtap in bridge mode passes frames among the guests on one NIC."""
    if len(guests) > MANY:  # the same sentence for each of them
        return f"with the other guests on {nic.into} it can; "
    others = sorted({*guests} - {nic.guest}, key=natural)
    return f"with {' and '.join(others)} on the same NIC it can; " if others else ""


def _round(site: Site, host: Host, nic: GuestNic) -> str:
    """Another NIC of the host on the same network reaches the guest by way of the switch."""
    network = site.network_of_link(host, nic.into)
    for other in host.speakers():
        if network is not None and other.name != nic.into and site.network_of_link(host, other.name) == network:
            return f"{host.name} reaches it by {other.name} and the switch of {network.name} only; "
    return ""
