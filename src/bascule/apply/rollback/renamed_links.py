"""Links that somebody renamed since a change: its way back is about the same hardware, whatever it is called. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from bascule.model.state import HostState, Link, Route
from bascule.model.values import IfName
from bascule.plan.address_migration import moved_rules
from bascule.providers.protocol import ThreeWay

Names = Mapping[str, IfName]


def new_names(before: HostState, now: HostState) -> dict[str, IfName]:
    """What links of before are called now: those of the same number and hardware, as long as the kernel runs."""
    new = {x.facts.index: x for x in now.links.values() if x.name not in before.links and x.facts.index}
    gone = [link for name, link in before.links.items() if name not in now.links]
    return {str(x.name): new[x.facts.index].name for x in gone if _is_same(x, new.get(x.facts.index))}


def _is_same(link: Link, other: Link | None) -> bool:
    return other is not None and (link.options.kind, link.hardware_mac) == (other.options.kind, other.hardware_mac)


def followed(change: ThreeWay) -> ThreeWay:
    """The change with the names that its links have now."""
    names = {} if change.rebooted else new_names(change.before, change.now)
    if not names:
        return change
    applied = None if change.applied is None else _renamed(change.applied, names)
    moved = frozenset(names.get(name, name) for name in change.moved)
    before, wanted = _renamed(change.before, names), _renamed(change.wanted, names)
    given = {str(names.get(name, name)): ips for name, ips in change.by_files.items()}
    return replace(change, before=before, wanted=wanted, applied=applied, moved=moved, by_files=given)


def _renamed(state: HostState, names: Names) -> HostState:
    links = (
        replace(
            link,
            name=names.get(link.name, link.name),
            master=names.get(link.master, link.master) if link.master is not None else None,
            parent=names.get(link.parent, link.parent) if link.parent is not None else None,
        )
        for link in state.links.values()
    )
    return replace(
        state,
        links={link.name: link for link in links},
        routes=tuple(_route(route, names) for route in state.routes),
        rules=moved_rules(state.rules, names),
        neighbours=tuple(replace(one, dev=names.get(one.dev, one.dev)) for one in state.neighbours),
        sysctls={parameter(key, names): value for key, value in state.sysctls.items()},
    )


def _route(route: Route, names: Names) -> Route:
    hops = tuple(" ".join(names.get(word, word) for word in hop.split()) for hop in route.nexthops)
    return replace(route, dev=names.get(route.dev, route.dev), nexthops=hops)


def parameter(key: str, names: Names) -> str:
    """The kernel parameter of a link under its new name."""
    words = key.split("/")
    return "/".join([*words[:3], names.get(words[3], words[3]), *words[4:]]) if len(words) > 4 else key
