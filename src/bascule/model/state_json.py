"""A HostState as JSON and back: dumps for test cases and for checkpoints.

Everything that equals its default is left out, so a dump reads well and an old dump stays readable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from bascule.model.links import KINDS, BridgePort, LinkOptions, Other
from bascule.model.links.options import defaults_of
from bascule.model.ruleset.rules import AnyTable
from bascule.model.ruleset.text_0_1_0 import read_0_1_0
from bascule.model.state import (
    Address,
    FixedNeighbour,
    HostState,
    Link,
    LinkFacts,
    PortVlans,
    Route,
    RouteFacts,
    RoutingRule,
)
from bascule.model.volatile import Lifetime, Volatile

SCHEMA = "bascule/state/1"

Json = dict[str, Any]


def to_json(state: HostState) -> Json:
    """The state as plain dicts, lists, strings and numbers."""
    return {
        "schema": SCHEMA,
        "links": [_link_to(link) for link in sorted(state.links.values(), key=lambda link: link.name)],
        "routes": [_route_to(route) for route in state.routes],
        "rules": [_plain(rule) for rule in state.rules],
        **({"lost_rules": [_plain(rule) for rule in state.lost_rules]} if state.lost_rules else {}),
        **({"neighbours": [_plain(one) for one in state.neighbours]} if state.neighbours else {}),
        "sysctls": dict(sorted(state.sysctls.items())),
        "tables": _tables_to_json(state.tables),
    }


def from_json(data: Any) -> HostState:
    """The state from a dump. Raises ValueError when the document is not one."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise ValueError(f"the document is not a '{SCHEMA}' dump of a host's state")
    try:
        return HostState.of(
            (_link_from(entry) for entry in data["links"]),
            routes=tuple(map(_route_from, data["routes"])),
            rules=tuple(RoutingRule(**_tuples(entry)) for entry in data["rules"]),
            lost_rules=tuple(RoutingRule(**_tuples(entry)) for entry in data.get("lost_rules", ())),
            neighbours=tuple(FixedNeighbour(**_tuples(entry)) for entry in data.get("neighbours", ())),
            sysctls=data["sysctls"],
            tables=_tables_from_json(data["tables"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the dump of a host's state is damaged: {error}") from error


def _tables_to_json(tables: Mapping[str, AnyTable]) -> Json:
    """Tables of nftables by their keys."""
    return {key: msgspec.json.decode(msgspec.json.encode(table)) for key, table in sorted(tables.items())}


def _tables_from_json(data: Mapping[str, Any]) -> dict[str, AnyTable]:
    """The same back. Raises ValueError for what is none.

    A dump of version 0.1.0 has texts; one in no form of its own was of somebody else's, and is left out.
    """
    found: dict[str, AnyTable] = {}
    for key, told in data.items():
        if not isinstance(told, str):
            found[key] = msgspec.convert(told, AnyTable)
            continue
        with contextlib.suppress(ValueError):
            found[key] = read_0_1_0(told)
    return found


def _plain(value: Any) -> Json:
    """A flat value without its defaults."""
    return {
        name: list(item) if isinstance(item, tuple) else item
        for name, default in defaults_of(value.__class__)
        if (item := getattr(value, name)) != default
    }


def _tuples(entry: Mapping[str, Any]) -> Json:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def _split(entry: Mapping[str, Any], moment: type[Volatile]) -> tuple[Json, Json]:
    """What belongs to the moment, and the rest; both stand side by side in the document."""
    names = moment.__struct_fields__
    return {k: v for k, v in entry.items() if k in names}, {k: v for k, v in entry.items() if k not in names}


def _address_to(address: Address) -> Json:
    return _plain(address) | _plain(address.lifetime)


def _address_from(entry: Mapping[str, Any]) -> Address:
    lifetime, rest = _split(entry, Lifetime)
    return Address(**_tuples(rest), lifetime=Lifetime(**lifetime))


def _route_to(route: Route) -> Json:
    expires = route.lifetime.valid_s
    return _plain(route) | _plain(route.facts) | ({} if expires is None else {"expires_s": expires})


def _route_from(entry: Mapping[str, Any]) -> Route:
    facts, rest = _split(entry, RouteFacts)
    expires = rest.pop("expires_s", None)
    return Route(**_tuples(rest), lifetime=Lifetime(valid_s=expires), facts=RouteFacts(**facts))


def _link_to(link: Link) -> Json:
    entry = _plain(link) | _plain(link.facts)
    if link.facts.temporaries:
        entry["temporaries"] = [_address_to(address) for address in link.facts.temporaries]
    entry["kind"] = link.options.info_kind if isinstance(link.options, Other) else link.options.kind
    entry["options"] = link.options.as_json()
    if link.port is not None:
        entry["port"] = link.port.as_json()
    if link.vlans:
        entry["vlans"] = [_plain(vlan) for vlan in link.vlans]
    if link.addresses:
        entry["addresses"] = [_address_to(address) for address in link.addresses]
    return entry


def _link_from(entry: Mapping[str, Any]) -> Link:
    """A link; a dump of 0.1.0 has temporary addresses among the others."""
    facts, rest = _split(entry, LinkFacts)
    addresses = tuple(map(_address_from, (*entry.get("addresses", ()), *facts.pop("temporaries", ()))))
    rest = {key: value for key, value in rest.items() if key not in {"kind", "options", "port", "vlans", "addresses"}}
    kind = KINDS.get(entry["kind"], Other)
    options: LinkOptions = kind(**entry["options"])
    return Link(
        **_tuples(rest),
        options=options,
        facts=LinkFacts(**_tuples(facts), temporaries=tuple(a for a in addresses if a.is_temporary)),
        port=BridgePort(**entry["port"]) if "port" in entry else None,
        vlans=tuple(PortVlans(**vlan) for vlan in entry.get("vlans", ())),
        addresses=tuple(a for a in addresses if not a.is_temporary),
    )
