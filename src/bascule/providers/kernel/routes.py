"""Routes as iproute2 prints them. Its JSON leaves out which metrics are locked and how packets are wrapped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec.json import decode
from msgspec.structs import replace

from bascule.model.state import Route, RouteFacts
from bascule.model.values import IfName
from bascule.model.volatile import Lifetime

FLAGS = ("onlink",)
BY_ITSELF = {"local", "broadcast", "anycast", "multicast"}  # the kernel makes some of these for addresses
METRICS = {"congestion": "congctl"}  # where what is printed is not what is to be said
TIMES = {"rtt", "rttvar", "rto_min"}  # in milliseconds
FEATURES = {"ecn", "tcp_usec_ts"}
LOCKABLE = {  # ip-route(8); rto_min always is locked, and is printed so
    "mtu", "window", "rtt", "rttvar", "ssthresh", "cwnd", "advmss", "reordering", "hoplimit",
}  # fmt: skip
AFTER_ENCAP = {"via", "dev", "table", "proto", "scope", "nhid", "metric", "src", "advmss", "mtu"}
WITHIN_ENCAP = {"src": {"ip", "ip6"}}  # a word that may be either
TEXTS = tuple(("ip", family, "-d", "route", "show", "table", "all") for family in ("-4", "-6"))

Json = Mapping[str, Any]


def parse_routes(text: str) -> Any:
    """JSON of ``ip route``; where a route wraps its packets two are called ``dst``, and the first is the route's."""
    if '"encap"' not in text:
        return decode(text)
    return json.loads(text, object_pairs_hook=_first_of_each)


