"""Links of ours that a change took away, and whose names somebody else has given to links of his own since. Pure.

A way back leaves those as they are: with our mark on them, the next plan would delete what others have made.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from bascule.model.kernel_parameters import link_of
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.providers.protocol import ThreeWay


def without_taken(change: ThreeWay) -> tuple[ThreeWay, dict[str, str]]:
    """The change as if what had those names had never been there, and words by the links that they are about."""
    before, now = change.before.links, change.now.links
    taken = {
        name
        for name, old in before.items()
        if old.is_ours and name not in change.wanted.links and name in now and name not in change.moved
        if not now[name].is_ours and now[name].facts.index != old.facts.index
    }
    if not taken:
        return change, {}
    after = (change.applied or change.wanted).links
    words = {name: f"{name} is another link than the one that the change deleted, and stays" for name in sorted(taken)}
    words |= {
        name: f"{name} does not go back to {link.master}, which is another link by now"
        for name, link in before.items()
        if link.master in taken and name in now and name not in taken
    }
    links = {n: _elsewhere(x, after.get(n), taken) for n, x in before.items() if n not in taken}
    return replace(change, before=_without(change.before, links, taken)), {str(n): text for n, text in words.items()}


def _elsewhere(link: Link, after: Link | None, taken: Collection[str]) -> Link:
    """A port of such a bridge stays where the change has put it."""
    if link.master not in taken:
        return link
    if after is None:
        return replace(link, master=None, port=None, vlans=())
    return replace(link, master=after.master, port=after.port, vlans=after.vlans)


def _without(state: HostState, links: dict[IfName, Link], taken: Collection[str]) -> HostState:
    return replace(
        state,
        links=links,
        routes=tuple(route for route in state.routes if not any(dev in taken for _, dev in route.hops)),
        neighbours=tuple(one for one in state.neighbours if one.dev not in taken),
        sysctls={key: value for key, value in state.sysctls.items() if link_of(key) not in taken},
    )
