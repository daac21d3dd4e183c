"""What of a confirmed change is no longer so: the host as it is now, with only our part of it put right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from bascule.model.ruleset.rules import AnyTable, Table
from bascule.model.state import MARK, Address, HostState, Link
from bascule.plan.dynamic_state import COMING
from bascule.providers.protocol import Provider, ThreeWay

T = TypeVar("T")


def drift_goal(change: ThreeWay, providers: Iterable[Provider] = ()) -> HostState:
    """The state that ``now`` would be if nobody had touched what the change made, with the parts of some providers.

    A link or a table is ours where it bears the mark, and a link where the change altered it. Leases and what the
    kernel makes by itself are no drift, and a tap whose guest has stopped is none either.
    """
    before, wanted, now = change.before, change.wanted, change.now
    ours = {name: link for name, link in wanted.links.items() if link.is_ours or before.links.get(name) != link}
    gone = {name: link for name, link in ours.items() if name not in now.links and link.is_makeable}
    kept = {*now.links, *gone}
    links = {**now.links, **gone}
    links |= {name: _put_right(link, now.links[name], kept) for name, link in ours.items() if name in now.links}
    routes = [r for r in wanted.routes if r.protocol not in COMING and r.lifetime.valid_s is None]
    mine = [r for r in routes if any(dev in ours for _, dev in r.hops) or (r.is_ours and r not in before.routes)]
    have = set(now.routes)
    missing = tuple(r for r in mine if r not in have and all(dev in kept for _, dev in r.hops))
    goal = HostState(
        links=links,
        routes=now.routes + missing,
        rules=_with_missing(before.rules, wanted.rules, now.rules),
        lost_rules=tuple(one for one in now.lost_rules if one in wanted.lost_rules),
        neighbours=_with_missing(before.neighbours, wanted.neighbours, now.neighbours),
        sysctls=dict(now.sysctls) | {k: v for k, v in wanted.sysctls.items() if before.sysctls.get(k) != v},
        tables=dict(now.tables)
        | {k: v for k, v in wanted.tables.items() if _is_marked(v) or before.tables.get(k) != v},
    )
    for provider in providers:
        goal = provider.with_part(goal, provider.put_right(change))
    return goal


def _is_marked(table: AnyTable) -> bool:
    return isinstance(table, Table) and table.mark.startswith(MARK)


def _with_missing(before: Sequence[T], wanted: Sequence[T], now: Sequence[T]) -> tuple[T, ...]:
    """What is there now, with what the change brought and somebody took away."""
    return (*now, *(one for one in wanted if one not in before and one not in now))


def _put_right(link: Link, seen: Link, kept: Collection[str]) -> Link:
    """Our part of a link that is there; ``kept`` are the links that there will be."""
    if link.master is not None and link.master not in kept:
        link = replace(link, master=seen.master, port=seen.port, vlans=seen.vlans)
    fixed = {a.ip: a for a in link.addresses if not _passes(a)}
    here = [a for a in seen.addresses if a.ip in fixed or _passes(a)]
    addresses = (*(fixed.pop(a.ip, a) for a in here), *fixed.values())
    port = link.port
    if port is not None and seen.port is not None and port.cost is None:
        port = replace(port, cost=seen.port.cost)  # the kernel derives it from the port's speed
    # who makes the link-local address, the kernel or NetworkManager, is no drift while there is one, or none
    mode = seen.addrgenmode if _makes_its_own(link) == _makes_its_own(seen) else link.addrgenmode
    return replace(link, addresses=addresses, altnames=seen.altnames, port=port, addrgenmode=mode)


def _passes(address: Address) -> bool:
    """Whether it comes and goes by itself: a lease, the kernel's own, or one that a program gives to some machine."""
    return address.dynamic or address.is_link_local or bool(address.lifetime.kept_by)


def _makes_its_own(link: Link) -> bool:
    return link.addrgenmode != "none" or any(address.is_link_local for address in link.addresses)
