"""Policy rules from the JSON of iproute2. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bascule.model.host_links import RULE_ENDS
from bascule.model.state import OWN_PROTOCOL, RoutingRule
from bascule.model.values import parse_fwmark

Json = Mapping[str, Any]
DEFAULT_RULES = {(0, "local"), (32766, "main"), (32767, "default")}


def read_rule(entry: Json, *, ipv6: bool) -> RoutingRule | None:
    """One entry of ``ip -j rule``; None for the three that every kernel starts with."""
    priority, table = entry["priority"], str(entry.get("table", ""))
    if (priority, table) in DEFAULT_RULES and entry.get("src", "all") == "all":
        return None
    words: list[str] = []
    if "not" in entry:
        words.append("not")
    for key, argument in (("src", "from"), ("dst", "to")):
        value = entry.get(key, "all")
        if value != "all" or key == "src":
            length = entry.get(f"{key}len")
            words += [argument, f"{value}/{length}" if length is not None and value != "all" else value]
    if "fwmark" in entry:
        words += ["fwmark", parse_fwmark("/".join(entry[key] for key in ("fwmark", "fwmask") if key in entry))]
    for key in ("iif", "oif", "tos", "ipproto", "tun_id", "sport", "dport", "goto"):
        if key in entry:
            words += [key, str(entry[key])]
    for key, argument in (("uid", "uidrange"), ("sport", "sport"), ("dport", "dport")):
        if f"{key}_start" in entry:
            words += [argument, f"{entry[f'{key}_start']}-{entry[f'{key}_end']}"]
    words += ["l3mdev"] if "l3mdev" in entry else []
    if table and entry.get("action") not in RULE_ENDS:  # networkd gives those a table, which the kernel never asks
        words += ["lookup", table]
    for key, argument in (("suppress_prefixlen", "suppress_prefixlength"), ("suppress_ifgroup", "suppress_ifgroup")):
        if key in entry:
            words += [argument, str(entry[key])]
    if "flow_to" in entry:
        words += ["realms", "/".join(str(entry[key]) for key in ("flow_from", "flow_to") if key in entry)]
    if "action" in entry and entry["action"] != "to_tbl":
        words.append(str(entry["action"]))
    words += ["nop"] if "nop" in entry else []
    if str(entry.get("protocol", "")) == OWN_PROTOCOL:
        words += ["protocol", OWN_PROTOCOL]  # how our own are known
    return RoutingRule(priority=priority, words=tuple(words), ipv6=ipv6)


def lost_rules(entries: Sequence[Json], *, ipv6: bool) -> Iterator[RoutingRule]:
    """Those of the rules that every kernel starts with that are not there; where there is none, nothing was told."""
    there = {(entry["priority"], str(entry.get("table", ""))) for entry in entries if entry.get("src", "all") == "all"}
    for priority, table in sorted(DEFAULT_RULES - there) if entries else ():
        if not (ipv6 and table == "default"):
            yield RoutingRule(priority=priority, words=("from", "all", "lookup", table), ipv6=ipv6)
