"""The order of a link's IPv6 addresses, which says with which one the host speaks.

Linux lists a new one before those that were there, and sends from the first of those that fit equally well (RFC 6724
leaves it to the host). So one that comes back leads, unless those that led before it are set anew after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv6Network, ip_interface

from bascule.model.state import Address, Link

LOCAL = IPv6Network("fc00::/7")  # from no such address anything is sent where another one fits, and the reverse


def newest_first(addresses: Iterable[Address], had: Collection[str]) -> tuple[Address, ...]:
    """As the kernel lists them where IPv6 addresses are new beside those that the link ``had``."""
    every = tuple(addresses)
    new = [one for one in every if ":" in one.ip and not one.is_link_local and one.ip not in had]
    return (*new, *(one for one in every if one not in new)) if new else every


def set_anew(old: Link, new: Link) -> frozenset[str]:
    """The IPv6 addresses that stay and must be set anew, as they come before one that is new or was before them.

    None of a link with temporary addresses, which the kernel deletes with the one that they were made of.
    """
    if old.facts.temporaries:
        return frozenset()
    return frozenset(ip for kind in (True, False) for ip in _leading(_ips(old, local=kind), _ips(new, local=kind)))


def new_leaders(old: Link, new: Link) -> Iterator[tuple[str, str]]:
    """Each address that leads from now on, with the one that led and stays."""
    for kind in (True, False):
        before, after = _ips(old, local=kind, preferred=True), _ips(new, local=kind, preferred=True)
        if before and after[:1] != before[:1] and before[0] in after:
            yield after[0], before[0]


def _leading(had: list[str], wanted: list[str]) -> Iterator[str]:
    """All of the wanted ones but the last, as far as these stand in their order already."""
    there, stays = iter(reversed(had)), True
    for ip in reversed(wanted):
        stays = stays and ip in there
        if not stays and ip in had:
            yield ip


def _ips(link: Link, *, local: bool, preferred: bool = False) -> list[str]:
    return [
        one.ip
        for one in link.addresses
        if ":" in one.ip and not one.is_link_local and not one.lifetime.kept_by
        if (ip_interface(one.ip).ip in LOCAL) is local and not (preferred and one.lifetime.preferred_s == 0)
    ]


def gone_back_to(before: Link, after: Link | None, now: Link, addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Those that a link goes back to, in the order of before, or of now where it is others who changed it since."""
    found = newest_first(addresses, {one.ip for one in before.addresses})
    stayed = {one.ip for one in before.addresses if ":" in one.ip} & {one.ip for one in now.addresses}
    if after is None or _order(after, stayed) != _order(before, stayed):
        return found
    back = {one.ip: one for one in found}
    order = iter([back[ip] for ip in _order(now, stayed) if ip in back])
    return tuple(next(order) if one.ip in stayed else one for one in found)


def _order(link: Link, which: Collection[str]) -> list[str]:
    return [one.ip for one in link.addresses if one.ip in which]
