"""What a random site has beside its frame: VLANs on a switch's wire, mirrors, forwards, limits, routes, MTUs."""

from __future__ import annotations

from random import Random
from typing import Any

Entry = dict[str, Any]


def add_features(site: Entry, random: Random) -> Entry:
    """The same site with some of them, each in its own share of sites."""
    tagged = _tagged_networks(site, random) if random.random() < 0.4 else {}
    for name, host in site["hosts"].items():
        for bridge in host.get("bridges", {}).values():
            _further_port(host, bridge, random)
        _policy_table(host, random)
        _forwarded_port(site, name, random)
    for guest in site.get("guests", {}).values():
        for nic in guest["nics"]:
            _guarded_extras(nic, site["hosts"][guest["host"]], random)
    _mirrors(site, random)
    for name, network in site["networks"].items():
        if name not in tagged and random.random() < 0.1:
            network["mtu"] = random.choice([1280, 1400, 1500])
    _routes_of_machines(site, random)
    return site


def _switches(site: Entry) -> list[tuple[str, str, Entry]]:
    """Host, name and keys of each switch of Open vSwitch that has a wire."""
    return [
        (name, bridge, keys)
        for name, host in site["hosts"].items()
        for bridge, keys in host.get("bridges", {}).items()
        if keys.get("kind") == "openvswitch" and keys["uplink"] != "none"
    ]


def _tagged_networks(site: Entry, random: Random) -> dict[str, Entry]:
    """Networks that arrive tagged on the wires of switches, with guests and machines on them."""
    switches = _switches(site)
    if not switches:
        return {}
    made = {f"t{number}": {"subnet": f"10.40.{number}.0/24", "vlan": 20 + number} for number in range(2)}
    site["networks"] |= made
    last = dict.fromkeys(made, 10)

    def address(network: str) -> str:
        last[network] += 1
        return f"10.40.{network[1:]}.{last[network]}/24"

    for number in range(random.randint(0, 2)):
        network = random.choice(list(made))
        machine = {"network": network, "address": address(network)}
        site.setdefault("machines", {})[f"mt{number}"] = {"nics": [machine], "serves": ["tcp/80"]}
    for number, (host, bridge, keys) in enumerate(switches):
        if random.random() < 0.3:
            keys["vlans"] = [20, 21]
        for place in range(random.randint(1, 3)):
            network = random.choice(list(made))
            nic: Entry = {"bridge": bridge, "vlan": made[network]["vlan"], "address": address(network)}
            if random.random() < 0.3:
                nic["vlans"] = [made[random.choice(list(made))]["vlan"], 30]
                nic["vlans"] = sorted({*nic["vlans"]} - {nic["vlan"]})
            if random.random() < 0.2:
                nic["guard"] = random.choice(["mac", "strict"])
            site.setdefault("guests", {})[f"gt{number}-{place}"] = {"host": host, "nics": [nic], "serves": ["tcp/80"]}
    return made


def _further_port(host: Entry, bridge: Entry, random: Random) -> None:
    if bridge["uplink"] != "none" and random.random() < 0.05 and "vlans" not in bridge:
        link = f"eth{len(host['nics'])}"
        host["nics"][link] = {"network": host["nics"][bridge["uplink"]]["network"]}
        bridge["ports"] = [link]
        bridge["stp"] = True
        bridge |= {} if "kind" in bridge else {"forward_delay": "2s"}


def _policy_table(host: Entry, random: Random) -> None:
    """What comes from one address of the host goes by a table of its own."""
    for link in host["nics"].values():
        said = link.get("gateway")
        own = link.get("address")
        if isinstance(said, str) and isinstance(own, str) and "." in said and "." in own and random.random() < 0.25:
            link["routes"] = [{"to": "10.0.0.0/8", "via": said, "table": 52}]
            subnet = own.rsplit(".", 1)[0] + ".0/24"
            host["rules"] = [{"from": subnet, "table": 52, "priority": 1000}]
            return


def _forwarded_port(site: Entry, host: str, random: Random) -> None:
    lab = site["hosts"][host].get("virtual_networks", {}).get("lab")
    if lab is None or lab["mode"] not in {"nat", "routed"}:
        return
    behind = [
        name
        for name, guest in site.get("guests", {}).items()
        if guest["host"] == host
        and "tcp/80" in guest.get("serves", ())
        and any(nic.get("network") == "lab" and nic["address"] != "dhcp" for nic in guest["nics"])
    ]
    if behind and random.random() < 0.6:
        guest = random.choice(behind)
        lab["forwards"] = [{"host": 2222, "to": guest, "service": "tcp/80"}]


def _guarded_extras(nic: Entry, host: Entry, random: Random) -> None:
    bridge = host.get("bridges", {}).get(nic.get("bridge"))
    if bridge is None:
        return
    guarded = nic.get("guard", bridge.get("guard", "off")) != "off"
    if guarded and random.random() < 0.2:
        first = _listed(nic.get("address", "dhcp"))[0]
        near = [first.rsplit(".", 1)[0] + f".{random.randint(230, 250)}"] if "." in first else []
        nic["also"] = random.choice([near or ["10.98.0.0/24"], ["10.97.0.0/24"], ["2001:db8:99::/64"]])
    if guarded and random.random() < 0.1:
        nic["may"] = [random.choice(["router", "dhcp-server", "multicast-querier", "tags"])]
    if random.random() < 0.1:
        frames = random.choice(["broadcast", "multicast"])
        held = guarded and bridge.get("kind") != "openvswitch"
        nic["limit"] = {frames: "500/s"} if held else {"up": "1Gbit", "down": "1Gbit"}


def _mirrors(site: Entry, random: Random) -> None:
    for host, bridge, keys in _switches(site):
        on_it = [
            name
            for name, guest in site.get("guests", {}).items()
            if guest["host"] == host and any(nic.get("bridge") == bridge for nic in guest["nics"])
        ]
        if on_it and random.random() < 0.4:
            name = f"ids-{host}-{bridge}"
            site["guests"][name] = {"host": host, "nics": [{"bridge": bridge}]}
            keys["mirror"] = [{"from": random.choice(on_it), "to": name}]


def _routes_of_machines(site: Entry, random: Random) -> None:
    """A machine that finds a network by a router other than its gateway."""
    routers = [one for name, one in site.get("machines", {}).items() if name.startswith("r") and "forwards" in one]
    for name, machine in site.get("machines", {}).items():
        if not name.startswith("m") or not routers or random.random() > 0.4:
            continue
        nic, router = machine["nics"][0], random.choice(routers)
        here = [one["address"] for one in router["nics"] if one["network"] == nic["network"]]
        there = [one["network"] for one in router["nics"] if one["network"] != nic["network"]]
        to = [one for network in there for one in _listed(site["networks"][network]["subnet"]) if "." in one]
        via = [one.split("/")[0] for one in _listed(here[0]) if "." in one] if here else []
        if to and via and any("." in one for one in _listed(nic["address"])):
            nic["routes"] = [{"to": to[0], "via": via[0]}]


def _listed(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said