def _first_of_each(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def read_route(entry: Json, default: str, connected: Container[tuple[str, str, int]] = ()) -> Route | None:
    """One entry of ``ip -j -d route``; None for what the kernel makes by itself from links and addresses.

    A route that says it is the kernel's, and belongs to no address that it makes routes for, is somebody's all the
    same: NetworkManager writes them so.
    """
    table, protocol, kind = entry.get("table", "main"), entry.get("protocol", "boot"), entry.get("type", "unicast")
    if protocol == "kernel" and (table == "local" or kind in BY_ITSELF):
        return None
    dst = entry["dst"]
    if dst == "default":
        dst = default
    elif "/" not in dst:
        dst += "/128" if ":" in dst else "/32"
    if protocol == "kernel" and (
        "expires" in entry  # the prefix of a router advertisement
        or (entry.get("dev", ""), dst, entry.get("metric", 0)) in connected
        or dst.startswith(("fe80:", "ff00:"))
        or entry.get("dev") == "lo"
    ):
        return None
    via = entry.get("via", {})
    return Route(
        dst=dst,
        dev=entry.get("dev", ""),
        gateway=entry.get("gateway", via.get("host", "")),
        table=str(table),
        metric=entry.get("metric", 0),
        prefsrc=entry.get("prefsrc", ""),
        protocol=str(protocol),
        scope=str(entry.get("scope", "global")),
        kind=kind,
        flags=tuple(flag for flag in FLAGS if flag in entry.get("flags", ())),
        nexthops=tuple(_nexthop(hop) for hop in entry.get("nexthops", ())),
        extra=tuple(_extra(entry)),
        lifetime=Lifetime(valid_s=entry.get("expires")),
        facts=RouteFacts(nexthop_id=int(entry.get("nhid", 0))),
    )


def in_their_places(routes: Iterable[Route]) -> Iterator[Route]:
    """The same with their place, as the kernel lists them."""
    before = Counter[tuple[str, str, int, str]]()
    for route in routes:
        place = before[route.slot]
        before[route.slot] += 1
        yield replace(route, facts=replace(route.facts, place=place)) if place else route


def _extra(entry: Json) -> Iterator[str]:
    """Further words for ``ip route add``."""
    own = list(entry)[: list(entry).index("encap")] if "encap" in entry else entry  # what follows is the wrapping's
    for key in ("from", "tos"):
        yield from (key, str(entry[key])) if key in own else ()
    if "encap" in entry:
        yield from ("encap", str(entry["encap"]))
    if flow := entry.get("flow"):
        yield from ("realms", "/".join(str(flow[key]) for key in ("from", "to") if key in flow))
    for name, value in (pair for metric in entry.get("metrics", ()) for pair in metric.items()):
        if name in FEATURES:
            yield from ("features", name)
        else:
            yield from (METRICS.get(name, name), f"{value}ms" if name in TIMES else str(value))
    if entry.get("pref", "medium") != "medium":
        yield from ("pref", entry["pref"])


def _nexthop(hop: Json) -> str:
    gateway = hop.get("gateway", hop.get("via", {}).get("host", ""))
    words = ["nexthop", *(("via", gateway) if gateway else ()), "dev", hop["dev"]]
    if hop.get("weight", 1) != 1:
        words += ["weight", str(hop["weight"])]
    return " ".join(words + [flag for flag in FLAGS if flag in hop.get("flags", ())])


# ---- what only the text says


def is_abridged(route: Route) -> bool:
    """Whether the text may say more of a route than the JSON does."""
    return "encap" in route.extra or bool(LOCKABLE.intersection(route.extra[::2]))


def with_words(routes: Iterable[Route], texts: Iterable[str], tables: Mapping[str, int]) -> tuple[Route, ...]:
    """The routes, with what TEXTS printed of those that are abridged."""
    told: dict[tuple[str, ...], list[str]] = {}
    for text in texts:
        for line in text.splitlines():
            if line[:1].strip():  # the hops of a route are indented
                told.setdefault(_key_of_line(line.split(), tables), line.split())
    return tuple(
        replace(route, extra=_completed(route.extra, told.get(_key(route), ()))) if is_abridged(route) else route
        for route in routes
    )


def _key(route: Route) -> tuple[str, ...]:
    return route.destination, route.table, str(route.metric), route.tos, str(route.is_ipv6)


def _key_of_line(words: Sequence[str], tables: Mapping[str, int]) -> tuple[str, ...]:
    dst = words[1]
    is_ipv6 = ":" in dst or (dst == "default" and "pref" in words)
    if dst != "default" and "/" not in dst:
        dst += "/128" if is_ipv6 else "/32"
    after = dict(pairwise(words))
    table = after.get("table", "main")
    tos = words[3] if words[2:3] == ["tos"] else ""
    return dst, str(tables.get(table, table)), after.get("metric", "0"), tos, str(is_ipv6)


def _completed(extra: Sequence[str], line: Sequence[str]) -> tuple[str, ...]:
    locked = {one for one, word in pairwise(line) if word == "lock" and one in LOCKABLE}
    found: list[str] = []
    for name, value in zip(extra[::2], extra[1::2], strict=False):
        if name == "encap" and name in line:
            found += _encap(line[line.index(name) :])
        else:
            found += [name, *(["lock"] if name in locked else []), value]
    return tuple(found)


def _encap(words: Sequence[str]) -> Iterator[str]:
    """The words of an encapsulation; of segments ``segs 2 [ A B ]`` is printed, and ``segs A,B`` is to be said."""
    kind = words[1]
    end = next(
        (n for n, w in enumerate(words) if n > 1 and w in AFTER_ENCAP and kind not in WITHIN_ENCAP.get(w, ())),
        len(words),
    )
    mine = list(words[:end])
    if "[" in mine and "]" in mine and "segs" in mine:
        first, last = mine.index("["), mine.index("]")
        mine[mine.index("segs") + 1 : last + 1] = [",".join(mine[first + 1 : last])]
    for before, word in pairwise(["", *mine]):
        yield f"{int(word):#x}" if before == "tos" else word  # printed as a decimal, and read as hexadecimal


def behind(routes: Iterable[Json]) -> Mapping[IfName, list[str]]:
    """The subnets to which another link comes first: of routes that differ in nothing else, the first counts."""
    first, found = dict[tuple[str, int], str](), dict[IfName, list[str]]()
    for entry in routes:
        near = entry.get("scope") == "link" or (":" in entry["dst"] and not entry["dst"].startswith("fe80"))
        if entry.get("protocol") == "kernel" and near and entry.get("table", "main") == "main":
            dev = first.setdefault((entry["dst"], entry.get("metric", 0)), entry["dev"])
            if dev != entry["dev"]:
                found.setdefault(IfName(entry["dev"]), []).append(entry["dst"])
    return found
