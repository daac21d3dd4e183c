"""netplan's addresses and routes."""

from __future__ import annotations

from bascule.model.host_links import NOWHERE_TO, HostRoute
from bascule.persist.config import StaticRoute
from bascule.persist.formats.host_routes import host_route
from bascule.persist.formats.values import (
    default_of,
    parse_address,
    parse_bool,
    parse_ip,
    parse_number,
    parse_prefix,
    parse_table,
)
from bascule.persist.netplan.nodes import Node, pairs, text_of


def parse_whole_address(text: str) -> str:
    """An address that stands with its prefix length. Raises ValueError."""
    if "/" not in text:
        raise ValueError(f"'{text}' has no prefix length")
    return parse_address(text)


TUNING = {"mtu", "congestion-window", "advertised-receive-window", "advertised-mss"}


def tuning_of(node: Node) -> str:
    """What a route says beside where it leads."""
    return ", ".join(f"{key.value}: {text_of(value)}" for key, value in pairs(node) if key.value in TUNING)


def destination_of(node: Node) -> str:
    """Where a route leads, as it stands."""
    return next((text_of(value) for key, value in pairs(node) if key.value == "to"), "")


def route_of(node: Node) -> StaticRoute | HostRoute:
    """A route. Raises ValueError for one that is not supported."""
    values = {str(key.value): text_of(value) for key, value in pairs(node)}
    if values.get("type") in NOWHERE_TO and not set(values) - {"to", "metric", "table", "type", *TUNING}:
        to = "0.0.0.0/0" if values.get("to") in {"default", "0/0"} else values.get("to", "")
        table = values.get("table", "main")
        return host_route(to, values["type"], (), metric=values.get("metric", "0"), table=table)
    unknown = set(values) - {"to", "via", "metric", "table", "from", "on-link", "scope", "type", *TUNING}
    if unknown or values.get("type", "unicast") != "unicast":
        raise ValueError(f"'{min(unknown, default='type')}' of a route is not supported")
    gateway = parse_ip(values["via"]) if values.get("via", "0.0.0.0") not in {"0.0.0.0", "::"} else ""
    to = values.get("to", "")
    return StaticRoute(
        dst=default_of(gateway) if to in {"default", "0/0"} else parse_prefix(to),
        gateway=gateway,
        metric=parse_number(values.get("metric", "0")),
        table=parse_table(values.get("table", "main")),
        prefsrc=parse_ip(values["from"]) if "from" in values else "",
        onlink=parse_bool(values.get("on-link", "no")),
    )
