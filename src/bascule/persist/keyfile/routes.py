"""A route of a profile, and the words of its options."""

from __future__ import annotations

from bascule.model.host_links import NOWHERE_TO, UNICAST, HostRoute
from bascule.persist.config import StaticRoute
from bascule.persist.formats.host_routes import host_route
from bascule.persist.formats.values import TUNING, parse_bool, parse_ip, parse_number, parse_prefix, parse_table
from bascule.persist.keyfile.gateways import UNSAID
from bascule.persist.keyfile.lists import split_list


def route_of(text: str, options: str) -> tuple[StaticRoute | HostRoute, list[str]]:
    """``DESTINATION,GATEWAY,METRIC`` with its options, and what of them is tuning. Raises ValueError."""
    extra: dict[str, str] = {}
    for word in split_list(options.replace(",", ";")):
        key, _, value = word.partition("=")
        extra[key.strip()] = value.strip()
    dst, gateway, metric, *_ = [part.strip() for part in text.rstrip(";").split(",")] + ["", "", ""]
    kind, gateway = extra.get("type", UNICAST), parse_ip(gateway) if gateway else ""
    if kind not in {UNICAST, *NOWHERE_TO}:
        raise ValueError(f"a route of type {kind} is not supported")
    known = {"table", "src", "onlink", "type"} if kind == UNICAST else {"table", "type"}
    if odd := {word for word in set(extra) - known if word.removeprefix("lock-") not in TUNING}:
        raise ValueError(f"the route's option '{min(odd)}' is not supported")
    tuning = [f"{word}={extra[word]}" for word in sorted(set(extra) - known)]
    gateway = "" if gateway in {"0.0.0.0", "::"} else gateway
    if kind != UNICAST:
        if gateway:
            raise ValueError(f"a route of type {kind} has no router")
        return host_route(dst, kind, (), metric=metric or "0", table=extra.get("table", "main")), tuning
    route = StaticRoute(
        dst=parse_prefix(dst),
        gateway=gateway,
        metric=parse_number(metric) if metric else UNSAID,
        table=parse_table(extra.get("table", "main")),
        prefsrc=parse_ip(extra["src"]) if "src" in extra else "",
        onlink=parse_bool(extra.get("onlink", "no")),
    )
    return route, tuning
