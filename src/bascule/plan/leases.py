"""What becomes of DHCP leases and name servers when addresses move to another link, or their link becomes a port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from bascule.model.dhcp.client import DhcpClient, Handover
from bascule.model.dhcp.offers import NOTHING, Unused, of_version
from bascule.model.site import Host
from bascule.model.state import Address, HostState
from bascule.model.values import IfName
from bascule.plan.change import Note


class AddressMove(Struct, frozen=True, kw_only=True):
    """Where a link's addresses go to; ``to`` is empty where they go away and the link becomes a silent port.

    ``unused`` is what that link leaves of its lease.
    """

    link: IfName
    to: IfName | None
    addresses: tuple[Address, ...]
    unused: Unused = NOTHING


class NameServers(Struct, frozen=True, kw_only=True):
    """What systemd-resolved knows for a link, in resolvectl(1)'s words, and the link that shall have it as well."""

    link: IfName
    to: IfName
    facts: Mapping[str, str]


class Leases(Struct, frozen=True, kw_only=True):
    """The clients that go on elsewhere, the name servers that go along, and what the plan says about that."""

    handovers: tuple[Handover, ...] = ()
    names: tuple[NameServers, ...] = ()
    notes: tuple[Note, ...] = ()


def moves(host: Host, observed: HostState, wanted: HostState) -> Iterator[AddressMove]:
    """Every link that loses addresses to another one, or becomes a port."""
    for name, link in observed.links.items():
        later = wanted.links.get(name)
        kept = {address.ip for address in later.addresses} if later is not None else set()
        gone = tuple(a for a in link.addresses if a.ip not in kept and not a.is_link_local)
        enslaved = later is not None and later.master is not None and later.master != link.master
        if not gone and not enslaved:
            continue
        to = _successor(name, gone, wanted)
        if to is None and later is not None and later.master is not None:
            master = host.link(later.master)
            to = master.name if master is not None and master.dhcp else None
        if to is not None or enslaved:
            taker = host.link(to) if to is not None else None
            left = host.effective(taker).unused if taker is not None else NOTHING
            yield AddressMove(link=name, to=to, addresses=gone, unused=left)


def _successor(name: IfName, gone: Iterable[Address], wanted: HostState) -> IfName | None:
    ips = {address.ip for address in gone}
    takers = (n for n, link in wanted.links.items() if n != name and ips & {a.ip for a in link.addresses})
    return next(takers, None) if ips else None


def leases(
    moved: Iterable[AddressMove],
    clients: Iterable[DhcpClient],
    daemons: Mapping[IfName, DhcpClient],
    names: Iterable[NameServers] = (),
    *,
    sees_all: bool = True,
) -> Leases:
    """Each client on a link whose addresses move goes with them; what cannot go is told.

    ``sees_all``: whether a client that is not among them does not run; an ordinary user sees his own processes only.
    """
    listed = tuple(clients)
    handovers: list[Handover] = []
    notes: list[Note] = []
    for move in moved:
        here = [c for c in listed if move.link in c.links or (not c.links and move.to is not None)]
        if move.link in daemons:
            here.append(daemons[move.link])
        for client in here:
            handover = _handover(client, move)
            given = move.addresses if move.to is None else [one for one in move.addresses if one.dynamic]
            if given or not client.daemon:  # a manager that manages the link keeps no lease by that alone
                notes.append(_note(client, move, handover))
            if handover is not None:
                handovers.append(handover)
        if not here and move.to is not None and sees_all:
            notes += _ending_leases(move)
    going = tuple(names)
    for one in going:
        words = f"its name servers in systemd-resolved ({one.facts['dns']}) are {one.to}'s as well"
        notes.append(Note(kind="along", subject=one.link, text=words))
    return Leases(handovers=tuple(handovers), names=going, notes=tuple(notes))


def _handover(client: DhcpClient, move: AddressMove) -> Handover | None:
    if move.to is None or client.daemon or not client.links:
        return None
    own = [a for a in move.addresses if a.is_ipv6 == ("-6" in client.argv)]
    return Handover(
        kind=client.kind,
        argv=client.argv,
        home=move.link,
        link=move.link,
        to=move.to,
        addresses=tuple(a.local for a in sorted(own, key=lambda a: not a.dynamic)),
        unused=tuple(sorted(of_version(move.unused, 6 if "-6" in client.argv else 4))),
    )


def _note(client: DhcpClient, move: AddressMove, handover: Handover | None) -> Note:
    which = next((a.local for a in move.addresses if a.dynamic), "its address")
    if handover is not None:
        words = f"{client.name} continues with its lease on {handover.to}; here it stops without releasing it"
        return Note(kind="along", subject=move.link, text=words)
    if move.to is None:
        words = f"{client.name} runs on it and would give it an address again: stop it, this link becomes a port"
        return Note(kind="warning", subject=move.link, text=words)
    if client.daemon:
        words = f"{client.name} continues with the lease of {which} on {move.to} when it reads the files of this change"
        return Note(kind="along", subject=move.link, text=words)
    words = f"{client.name} was started for all links at once, so it stays: start it for {move.link} alone first, "
    words += f"or let it leave {move.link} alone and look after {move.to}; else the lease of {which} ends"
    return Note(kind="warning", subject=move.link, text=words)


def _ending_leases(move: AddressMove) -> Iterator[Note]:
    for address in move.addresses:
        if address.is_leased:
            words = f"{address.ip} has a lifetime, and no DHCP client was found that keeps it: on {move.to} it ends "
            words += f"in {address.lifetime.valid_s} s unless one is started there"
            yield Note(kind="warning", subject=move.link, text=words)
