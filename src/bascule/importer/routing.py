"""Routes and policy rules as entries of a site file."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

from bascule.model.host_links import MAIN_TABLE, HostRoute, PolicyRule
from bascule.model.values import IfName, is_onlink
from bascule.persist.config import LinkConfig, StaticRoute


def route_entry(route: StaticRoute) -> dict[str, Any]:
    """A route of a link."""
    given = {
        "via": route.gateway,
        "metric": route.metric,
        "table": route.table if route.table != MAIN_TABLE else 0,
        "onlink": route.onlink,
        "src": route.prefsrc,
    }
    return {"to": route.dst} | {key: value for key, value in given.items() if value}


def host_route_entry(route: HostRoute, links: Mapping[IfName, LinkConfig]) -> dict[str, Any]:
    """A route that stands on no single link."""
    told: dict[str, Any] = {"to": str(route.to)} | ({"type": route.type} if not route.hops else {})
    for hop in route.hops:
        own = [ip_interface(text) for text in links[hop.link].addresses] if hop.link in links else []
        weight = {"weight": hop.weight} if hop.weight != 1 else {}
        onlink = {"onlink": True} if hop.onlink and not is_onlink(hop.router, own) else {}
        told.setdefault("via", []).append({"router": str(hop.router), "link": hop.link, **weight, **onlink})
    given = {"metric": route.metric, "table": route.table}
    return told | {key: value for key, value in given.items() if value}


def rule_entry(rule: PolicyRule) -> dict[str, Any]:
    """A policy rule."""
    ends = {"from": rule.source, "to": rule.to, **dict(rule.selectors)}
    told: dict[str, Any] = {"not": True} if rule.inverted else {}
    told |= {key: str(value) for key, value in ends.items() if value is not None}
    told |= {} if rule.suppress_prefixlength is None else {"suppress_prefixlength": rule.suppress_prefixlength}
    if rule.ipv6 and rule.source is None and rule.to is None:
        told["family"] = "ipv6"
    end = {"action": rule.action} if rule.action else {"table": "main" if rule.table == MAIN_TABLE else rule.table}
    return told | end | {"priority": rule.priority}
