"""Whole hosts as they are met: hosts/NAME/build.sh made each once on a kernel that has all kinds of links.

``state.json`` is what iproute2 printed of it (openstack-ovs was written by hand from that), ``etc/`` has its
configuration files, ``site.yaml`` is what import must write. What is there is found again, nothing is to do, and a
guest more takes nothing away.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.apply.prepare import prepare_from
from bascule.importer.importing import Imported, Sources, import_with_empty_plan
from bascule.model.kernel_parameters import conf
from bascule.model.links import Physical
from bascule.model.route_tables import numbers, table_names
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.persist.dialect import dialect, dialects
from bascule.persist.files import read_tree
from bascule.plan.batch import script
from bascule.plan.change import Plan
from bascule.providers.kernel.observe import from_texts
from bascule.site import parse
from bascule.system.net.route_tables import table_files

HOSTS = sorted(path.parent for path in (Path(__file__).parent / "hosts").glob("*/state.json"))
PARTS = ("link", "addr4", "addr6", "route4", "route6", "rule4", "rule6")

each_host = pytest.mark.parametrize("host", HOSTS, ids=lambda path: path.name)


@cache
def saved(host: Path) -> HostState:
    """The state of a host as the programs printed it."""
    said = json.loads((host / "state.json").read_text())
    tables = numbers(table_names(table_files(host)))
    return from_texts([json.dumps(said[part]) for part in PARTS], lambda: json.dumps(said["vlan"]), tables)


def plan_from(state: HostState) -> Callable[[Site, Host], Plan]:
    """What a plan does on a host in this state."""
    return lambda site, there: prepare_from(site, there, state, networks_are_made=True).plan


@cache
def imported(host: Path) -> Imported:
    """What import makes of it, with its files."""
    state = saved(host)
    name = next((each.name for each in dialects() if each.own and read_tree(host, each.own).files), None)
    files = read_tree(host, dialect(name).reads, dialect(name).includes).files if name else {}
    sources = Sources(host="h", site="h", dialect=name, files=files, tables=table_files(host), state=state)
    return import_with_empty_plan(sources, plan_from(state))


@each_host
def test_a_host_becomes_its_site_file(host: Path) -> None:
    found, golden = imported(host), host / "site.yaml"
    if os.environ.get("BASCULE_WRITE_GOLDEN"):
        golden.write_text(found.text)
    assert found.text == golden.read_text()


@each_host
def test_nothing_is_to_do(host: Path) -> None:
    site = parse(imported(host).text.encode(), "site.yaml")
    prepared = prepare_from(site, site.hosts["h"], saved(host))
    assert [(change.subject, change.action) for change in prepared.plan.changes] == []


def test_temporary_addresses_are_said_where_no_router_has_spoken_yet() -> None:
    told = {("default", "use_tempaddr"): "0", ("opt1", "use_tempaddr"): "2", ("opt1", "accept_ra"): "1"}
    sysctls = {conf(6, link, key): value for (link, key), value in told.items()}
    state = saved(next(host for host in HOSTS if host.name == "router"))
    links = {**state.links, IfName("opt1"): replace(state.links[IfName("opt1")], up=True)}
    state = replace(state, links=links, sysctls={**state.sysctls, **sysctls})
    found = import_with_empty_plan(Sources(host="h", site="h", dialect=None, state=state), plan_from(state))
    nic = found.site.hosts["h"].nics[IfName("opt1")]
    assert (nic.ipv6, nic.ipv6_privacy) == ("auto", "prefer-temporary")
    assert not prepare_from(found.site, found.site.hosts["h"], state).plan.changes


@each_host
def test_a_guest_more_takes_nothing_away(host: Path) -> None:
    """Every VLAN, option, address and route that was found stays when something is planned at last."""
    found = imported(host)
    if not found.site.hosts["h"].bridges:
        return
    guests = [
        f"  g{n}: {{host: h, nics: [{{bridge: {name}}}]}}" for n, name in enumerate(found.site.hosts["h"].bridges)
    ]
    site = parse(f"{found.text}\nguests:\n{chr(10).join(guests)}\n".encode(), "site.yaml")
    commands = script(prepare_from(site, site.hosts["h"], saved(host)).plan)
    assert not re.findall(r"\b(del|delete|nomaster|replace|change|flush)\b", commands), commands


def literals(state: HostState) -> Iterator[str]:
    """Names, addresses, gateways, numbers of VLANs, MTUs, tables, ranks and marks of a host."""
    for name, link in state.links.items():
        if name == "lo" or not (link.up or link.addresses or isinstance(link.options, Physical)):
            continue
        if name != f"{link.parent}.{link.options.as_json().get('id')}":  # which is what such a VLAN is called
            yield name
        yield from (address.ip for address in link.addresses if not address.is_link_local)
        yield from [str(link.mtu)] if link.mtu != 1500 else []
        yield from (str(vlan.first) for vlan in link.vlans if vlan.first != 1 and link.master)
        if link.options.kind == "vlan":
            yield str(link.options.as_json()["id"])
        if isinstance(link.options, Physical):
            yield str(link.hardware_mac)
    for route in state.routes:
        if route.protocol != "kernel":
            yield from (word for word in (route.gateway, *route.extra) if word)
            yield from [route.dst] if not route.dst.endswith("/0") else []
            yield from [route.table] if route.table != "main" else []
            yield from (
                word
                for hop in route.nexthops
                for word in hop.split()
                if word not in {"nexthop", "via", "dev", "weight"}
            )
            yield from [str(route.metric)] if route.metric not in {0, 1024} and route.protocol != "dhcp" else []
    for rule in state.rules:
        yield str(rule.priority)
        yield from (word for word in rule.words if word[0].isdigit())


@each_host
def test_every_literal_stands_in_the_file_or_in_a_note(host: Path) -> None:
    text = imported(host).text
    words = {word.rstrip(":") for word in re.findall(r"[^\s,\[\]{}()\"';]+", text)}
    words |= {part for word in words for part in (*re.findall(r"\d+", word), word.partition("/")[0])}
    gone = [word for word in literals(saved(host)) if word not in words]
    assert gone == [], text
