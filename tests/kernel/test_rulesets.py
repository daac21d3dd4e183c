"""Rules as values, against nft itself: what is written is what is read, in every family."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from msgspec.structs import replace

from bascule.model.ruleset.nft_json import read_ruleset, read_table
from bascule.model.ruleset.normal_form import match
from bascule.model.ruleset.numbers import NUMBERS
from bascule.model.ruleset.rules import (
    Chain,
    Counter,
    Ct,
    ExtensionHeader,
    Hook,
    Mangle,
    Meta,
    OpaqueRule,
    Payload,
    Prefix,
    Range,
    Rule,
    Table,
    Value,
    VerdictStatement,
)
from bascule.model.ruleset.text import SHORT_RANGE, replacing_text
from bascule.plan.virtual_network import resolved_networks
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.network_rules import network_table
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.topology.trace.rules.lines import Decision, Part
from bascule.topology.trace.rules.model_reader import rules_of
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.topology.trace.rules.tests import Field, Test
from tests.kernel.rulesets import tables
from tests.lab import open_lab

pytestmark = pytest.mark.kernel
NO_SHRINKING = [
    Phase.explicit,
    Phase.reuse,
    Phase.generate,
]  # each example costs two programs, and a table is told rule by rule


def listed(host: Namespace) -> dict[str, Table]:
    objects = read_ruleset(run(("nft", "-j", "list", "ruleset"), namespace=host).stdout)
    return {key: read_table(key, some) for key, some in objects.items()}


def loaded(host: Namespace, table: Table) -> Table:
    run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=host)
    return listed(host)[table.key]


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    """One for all tables: each is loaded in place of the one before."""
    with open_lab() as lab:
        yield lab.namespace("host")


@given(table=tables())
@settings(max_examples=60, deadline=None, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck))
def test_what_is_written_is_what_is_read(host: Namespace, table: Table) -> None:
    read = loaded(host, table)
    for written, found in zip((*table.chains, *table.sets), (*read.chains, *read.sets), strict=True):
        assert found == written
    assert read == table


def assert_alike(host: Namespace, table: Table) -> None:
    """A packet meets in a table that is wanted what it meets when that is loaded, line by line."""
    loaded(host, table)
    there = read_rules(Listings(nft=run(("nft", "-j", "list", "ruleset"), namespace=host).stdout))
    for key, chain in rules_of({table.key: table}).chains.items():
        for line, other in zip(chain.lines, there.chains[key].lines, strict=True):
            assert list(_plain(line.parts)) == list(_plain(other.parts))


def _plain(parts: Sequence[Part]) -> Iterator[Part]:
    """Without the version of IP that nft names with a reject, which the rule has asked for already."""
    for part, after in zip_longest(parts, parts[1:]):
        is_named = after == Decision("reject") and isinstance(part, Test) and part.keys == (Field("meta protocol"),)
        if not is_named:
            yield _one_by_one(part)


def _one_by_one(part: Part) -> Part:
    """A test with its short ranges number by number, as they are written into a set."""
    if not isinstance(part, Test):
        return part
    spans = [one[0] for one in part.ranged if len(one) == 1 and isinstance(one[0], tuple)]
    short = [(first, last) for first, last in spans if last - first < SHORT_RANGE]
    numbers = {(number,) for first, last in short for number in range(first, last + 1)}
    rest = tuple(one for one in part.ranged if one[0] not in short)
    return replace(part, exact=part.exact | numbers, ranged=rest)


@given(table=tables())
@settings(max_examples=60, deadline=None, phases=NO_SHRINKING, suppress_health_check=list(HealthCheck))
def test_a_wanted_table_is_walked_as_the_loaded_one(host: Namespace, table: Table) -> None:
    assert_alike(host, table)


NETWORKS = b"""\
site: t
networks: {lan: {subnet: [192.168.1.0/24, "fd00:1::/64"]}}
hosts:
  h:
    nics: {eth0: {network: lan}}
    virtual_networks:
      lab:
        mode: nat
        subnet: [192.168.122.0/24, "fd00:2::/64"]
        dhcp: 192.168.122.100-192.168.122.200
        forwards: [{host: 2222, to: web, service: tcp/22}, {host: 8000, to: web, service: udp/8000}]
      far: {mode: routed, subnet: [192.168.123.0/24, "fd00:3::/64"]}
      cell: {mode: isolated, subnet: 192.168.124.0/24}
