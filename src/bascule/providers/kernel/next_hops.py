"""Next-hop objects (ip-nexthop(8)) that routes use: whoever made one keeps it, and it goes with its link."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.providers.protocol import ThreeWay


def without_next_hops(change: ThreeWay) -> Iterator[str]:
    """A line for each route that is back, and not by the next-hop object that it used: that is gone with its link."""
    now, after = {route: route for route in change.now.routes}, change.applied or change.wanted
    moved = set(change.before.routes) - set(after.routes)
    for route in change.before.routes:
        used, found = route.facts.nexthop_id, now.get(route)
        if used and route in moved and found is not None and found.facts.nexthop_id != used:
            way = route.gateway or " and ".join(route.nexthops) or route.dev
            yield (
                f"the route {route.dst} is back by {way} alone: the next hop {used}, which it used, is "
                "not there any more; whoever made that has to give it to the route again (ip route replace … nhid)"
            )
