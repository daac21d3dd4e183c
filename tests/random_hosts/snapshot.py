"""All of a host's network that a change could leave different, as lines that can be compared."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

OF_THE_MOMENT = {
    "ifindex", "link_index", "stats", "stats64", "operstate", "gc_timer", "hello_timer", "tcn_timer",
    "topology_change_timer", "topology_change", "topology_change_detected", "valid_life_time",
    "preferred_life_time", "timer", "used", "confirmed", "probes", "updated", "expires", "num_tx_queues",
    "num_rx_queues", "designated_port", "designated_cost", "hold_timer", "message_age_timer",
    "forward_delay_timer", "bridge_id", "root_id", "designated_root", "designated_bridge", "root_port",
    "linkmode", "allmulti", "promiscuity", "id", "no", "config_pending", "link_netnsid", "tso_max_size", "state",
}  # fmt: skip
FLAGS = {"UP", "PROMISC", "NOARP", "ALLMULTI", "MULTICAST", "onlink"}
OF_LINKS = re.compile(r'"dst": "(fe80|ff00)')  # the kernel makes them when a link has got carrier
SYSCTLS = ("ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh")


def snapshot() -> dict[str, list[str]]:
    """Of the network namespace of this thread, by what it is of."""
    found = {
        "links": _json("ip", "-d", "-j", "link", "show"),
        "addresses": [*_addresses()],
        "rules": [*_json("ip", "-4", "-j", "rule", "show"), *_json("ip", "-6", "-j", "rule", "show")],
        "neighbours": [
            *_json("ip", "-j", "neigh", "show", "nud", "permanent"),
            *_json("ip", "-j", "neigh", "show", "proxy"),
        ],
        "fdb": [one for one in _json("bridge", "-j", "fdb", "show") if "static" in one],
        "vlans": _json("bridge", "-j", "vlan", "show"),
        "queues": _json("tc", "-j", "qdisc", "show"),
        "tables": [re.sub(r'"handle": \d+', "", one) for one in _json("nft", "-j", "list", "ruleset")],
    }
    for version in "46":
        routes = _json("ip", f"-{version}", "-d", "-j", "route", "show", "table", "all")
        found[f"routes{version}"] = [one for one in routes if not OF_LINKS.search(one)]
    found["sysctls"] = list(_sysctls())
    return {key: sorted(lines) for key, lines in found.items()}


def differences(before: dict[str, list[str]], after: dict[str, list[str]], others: Iterable[str] = ()) -> Iterator[str]:
    """What is there in one and not in the other; without what ``others``, names of links, stand in."""
    ignored = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in others) or "$^")
    for key, lines in before.items():
        left, right = list(lines), list(after[key])
        for line in lines:
            if line in right:
                right.remove(line)
                left.remove(line)
        for sign, more in (("-", left), ("+", right)):
            yield from (f"{sign} {key}: {line}" for line in more if not ignored.search(line))


def _json(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout or "[]")
    listed = said["nftables"] if isinstance(said, dict) else said
    return [json.dumps(_plain(_settled(one)), sort_keys=True) for one in listed if one and "metainfo" not in one]


def _addresses() -> Iterator[str]:
    """Each with its place among those of its link and family, which says from which one is sent."""
    done = subprocess.run(("ip", "-d", "-j", "address", "show"), capture_output=True, text=True, check=True)
    for link in json.loads(done.stdout):
        for family in ("inet", "inet6"):
            told = [one for one in link.get("addr_info", ()) if one.get("family") == family]
            for place, one in enumerate(one for one in told if family == "inet" or one["scope"] != "link"):
                finite = one.get("valid_life_time", 0) < 2**32 - 1
                said = {"link": link["ifname"], "place": place, "finite": finite, **_plain(one)}
                yield json.dumps(said, sort_keys=True)


def _plain(one: Any) -> Any:
    if isinstance(one, dict):
        return {
            key: [flag for flag in value if flag in FLAGS] if key == "flags" else _plain(value)
            for key, value in one.items()
            if key not in OF_THE_MOMENT
        }
    return [_plain(each) for each in one] if isinstance(one, list) else one


def _settled(one: dict[str, Any]) -> dict[str, Any]:
    """A spanning tree that changes forgets MACs soon for a while, and the kernel shows that for the bridge's ageing."""
    data = one.get("linkinfo", {}).get("info_data", {})
    if data.get("stp_state"):
        data.pop("ageing_time", None)
    return one


def _sysctls() -> Iterator[str]:
    """Those of a link that goes at this moment are left out, as the link is."""
    for part in SYSCTLS:
        for link in sorted(Path("/proc/sys/net", part).iterdir()):
            with contextlib.suppress(OSError):
                yield from [
                    f"{path} {path.read_text().strip()}" for path in link.iterdir() if path.name != "stable_secret"
                ]
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables", "ipv4/ip_nonlocal_bind"):
        path = Path("/proc/sys/net", name)
        if path.exists():
            yield f"{path} {path.read_text().strip()}"