guests: {web: {host: h, nics: [{network: lab, address: [192.168.122.9/24, "fd00:2::9/64"]}]}}
"""


def test_what_a_site_wants_is_walked_as_what_is_loaded(host: Namespace) -> None:
    site, other = parse(GUARDED, "site.yaml"), parse(NETWORKS, "site.yaml")
    networks = (network_table(one, "bascule:t") for one in resolved_networks(other, other.hosts["h"]))
    tables = [guard_table(guarded_ports(site, site.hosts["h"]), "bascule:t"), *(one for one in networks if one)]
    assert len(tables) == 4
    for table in tables:
        assert_alike(host, table)
        run(("nft", "delete", "table", *table.key.split()), namespace=host)


FAMILIES: dict[
    str, tuple[Hook, Payload, Value]
] = {  # the same names of priorities are other numbers in the bridge family
    "ip": (Hook("filter", "forward", 0), Payload("ip", "saddr"), "192.0.2.1"),
    "ip6": (Hook("filter", "forward", 0), Payload("ip6", "saddr"), "2001:db8::1"),
    "inet": (Hook("filter", "forward", 5, "drop"), Payload("ip", "daddr"), Prefix("192.0.2.0", 24)),
    "bridge": (Hook("filter", "forward", -200), Payload("ether", "saddr"), "52:54:00:28:23:af"),
    "arp": (Hook("filter", "input", 0), Payload("arp", "operation"), "request"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_back_with_priorities_as_numbers(host: Namespace, family: str) -> None:
    hook, left, value = FAMILIES[family]
    rule = Rule((match(left, value, operator="!="), Counter(), VerdictStatement("drop")))
    table = Table(family, "bascule_family", (Chain("guard", (rule,), hook),), mark="bascule:lodge")
    assert loaded(host, table) == table
    run(("nft", "delete", "table", family, "bascule_family"), namespace=host)


def test_an_ingress_chain_is_read_with_its_rules(host: Namespace) -> None:
    """nft 1.0.6 leaves the device out of its JSON, so Bascule makes no such chain; others' are read."""
    text = "table netdev t {\nchain c {\ntype filter hook ingress device lo priority -500; policy accept;\n"
    run(("nft", "-f", "-"), stdin=text + "ether type arp drop\n}\n}\n", namespace=host)
    chain = listed(host)["netdev t"].chains[0]
    assert chain.hook == Hook("filter", "ingress", -500)
    assert chain.rules == (Rule((match(Payload("ether", "type"), "arp"), VerdictStatement("drop"))),)
    run(("nft", "delete", "table", "netdev", "t"), namespace=host)


SAYINGS = {  # as somebody may write it, and as it is in the normal form
    "tcp dport { 443, 80-90, 91 } accept": match(Payload("tcp", "dport"), 443, Range(80, 91)),
    "tcp dport { 22 } accept": match(Payload("tcp", "dport"), 22),
    "tcp dport { 22, 23 } accept": match(Payload("tcp", "dport"), Range(22, 23)),
    "ip saddr { 10.0.0.0/24, 10.0.1.0/24 } accept": match(Payload("ip", "saddr"), Prefix("10.0.0.0", 23)),
    "ip saddr 10.0.0.5/32 accept": match(Payload("ip", "saddr"), "10.0.0.5"),
    "ip saddr 10.0.0.0-10.0.0.255 accept": match(Payload("ip", "saddr"), Prefix("10.0.0.0", 24)),
    "meta nfproto ipv4 ip saddr 10.0.0.5 accept": match(Payload("ip", "saddr"), "10.0.0.5"),
    "meta l4proto tcp tcp dport 22 accept": match(Payload("tcp", "dport"), 22),
    'iifname { "b", "a" } accept': match(Meta("iifname"), "a", "b"),
    "ct state related,established accept": match(Ct("state"), "established", "related", operator="in"),
    "meta l4proto { 103, vrrp, 6 } accept": match(Meta("l4proto"), "pim", "vrrp", "tcp"),
    "ip protocol igmp accept": match(Payload("ip", "protocol"), 2),
    "ip6 saddr ::ffff:192.0.2.1 accept": match(Payload("ip6", "saddr"), "::ffff:c000:201"),
}


