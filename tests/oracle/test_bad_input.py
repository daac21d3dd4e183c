"""What cannot be read is one clear error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError, UsageFault
from bascule.model.ruleset.nft_json import read_ruleset
from bascule.model.values import Service
from bascule.observe import packet_path
from bascule.policy.guards.counters import read_counters
from bascule.site import parse
from bascule.system.run import run
from bascule.topology.declared import declared_links
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.rules.lines import CHANGING
from bascule.topology.trace.rules.reading import Listings, read_rules
from bascule.verify.reachability.host_model import model_host, of_state
from bascule.verify.reachability.live import why
from bascule.verify.reachability.question import as_read
from tests.lab import Lab


@pytest.mark.kernel
def test_a_broken_listing_of_nft_is_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_path, "_listings", lambda *_: Listings(nft='{"nftables": [{"table"'))
    with pytest.raises(BasculeError, match="broken") as raised:
        packet_path.read_network(lab.namespace("h"))
    assert raised.value.problems[0].code == "NFT-JSON"


@pytest.mark.parametrize(
    "listing",
    [
        '{"nftables": [{"table": {"family"',
        "[1, 2]",
        '{"nftables": [{"unheard": 5}]}',
        '{"nftables": [{}]}',
        '{"nftables": [{"table": {"family": "ip"}}]}',
        '{"nftables": [{"chain": {"family": "ip", "table": "x"}}]}',
        '{"nftables": [{"rule": {"family": "ip", "table": "x", "expr": []}}]}',
        '{"nftables": [{"rule": {"family": "ip", "table": "x", "chain": "c"}}]}',
        '{"nftables": [{"rule": {"table": "x", "expr": []}}]}',
        '{"nftables": [{"table": {"family": "ip", "name": "x"}, "chain": {}}]}',
    ],
)
def test_everything_that_reads_nft_says_that_its_listing_is_broken(listing: str) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: read_ruleset(listing),
        lambda: read_rules(Listings(nft=listing)),
        lambda: read_counters(listing),
    )
    for read in readers:
        with pytest.raises(BasculeError, match="nft's listing is broken") as raised:
            read()
        assert raised.value.problems[0].code == "NFT-JSON"


def test_a_rule_of_a_table_that_was_not_listed_is_no_fault() -> None:
    rule = '{"rule": {"family": "inet", "table": "x", "chain": "y", "handle": 1, "expr": [{"frobnicate": {"a": 1}}]}}'
    assert list(read_ruleset(f'{{"nftables": [{rule}]}}')) == ["inet x"]
    assert read_rules(Listings(nft=f'{{"nftables": [{rule}]}}')).chains == {}


def test_one_without_an_address_cannot_be_asked(tmp_path: Path) -> None:
    read = parse(
        b"""
        site: t
        hosts: {h: {bridges: {br0: {uplink: none}}}}
        guests:
          web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
          bare: {host: h, nics: [{bridge: br0}]}
        """,
        "site.yaml",
    )
    host = read.hosts["h"]
    asked = model_host(of_state(declared_links(read, host), read, host), "h", "a file", read, host)
    with pytest.raises(UsageFault) as raised:
        why(asked, "web", "bare", Service("icmp"))
    assert raised.value.problems[0].code == "NO-ADDRESS"


@pytest.mark.kernel
def test_rules_that_cannot_be_read_make_no_yes(lab: Lab, tmp_path: Path) -> None:
    host = lab.namespace("h")
    for line in ("link add br0 type bridge", "link set br0 up", "link add pa type veth peer name pb"):
        lab.ip(host, line)
    lab.ip(host, "address add 10.0.0.1/24 dev br0")
    for line in ("link set pa master br0 up", "link set pb up", "neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev br0"):
        lab.ip(host, line)
    run(("bridge", "fdb", "add", "02:00:00:00:00:09", "dev", "pa", "master", "static"), namespace=host)
    run(
        ("nft", "add table inet x; add chain inet x c { type filter hook input priority 0; policy drop; }"),
        namespace=host,
    )
    question = ("why", "10.0.0.9", "host", "tcp/22", "--json")
    assert json.loads(lab.bascule(host, *question).stdout)["result"] == "no"
    few = tmp_path / "few"
    few.mkdir()
    for tool in ("ip", "bridge", "tc"):
        (few / tool).symlink_to(str(shutil.which(tool)))
    without_rights = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
    for before, path, words in (
        (without_rights, os.environ["PATH"], "not permitted"),
        ((), str(few), "'nft' is not in"),
    ):
        with host.entered():
            done = subprocess.run(
                (*before, sys.executable, "-m", "bascule", *question),
                capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False,
            )  # fmt: skip
        found = json.loads(done.stdout)
        assert (done.returncode, found["result"]) == (1, "unknown"), done.stderr
        assert words in found["unread"][0]
        assert {leg["result"] for leg in found["walks"]} == {"unknown"}
    shown = lab.bascule(host, *question[:-1], env={"PATH": str(few)}).stdout
    assert "the first packet: UNKNOWN (by the rules that were read: yes)" in shown
    assert "it is not known whether the answer would pass" in shown
    assert ": YES" not in shown


@pytest.mark.kernel
def test_rules_that_change_while_they_are_read_are_read_again(lab: Lab) -> None:
    host = lab.namespace("h")
    chain = "add table inet x; add chain inet x c { type filter hook input priority 0; }"
    run(("nft", chain), namespace=host)
    steady = packet_path.read_network(host)
    assert not steady.rules.unread
    with host.entered():
        changing = subprocess.Popen(
            ("bash", "-c", "for ((;;)); do nft 'flush chain inet x c; add rule inet x c tcp dport 22 drop'; done")
        )
    try:
        found = packet_path.read_network(host)
    finally:
        changing.kill()
        changing.wait()
    lines = [line.text for one in found.rules.chains.values() for line in one.lines]
    assert found.rules.unread == (CHANGING,) or lines == ["tcp dport 22 drop"]
    assert as_read(Certainty.NO, steady) is Certainty.NO
    moving = replace(steady, rules=replace(steady.rules, unread=(CHANGING,)))  # nor is a no of these rules known
    assert {as_read(one, moving) for one in Certainty} == {Certainty.UNKNOWN}
