"""A random site file for a host whose files were found: some of its NICs under bridges."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from tests.random_boots.installed import NICS, Facts

Entry = dict[str, Any]
OPTIONS: tuple[Entry, ...] = (
    {}, {}, {}, {"ageing": "77s"}, {"snooping": True}, {"stp": True, "forward_delay": "2s"},
    {"mac": "52:54:00:bb:00:01"}, {"mtu": 1400},
)  # fmt: skip


def random_wanted(random: Random, facts: Sequence[Facts], dialect: str) -> Entry:
    """Its document; NICs that it does not name are the files' alone.

    As found an address stays on the NIC where nobody says that the bridge takes it, and no file says one of a port.
    """
    as_found = random.random() < 0.3
    found = {one.nic: one for one in facts}
    nics: dict[str, Entry] = {}
    bridges: dict[str, Entry] = {}
    routed = any(one.gateway for one in facts)
    for number, nic in enumerate(NICS, 2):
        kind, own = random.random(), list(found[nic].addresses) if nic in found else []
        if kind < 0.25:
            continue
        keys = nics[nic] = {}
        if kind < 0.7:
            # the second site file may give a bridge another NIC, or a NIC another bridge
            name = random.choice([one for one in (f"br{number}", "lan", "dmz") if one not in bridges])
            keys = bridges[name] = {"uplink": nic, **random.choice(OPTIONS)}
            if own and (as_found or random.random() < 0.7):
                keys["address"] = "from-uplink"
                continue
        if random.random() < 0.6:
            keys["address"] = [*(own if random.random() < 0.5 else ()), f"10.{number}.0.99/24"]
            if not routed and random.random() < 0.5:
                keys["gateway"], routed = f"10.{number}.0.1", True
            if random.random() < 0.3:
                keys["routes"] = [{"to": f"172.29.{number}.0/24", "via": f"10.{number}.0.7"}]
            if random.random() < 0.3:
                keys["dns"] = [f"10.{number}.0.54"]
        if "routes" in keys and random.random() < 0.4:
            keys["routes"].append(
                {"to": f"172.30.{number}.0/24", "via": f"10.{number}.0.6", "table": 130, "metric": 40}
            )
        if random.random() < 0.2:
            keys["ipv6"] = random.choice(["off", "manual"])
    if random.random() < 0.3:
        bridges["brx"] = {"uplink": "none"}
    host: Entry = {"nics": nics, "persist": dialect.removesuffix("2")} | ({"bridges": bridges} if bridges else {})
    if as_found:
        host["as_found"] = True
    if random.random() < 0.2:
        host["rules"] = [{"from": "10.9.0.0/16", "table": 130, "priority": 900}]
    guests = {f"g{n}": {"host": "kvm", "nics": [{"bridge": name}]} for n, name in enumerate(bridges)}
    return {"site": "s", "hosts": {"kvm": host}} | ({"guests": guests} if guests else {})


def with_their_bridges(random: Random, site: Entry, facts: Sequence[Facts]) -> Entry:
    """The same where the installer has put a NIC under a bridge: the file knows that one, or wants another."""
    host = site["hosts"]["kvm"]
    for one in facts:
        known = host.get("bridges", {})
        name = next((name for name, bridge in known.items() if bridge["uplink"] == one.nic), None)
        if one.bridge and name is None:
            host["nics"].pop(one.nic, None)  # it has no address, and other files say what it is in
        if not one.bridge or name is None:
            continue
        bridge = known[name]
        if bridge.get("address") == "from-uplink":  # the NIC has none
            del bridge["address"]
            if random.random() < 0.7:
                bridge["address"] = [*one.addresses]
        if random.random() < 0.9:
            host["bridges"] = {one.bridge if each == name else each: said for each, said in known.items()}
            for guest in site["guests"].values():
                for nic in guest["nics"]:
                    nic["bridge"] = one.bridge if nic["bridge"] == name else nic["bridge"]
    return site