@pytest.mark.parametrize("text", SAYINGS)
def test_what_says_the_same_is_the_same(host: Namespace, text: str) -> None:
    run(("nft", "-f", "-"), stdin=f"table inet t {{\nchain c {{\n{text}\n}}\n}}\n", namespace=host)
    ((rule,),) = (chain.rules for chain in listed(host)["inet t"].chains)
    assert rule == Rule((SAYINGS[text], VerdictStatement("accept")))
    run(("nft", "delete", "table", "inet", "t"), namespace=host)


MANGLED = {
    "udp checksum set 0": Mangle(Payload("udp", "checksum"), 0),
    "ether saddr set 02:00:00:00:00:01": Mangle(Payload("ether", "saddr"), "02:00:00:00:00:01"),
    "ip dscp set 8": Mangle(Payload("ip", "dscp"), "cs1"),
}


def test_a_field_that_is_written_is_read_and_written_again(host: Namespace) -> None:
    chain = "\n".join(MANGLED)
    run(("nft", "-f", "-"), stdin=f"table inet t {{\nchain c {{\n{chain}\n}}\n}}\n", namespace=host)
    table = listed(host)["inet t"]
    assert [rule for chain in table.chains for rule in chain.rules] == [Rule((one,)) for one in MANGLED.values()]
    assert loaded(host, table) == table
    run(("nft", "delete", "table", "inet", "t"), namespace=host)


GUARDED = b"""\
site: t
networks: {lan: {subnet: [192.168.1.0/24, "fd00:1::/64"]}}
hosts: {h: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}}}}
guests: {web: {host: h, nics: [{bridge: br0, address: [192.168.1.21/24, "fd00:1::21/64"], guard: strict}]}}
"""
HIDDEN = "mount --bind /dev/null /etc/protocols && nft -f - && nft -j list ruleset"


def test_a_host_without_the_file_of_protocols_loads_and_tells_the_same_rules(host: Namespace) -> None:
    """A small Debian lacks netbase, and nft knows no vrrp and no ipv6-icmp then."""
    by_number = (match(Meta("l4proto"), name) for name in NUMBERS)
    several = match(Payload("ip6", "nexthdr"), *NUMBERS, operator="!="), match(Payload("ip", "protocol"), "tcp", "gre")
    hidden = match(ExtensionHeader("frag", "nexthdr"), "ipv6-opts", "mobility-header")
    rules = tuple(Rule((one, VerdictStatement("drop"))) for one in (*by_number, *several, hidden))
    table = Table("bridge", "t", (Chain("c", rules),), mark="bascule:lodge")
    told = run(("unshare", "-m", "sh", "-c", HIDDEN), stdin=replacing_text(table), namespace=host).stdout
    assert '"vrrp"' not in told
    assert read_table(table.key, read_ruleset(told)[table.key]) == table
    assert listed(host)[table.key] == table
    run(("nft", "delete", "table", "bridge", "t"), namespace=host)


def test_the_guards_load_without_the_file_of_protocols(host: Namespace) -> None:
    site = parse(GUARDED, "site.yaml")
    table = guard_table(guarded_ports(site, site.hosts["h"]), "bascule:t")
    assert table is not None
    told = run(("unshare", "-m", "sh", "-c", HIDDEN), stdin=replacing_text(table), namespace=host).stdout
    assert read_table(table.key, read_ruleset(told)[table.key]) == table
    run(("nft", "delete", "table", *table.key.split()), namespace=host)


def test_a_rule_with_something_unknown_is_kept_as_it_was_told(host: Namespace) -> None:
    text = "table inet t {\nchain c {\ntcp flags syn / syn,ack counter accept\naccept\n}\n}\n"
    run(("nft", "-f", "-"), stdin=text, namespace=host)
    first, second = listed(host)["inet t"].chains[0].rules
    assert isinstance(first, OpaqueRule)
    assert "packets" not in first.content
    assert second == Rule((VerdictStatement("accept"),))
    run(("nft", "delete", "table", "inet", "t"), namespace=host)
