"""A range of ports, parted where rules tell its ports apart: one of each part stands for the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bascule.model.values import Service
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.rules.lines import DecisionMap, Rules, Translate
from bascule.topology.trace.rules.tests import Bounds, Expr, Field, Lookup, Test, as_bounds

PORTS = ("dport", "sport", "proto-dst", "proto-src")  # the answer comes from the port
OPENFLOW = ("tp_dst=", "tp_src=")


def told_apart(networks: Iterable[HostNetwork], ends: Iterable[WireEnd], service: Service) -> list[Service]:
    """A service as parts of its range of ports, within each of which nothing tells one port from another."""
    first, last = service.first, service.last
    if last <= first:
        return [service]
    edges = {first}
    for network in networks:
        for low, high in (*_of_rules(network.rules), *_of_flows(network)):
            edges |= {edge for edge in (low, high + 1) if first < edge <= last}
    for end in ends:
        for flow in end.passes or ():
            edges |= {edge for edge in (flow.first, flow.last + 1) if first < edge <= last}
    starts = sorted(edges)
    ends_at = [*(start - 1 for start in starts[1:]), last]
    return [Service(service.protocol, *one) for one in zip(starts, ends_at, strict=True)]


def _of_rules(rules: Rules) -> frozenset[tuple[int, int]]:
    known: frozenset[tuple[int, int]] | None = rules.__dict__.get("_ports")
    if known is None:
        found = (one for line in rules.lines for one in _of_parts(line.parts))
        known = rules.__dict__["_ports"] = frozenset(one for one in found if not isinstance(one, str))
    return known


def _of_parts(parts: Iterable[object]) -> Iterator[Bounds]:
    for part in parts:
        if isinstance(part, Test | DecisionMap):
            yield from _of_keys(part.keys, (*map(as_bounds, part.exact), *part.ranged))
        elif isinstance(part, Translate):
            lookups = [(one.keys, one.entries) for one in (part.address, part.port) if isinstance(one, Lookup)]
            for keys, entries in (*lookups, *((part.pair,) if part.pair else ())):
                yield from _of_keys(keys, tuple(bounds for bounds, _ in entries))


def _of_keys(keys: tuple[Expr, ...], elements: Iterable[tuple[Bounds, ...]]) -> Iterator[Bounds]:
    places = [
        n for n, key in enumerate(keys) if isinstance(key, Field) and (key.key.endswith(PORTS) or key.key[0] == "@")
    ]
    for bounds in elements if places else ():
        for place in places:
            yield bounds[place]


def _of_flows(network: HostNetwork) -> Iterator[tuple[int, int]]:
    for rules in network.flows.values():
        for one in rules:
            for word in one.rule.match.split(","):
                if word.startswith(OPENFLOW):
                    value, _, mask = word[7:].partition("/")
                    low = int(value, 0)
                    yield low, low + (0xFFFF & ~int(mask, 0) if mask else 0)
