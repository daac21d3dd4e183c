"""A rule of a saved state reads as nft prints it: what `why` says of a saved host stands so in `nft list ruleset`."""

from __future__ import annotations

import json
import subprocess

import pytest

from bascule.topology.trace.rules.nft_reader import read_text
from bascule.topology.trace.rules.words import rule_words
from tests.lab import Lab

RULESET = """\
table inet t {
  chain side { }
  chain filter {
    type filter hook forward priority 0;
    iifname { "br0", "br1" } ip saddr 10.9.1.14 tcp dport { 80, 443 } accept
    ct state established,related accept
    ct state vmap { invalid : drop, new : jump side }
    ip saddr . tcp dport { 10.9.0.1 . 80, 10.9.0.2 . 443 } drop
    limit rate 10/second burst 7 packets accept
    log prefix "x" level debug
    fib saddr . iif oif missing drop
    ether type arp drop
    exthdr frag exists drop
  }
  chain to {
    type nat hook prerouting priority 0;
    udp dport 53 dnat ip to 10.9.1.14:80
  }
  chain from {
    type nat hook postrouting priority 0;
    oifname != "br0" masquerade random
  }
}
"""


@pytest.mark.kernel
def test_the_words_of_a_rule_are_those_of_nft(lab: Lab) -> None:
    with lab.namespace("host").entered():
        subprocess.run(("nft", "-f", "-"), input=RULESET, text=True, check=True)
        told, text = (
            subprocess.run(("nft", flag, "list", "ruleset"), capture_output=True, text=True, check=True).stdout
            for flag in ("-j", "-a")
        )
    rules = [entry["rule"] for entry in json.loads(told)["nftables"] if "rule" in entry]
    texts, _ = read_text(text)
    assert len(rules) == 11
    assert {rule["handle"]: rule_words(rule["expr"]) for rule in rules} == {
        rule["handle"]: texts["inet", "t", rule["handle"]] for rule in rules
    }


def test_what_has_no_value_in_the_model_is_told_word_by_word() -> None:
    size = {"tcp option": {"name": "maxseg", "field": "size"}}
    assert rule_words([{"match": {"op": ">", "left": size, "right": 1400}}, {"drop": None}]) == (
        "tcp option maxseg size > 1400 drop"
    )
    assert (
        rule_words([{"xt": {"type": "match", "name": "recent"}}, {"counter": {"packets": 1, "bytes": 2}}]) == "(recent)"
    )
    assert rule_words([{"flow": {"op": "add", "flowtable": "@f"}}]) == "flow add @f"
    assert rule_words([]) == "(an empty rule)"
