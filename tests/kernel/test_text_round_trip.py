"""A table of Bascule's outlives nft's own words: who saves ``nft list ruleset`` has a file that loads at boot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from bascule.model.ruleset.nft_json import read_ruleset, read_table
from bascule.model.ruleset.rules import Table, owned
from bascule.model.ruleset.text import replacing_text
from bascule.model.state_json import from_json
from bascule.plan.make import make_plan
from bascule.plan.virtual_network import resolved_networks
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.network_rules import network_table
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.guards.segment import site_text
from tests.kernel.rulesets import tables
from tests.kernel.test_rulesets import NO_SHRINKING
from tests.lab import open_lab
from tests.test_cases import CASES

pytestmark = pytest.mark.kernel
EXAMPLES = Path(__file__).parents[2] / "examples"
EVERYTHING = "macs: 3, also: [10.0.0.64/28, 10.0.0.77, '2001:db8::99', '2001:db8:1::/64']"
GUARDS = {
    f"{level} {extra}": site_text(level, extra)
    for level in ("strict", "mac")
    for extra in (
        EVERYTHING,
        f"{EVERYTHING}, isolated: true",
        "isolated: true",
        "macs: ['52:54:00:00:11:11'], also: [10.0.0.77, {vrrp: 9, address: 10.0.0.9}]",
        "may: [router, dhcp-server, multicast-querier, tags, bpdu]",
        "limit: {broadcast: 100/s, multicast: 200/s}",
    )
}
FILES = {
    **{path.name: path.read_text() for path in sorted(EXAMPLES.glob("*.yaml")) if "hosts:" in path.read_text()},
    **{path.parent.name: path.read_text() for path in sorted(CASES.glob("*/site.yaml"))},
    **GUARDS,
}


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    """Where tables are loaded, and where the listing of them is."""
    with open_lab() as lab:
        yield lab.namespace("host"), lab.namespace("again")


def listed(host: Namespace) -> dict[str, Table]:
    objects = read_ruleset(run(("nft", "-j", "list", "ruleset"), namespace=host).stdout)
    return {key: read_table(key, some) for key, some in objects.items()}


def outlives_its_listing(hosts: tuple[Namespace, Namespace], *some: Table) -> None:
    host, again = hosts
    for one in hosts:
        run(("nft", "flush", "ruleset"), namespace=one)
    for table in some:
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=host)
    words = run(("nft", "list", "ruleset"), namespace=host).stdout
    run(("nft", "-f", "-"), stdin=words, namespace=again)
    assert run(("nft", "list", "ruleset"), namespace=again).stdout == words
    assert listed(again) == listed(host) == {table.key: table for table in some}


def wanted_tables(name: str) -> Iterator[Table]:
    """What Bascule would load on each host of a file."""
    site = parse(FILES[name].encode(), "site.yaml")
    for host in site.hosts.values():
        networks = (network_table(one, f"bascule:{site.name}") for one in resolved_networks(site, host))
        ports = guarded_ports(site, host)
        found = [one for one in networks if one] + ([guard_table(ports, f"bascule:{site.name}")] if ports else [])
        yield from (msgspec.structs.replace(one, name=f"{one.name}_{host.name}"[:60]) for one in found)


@pytest.mark.parametrize("name", [name for name in FILES if any(wanted_tables(name))])
def test_what_a_file_wants(hosts: tuple[Namespace, Namespace], name: str) -> None:
    outlives_its_listing(hosts, *wanted_tables(name))


def test_files_with_rules_are_among_them() -> None:
    assert {"nat.yaml", "guarded.yaml", "virtual-networks", *GUARDS} <= {
        name for name in FILES if any(wanted_tables(name))
    }


@pytest.mark.parametrize("name", sorted(path.parent.name for path in CASES.glob("*/plan.txt")))
def test_what_a_case_leaves(hosts: tuple[Namespace, Namespace], name: str) -> None:
    site = parse((CASES / name / "site.yaml").read_bytes(), "site.yaml")
    observed = from_json(msgspec.json.decode((CASES / name / "observed.json").read_bytes()))
    _, wanted = make_plan(site, next(iter(site.hosts.values())), observed)
    outlives_its_listing(hosts, *owned(wanted.tables).values())


@given(table=tables())
@settings(max_examples=30, deadline=None, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck))
def test_any_table(hosts: tuple[Namespace, Namespace], table: Table) -> None:
    outlives_its_listing(hosts, table)
