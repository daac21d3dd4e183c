"""A random site file for a host that was found: its NICs under bridges, with addresses of its own or those found."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Struct, field

from tests.random_hosts.found import NICS, Found

Entry = dict[str, Any]
OPTIONS: tuple[Entry, ...] = ({}, {}, {"ageing": "77s"}, {"snooping": True})
TREE = {"stp": True, "forward_delay": "2s"}  # of one bridge alone: of a second one on that switch it hides the times


class _Site(Struct, kw_only=True):
    random: Random
    found: Found
    networks: dict[str, Entry] = field(default_factory=dict)
    nics: dict[str, Entry] = field(default_factory=dict)
    bridges: dict[str, Entry] = field(default_factory=dict)
    guests: dict[str, Entry] = field(default_factory=dict)
    routed: bool = False


def random_wanted(random: Random, found: Found) -> Entry:
    """A site file's document; some taps that were found belong to its guests."""
    made = _Site(random=random, found=found)
    for number, nic in enumerate(NICS):
        _nic(made, number, nic)
    host: Entry = {"nics": made.nics, "persist": "none"}
    if random.random() < 0.3:
        made.bridges["brx"] = {"uplink": "none"}
    if random.random() < 0.4:
        host["as_found"] = True
    if random.random() < 0.2:
        mode = random.choice(["nat", "routed", "isolated", "open"])
        host["virtual_networks"] = {"lab": {"mode": mode, "subnet": "10.77.0.0/24"}}
    _guests(made)
    parts = {
        "networks": made.networks,
        "hosts": {"kvm": host | _if_any("bridges", made.bridges)},
        "guests": made.guests,
    }
    return {"site": "s", **{key: part for key, part in parts.items() if part}}


def _if_any(key: str, entries: dict[str, Entry]) -> Entry:
    return {key: entries} if entries else {}


def _nic(made: _Site, number: int, nic: str) -> None:
    random, keys = made.random, made.nics.setdefault(nic, {})
    own = [one for one in made.found.addresses[nic] if one.endswith(("/24", "/64"))]
    if random.random() < 0.6:
        made.networks[f"n{number}"] = {"subnet": [f"10.{number}.0.0/24", f"fd00:{number}::/64"]}
        keys["network"] = f"n{number}"
    kind = random.random()
    if kind < 0.6 and nic not in made.found.taken:
        keys = made.bridges[f"br{number}"] = {"uplink": nic, **random.choice(OPTIONS)}
        if nic == "eth0" and random.random() < 0.2:
            keys |= TREE
        if random.random() < 0.15:
            keys["mac"] = f"52:54:00:bb:00:0{number}"
        if random.random() < 0.25:
            keys["guard"] = random.choice(["strict", "mac"])
        if own and random.random() < 0.6:
            keys["address"] = "from-uplink"
            return
    elif kind > 0.8:
        return
    if own and random.random() < 0.7:
        _speak(made, keys, number, own)
    if random.random() < 0.1:
        keys["ipv6"] = random.choice(["off", "manual"])
    if random.random() < 0.1:
        keys["mtu"] = 1400


def _speak(made: _Site, keys: Entry, number: int, own: list[str]) -> None:
    random = made.random
    keys["address"] = own if random.random() < 0.5 else [f"10.{number}.0.99/24"]
    if not any(one.endswith("/24") for one in keys["address"]):
        return
    if not made.routed and random.random() < 0.5:
        keys["gateway"] = f"10.{number}.0.1"
        made.routed = True
    if random.random() < 0.2:
        keys["routes"] = [{"to": "172.25.0.0/16", "via": f"10.{number}.0.1"}]


def _guests(made: _Site) -> None:
    free = list(made.found.taps)
    for number, (name, bridge) in enumerate(made.bridges.items()):
        nic: Entry = {"bridge": name}
        if free and made.random.random() < 0.5:
            nic["tap"] = free.pop()
        if bridge.get("guard") == "strict":
            nic["address"] = f"10.{name[2:]}.0.150/24"
        made.guests[f"g{number}"] = {"host": "kvm", "nics": [nic]}
