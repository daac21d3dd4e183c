"""Every key of the site file that a host's files can say, in every dialect: written, imported, and the same again.

The keys and their values come from the schema, so a new one is tried as soon as it is there: it comes back, the dialect
names it as a gap, or it stands below among those that no file of a configuration system says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from bascule.errors import SiteFault
from bascule.importer.importing import Sources, import_sources
from bascule.model.dialects import persistent
from bascule.model.host_links import RULE_ENDS
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.foreign.carried import as_said_by
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.host_routes import host_route_words
from bascule.persist.formats.openvswitch import is_switch
from bascule.persist.formats.rules import rule_words
from bascule.persist.wanted import wanted_config
from bascule.site import parse
from bascule.site.schema import json_schema
from bascule.site.write import site_text

PLAIN: dict[str, dict[str, Any]] = {  # what a host is made of where nothing else is said
    "eth1": {"network": "lan", "address": "10.0.1.5/24"},
    "eth2": {},
    "eth3": {},
    "eth4": {},
    "eth5": {},
}
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {  # of each table of the schema: its place and a plain entry
    "Nic": ("nics", "eth1", PLAIN["eth1"]),
    "Bond": ("bonds", "bond0", {"nics": ["eth2", "eth3"], "mode": "802.3ad", "address": "10.0.2.5/24"}),
    "VlanLink": ("vlans", "vlan30", {"link": "eth1", "id": 30, "address": "10.0.3.5/24"}),
    "Bridge": ("bridges", "br0", {"uplink": "eth4", "address": "10.0.4.5/24"}),
}
NETWORKS: dict[str, dict[str, Any]] = {"lan": {}, "tagged": {"vlan": 30}}
LEASED = {"address": "dhcp", "ipv6": "auto"}
STP = {"stp": True}
BY_ARP = {"mode": "active-backup", "arp_interval": 1000, "arp_ip_target": "10.0.2.1"}
AWARE = {"vlan_aware": True}
SWITCH = {"kind": "openvswitch"}
NEEDS: dict[str, dict[str, Any]] = {  # what must stand beside a key, so that it says anything
    "metric": {"gateway": "10.0.{}.1"},
    "onlink": {"gateway": "192.0.2.1"},
    "gateway": {},
    "use_gateway": LEASED,
    "use_routes": LEASED,
    "use_dns": LEASED,
    "ipv6_privacy": {"ipv6": "auto"},
    "search": {"dns": ["10.0.1.1"]},
    "primary": {"mode": "active-backup"},
    "primary_reselect": {"mode": "active-backup"},
    "fail_over_mac": {"mode": "active-backup"},
    "num_grat_arp": {"mode": "active-backup"},
    "resend_igmp": {"mode": "active-backup"},
    "arp_interval": BY_ARP,
    "arp_ip_target": BY_ARP,
    "arp_validate": BY_ARP,
    "arp_all_targets": BY_ARP,
    "packets_per_slave": {"mode": "balance-rr"},
    "lp_interval": {"mode": "balance-alb"},
    "updelay": {"miimon": 100},
    "downdelay": {"miimon": 100},
    **dict.fromkeys(("priority", "forward_delay", "hello", "max_age", "path_cost", "port_priority"), STP),
    "port_flags": {},
    "vlans": AWARE,
    "pvid": {**AWARE, "vlans": [10, "20-29"]},
    **dict.fromkeys(("rstp", "fail_mode", "datapath", "mirror"), SWITCH),
    "native": {**SWITCH, "pvid": 10, "vlans": [10, 20]},
    "querier": {"snooping": True},
}
VALUES: dict[str, list[Any]] = {  # where an example of the schema does not fit a host of this shape
    "address": ["10.0.{}.9/24", ["10.0.{}.9/24", "2001:db8::9/64"], "dhcp", "10.0.{}.9/32"],
    "gateway": ["10.0.{}.1", ["10.0.{}.1", "fe80::1"]],
    "dns": ["10.0.1.1", ["10.0.1.1", "2001:db8::1"]],
    "search": ["example.org", ["example.org", "lan"]],
    "path": ["pci-0000:03:00.0"],
    "primary": ["eth3"],
    "uplink": ["eth4", "none"],
    "onlink": [True],
    "miimon": [100, 250],
    "arp_interval": [250],
    "arp_ip_target": ["10.0.2.1", ["10.0.2.1", "10.0.2.2"]],
    "packets_per_slave": [0, 7],
    "lp_interval": [3],
    "resend_igmp": [0, 2],
    "num_grat_arp": [0, 3],
    "Bond.mode": ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"],
    "Bond.kind": ["linux"],  # one of Open vSwitch is a port of its bridge: tests/ovs
    "hello": ["3s", "1.5s"],
    "max_age": ["15s"],
    "VlanLink.network": ["tagged"],
    "ports": ["eth5", {"link": "eth5"}],
    "routes": [[{"to": "10.9.0.0/16", "via": "10.0.{}.1"}]],
    "vlans": [[10, "20-29"]],
    "vlan": [30],
    "pvid": [10, "none"],
    "link": ["eth1", "bond0", "br0"],
    "forward_delay": ["4s", "4.5s"],
    "nics": [["eth3", "eth2"]],
    "network": ["lan"],
    "port_flags": [{"isolated": True, "learning": False}],
}
ROUTE = {"to": "10.9.0.0/16", "via": "10.0.1.1"}
ROUTES: dict[str, list[dict[str, Any]]] = {
    "to": [{"to": "2001:db8:9::/48", "via": "2001:db8::1"}, {"to": "10.9.0.0/16"}],
    "via": [ROUTE],
    "metric": [ROUTE | {"metric": 7}],
    "table": [ROUTE | {"table": 52}, ROUTE | {"table": 253}],
    "onlink": [ROUTE | {"via": "192.0.2.1", "onlink": True}],
    "src": [ROUTE | {"src": "10.0.1.5"}],
}
HOP, OTHER_HOP = {"router": "10.0.1.1", "link": "eth1"}, {"router": "10.0.2.1", "link": "bond0"}
NOWHERE = {"to": "10.9.0.0/16", "type": "blackhole"}
SEVERAL = {"to": "10.9.0.0/16", "via": [HOP, OTHER_HOP]}
HOST_ROUTES: dict[str, list[dict[str, Any]]] = {
    "to": [{"to": "2001:db8:9::/48", "type": "unreachable"}, {"to": "0.0.0.0/0", "type": "throw", "table": 52}],
    "type": [NOWHERE | {"type": word} for word in ("blackhole", "unreachable", "prohibit", "throw")],
    "via": [SEVERAL],
    "metric": [NOWHERE | {"metric": 7}, SEVERAL | {"metric": 7}],
    "table": [NOWHERE | {"table": 52}, SEVERAL | {"table": 52}],
}
HOPS: dict[str, list[dict[str, Any]]] = {
    "router": [{"to": "::/0", "via": [{"router": f"2001:db8::{n}", "link": "eth1"} for n in (1, 2)]}],
    "link": [{"to": "0.0.0.0/0", "via": [HOP, {"router": "10.0.4.1", "link": "br0"}]}],
    "weight": [SEVERAL | {"via": [HOP | {"weight": 7}, OTHER_HOP]}],
    "onlink": [SEVERAL | {"via": [HOP | {"router": "192.0.2.1", "onlink": True}, OTHER_HOP]}],
}
RULE = {"from": "10.0.1.0/24", "table": 52, "priority": 1000}
RULES: dict[str, list[dict[str, Any]]] = {
    "priority": [RULE | {"priority": 7}],
    "table": [RULE | {"table": 7}],
    "action": [{"from": "10.7.0.0/16", "action": end, "priority": 1000} for end in RULE_ENDS],
    "from": [RULE],
    "to": [{"to": "10.7.0.0/16", "table": 52, "priority": 1000}],
    "iif": [RULE | {"iif": "eth1"}],
    "fwmark": [RULE | {"fwmark": 7}, RULE | {"fwmark": "7/0xff"}, RULE | {"fwmark": "0/0xff"}],
    "oif": [RULE | {"oif": "eth1"}],
    "ipproto": [RULE | {"ipproto": "tcp"}],
    "sport": [RULE | {"ipproto": "udp", "sport": 53}],
    "dport": [RULE | {"ipproto": "tcp", "dport": "8000-8100"}],
    "uidrange": [RULE | {"uidrange": "1000-1999"}],
    "not": [{"not": True, "fwmark": "0xca6c", "table": 51820, "priority": 1000}],
    "suppress_prefixlength": [{"table": "main", "suppress_prefixlength": 0, "priority": 999}],
    "family": [{"iif": "eth1", "family": "ipv6", "table": 52, "priority": 1000}],
}
PORTS: dict[str, list[dict[str, Any]]] = {
    "link": [{"link": "eth5"}],
    "vlans": [{"link": "eth5", "vlans": [10]}],
    "pvid": [{"link": "eth5", "pvid": 10}, {"link": "eth5", "pvid": "none", "vlans": [10]}],
    "path_cost": [{"link": "eth5", "path_cost": 7}],
    "port_priority": [{"link": "eth5", "port_priority": 7}],
    "port_flags": [{"link": "eth5", "port_flags": {"guard": True, "flood": False}}],
}
NO_FILE = {  # what no file of a configuration system says, and who has it
    "network": "which network is on a wire is what the person knows",
    "switch": "where the cable goes is what the person knows",
    "guard": "Bascule's own rules",
    "fdb": "Bascule's own entries",
    "mirror": "the database of Open vSwitch",
    "patch": "the same, and a note says that no file keeps a cable of the kernel: tests/ovs/test_patch.py",
    "kind": "Open vSwitch's bonds are ports of its bridges: tests/ovs",
    "as_found": "lines of ifupdown; tests/persist/test_hooks.py",
}


@cache
def schema() -> Mapping[str, Any]:
    return json_schema()["$defs"]  # type: ignore[no-any-return]


def examples(form: Mapping[str, Any]) -> Iterator[Any]:
    """Values of a key by its schema: each word of a list of words, both of yes and no, and the examples."""
    if "enum" in form:
        words = form["enum"]
        yield from [True, False] if True in words else words
    yield from form.get("examples", ())
    for each in form.get("anyOf", ()):
        yield from examples(each)


def hosts() -> Iterator[tuple[str, dict[str, Any]]]:
    """Hosts with one thing more than a plain one, each with the table and key of the schema that it tries."""
    for table, (place, name, entry) in KINDS.items():
        number = list(KINDS).index(table) + 1
        for key, form in schema()[table]["properties"].items():
            if key == "patch":  # it takes a second bridge
                continue
            for value in VALUES.get(f"{table}.{key}") or VALUES.get(key) or list(examples(form)):
                said = filled({**entry, **NEEDS.get(key, {}), key: value}, number)
                yield f"{table}.{key}={value}", host({place: {name: said}})
    address = ["10.0.1.5/24", "2001:db8::5/64"]
    for key in schema()["LinkRoute"]["properties"]:
        for route in ROUTES[key]:
            yield f"LinkRoute.{key}={route}", host({"nics": {"eth1": {"address": address, "routes": [route]}}})
    for table, those in (("HostRoute", HOST_ROUTES), ("RouteHop", HOPS)):
        for key in schema()[table]["properties"]:
            for route in those[key]:
                yield f"{table}.{key}={route}", host({"nics": {"eth1": {"address": address}}, "routes": [route]})
    for key in schema()["PolicyRule"]["properties"]:
        yield from ((f"PolicyRule.{key}={rule}", host({"rules": [rule]})) for rule in RULES[key])
    for key in schema()["DeclaredPort"]["properties"]:
        for port in PORTS[key]:
            bridge = {**KINDS["Bridge"][2], **AWARE, **STP, "ports": [port]}
            yield f"DeclaredPort.{key}={port}", host({"bridges": {"br0": bridge}})

    for flag in schema()["PortFlags"]["properties"]:
        for value in (True, False):
            yield (
                f"PortFlags.{flag}={value}",
                host({"bridges": {"br0": {"uplink": "eth4", "port_flags": {flag: value}}}}),
            )


def filled(value: Any, number: int) -> Any:
    """With the number of the subnet in addresses."""
    if isinstance(value, Mapping):
        return {key: filled(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, number) for item in value]
    return value.format(number) if isinstance(value, str) else value


def host(more: Mapping[str, Any]) -> dict[str, Any]:
    """A whole host."""
    out: dict[str, Any] = {"nics": {**PLAIN}}
    for place, name, entry in KINDS.values():
        out.setdefault(place, {})[name] = entry
    for place, said in more.items():
        out[place] = {**out.get(place, {}), **said} if isinstance(said, Mapping) else said
    return out


HOSTS = dict(hosts())


def config_of(entry: Mapping[str, Any]) -> NetworkConfig:
    site = parse(site_text({"site": "s", "networks": NETWORKS, "hosts": {"h": entry}}).encode(), "every key")
    return wanted_config(site, site.hosts["h"])


@pytest.mark.parametrize("name", persistent())
def test_every_dialect_says_a_plain_host(name: str) -> None:
    """So that what one refuses below is the key that is tried."""
    assert dialect(name).render(config_of(host({})))


@pytest.mark.parametrize("table", KINDS)
def test_a_key_says_something(table: str) -> None:
    """Or it stands among those that no file says."""
    place, name, _ = KINDS[table]
    model = schema()[table]
    for key in model["properties"].keys() - NO_FILE.keys() - set(model.get("required", ())):
        tried = [entry for said, entry in HOSTS.items() if said.startswith(f"{table}.{key}=")]
        without = {said: value for said, value in tried[0][place][name].items() if said != key}
        try:
            found = [config_of(host({place: {name: without}})), *map(config_of, tried)]
        except SiteFault:
            continue  # the key lifts an error
        assert any(one != found[0] for one in found[1:]), f"{table}.{key} says nothing to any dialect"


TABLES = sorted({said.partition(".")[0] for said in HOSTS})


@pytest.mark.parametrize("name", persistent())
@pytest.mark.parametrize("table", TABLES)
def test_a_key_comes_back_or_is_named(table: str, name: str) -> None:
    mine = [said for said in HOSTS if said.startswith(f"{table}.")]
    wrong = {said: why for said in mine if (why := lost(said, name))}
    assert wrong == {}


@cache
def config_that_says(said: str) -> NetworkConfig:
    return config_of(HOSTS[said])


def lost(said: str, name: str) -> str:
    """What of a host a dialect neither brings back nor names."""
    config = config_that_says(said)
    try:
        files = dialect(name).render(config)
    except Inexpressible as gap:
        return "" if all(name in problem.message for problem in gap.problems) else str(gap)
    again = import_sources(Sources(host="h", site="s", dialect=name, files=files))
    if again.left:
        return "; ".join(map(str, again.left))
    if any(map(is_switch, config.links.values())):
        return ""  # what its database has is no file's: tests/ovs
    found = wanted_config(again.site, again.site.hosts["h"])
    links = (as_said_by(each, name).links for each in (config, found))
    told = [
        f"{one} and not {other}" for one, other in zip(*(each.values() for each in links), strict=True) if one != other
    ]
    rules = [[*map(rule_words, each.rules), *map(host_route_words, each.routes)] for each in (config, found)]
    return "; ".join(told + ([] if rules[0] == rules[1] else [f"{rules[0]} and not {rules[1]}"]))
