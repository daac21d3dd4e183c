"""T4 and T5 for IPv6: an INPUT that lets no ICMPv6 in keeps the host and its neighbours from finding each other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.apply.hosts import wait_for
from tests.real_hosts.field import Field
from tests.real_hosts.firewalls import feed

pytestmark = pytest.mark.kernel

SITE = """\
site: six
networks: {office: {subnet: 'fd00::/64', gateway: 'fd00::1'}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 'fd00::10/64', gateway: 'fd00::1'}, eth1: {network: office}}
    virtual_networks: {lab: {mode: routed, subnet: 'fd00:7::/64'}}
guests:
  job: {host: kvm, nics: [{network: lab, address: 'fd00:7::50/64'}]}
"""
CLOSED = """table ip6 mine {
 chain in { type filter hook input priority 0; policy drop; iif "lo" accept; ct state established,related accept;
  udp dport 53 accept; %s }
}
"""
OPEN = {
    "icmpv6 at all": "meta l4proto ipv6-icmp accept;",
    "by its types": "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept;",
    "with the hop limit of neighbours": "ip6 hoplimit 255 icmpv6 type 135-136 accept;",
    "to a group or the host itself": "fib daddr type { multicast, local } ip6 nexthdr icmpv6 accept;",
}


@pytest.fixture
def host(real_host: Field) -> Field:
    real_host.ip("addr add fd00::1/64 dev eth0 nodad", real_host.router)
    real_host.guest("job", "job.0", "fd00:7::50/64", site=SITE)
    done = real_host.bascule("apply", real_host.site(SITE), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    real_host.ip("-6 neigh flush all")
    return real_host


def found(host: Field, verb: str = "doctor") -> dict[str, Any]:
    findings = host.document(verb, host.site(SITE))["findings"]
    return {one["subject"]: one for one in findings if one["id"] == "own-nd"}


def neighbour(host: Field) -> str:
    """What the host knows of the guest, asked for once more: an earlier search of the kernel fails in its own time."""
    host.run("ping", "-c1", "-W1", "fd00:7::50")
    return host.ip("-6 neigh show fd00:7::50 dev vn-lab")


@pytest.mark.parametrize("backend", ["nft", "ip6tables"])
def test_t05_neighbour_discovery_that_input_drops_is_said_and_the_fix_works(host: Field, backend: str) -> None:
    if backend == "nft":
        feed(host.host, CLOSED % "")
    else:
        host.run("ip6tables", "-P", "INPUT", "DROP")
    said = found(host)
    text = "the host's own firewall drops neighbour discovery (IPv6) from {}: the two do not find each other"
    assert {name: one["text"] for name, one in said.items()} == {
        "eth0": text.format("fd00::1"), "vn-lab": text.format("fd00:7::50"),
    }  # fmt: skip
    planned = host.document("plan", host.site(SITE))["mind"]
    assert any(words.startswith(f"vn-lab: {text.format('fd00:7::50')}") for words in planned), planned
    checks = host.document("verify", host.site(SITE))["checks"]
    lost = " ".join(one["detail"] for one in checks if one["subject"] == "job" and one["ok"] is False)
    assert "neighbour solicitation was answered by vn-lab, and the host did not take the answer: policy DROP" in lost
    for one in said.values():
        assert host.run("bash", "-ec", one["fix"]).returncode == 0, one["fix"]
    assert found(host) == {}
    assert "lladdr" in wait_for(lambda: neighbour(host), lambda words: "lladdr" in words)


@pytest.mark.parametrize("rule", OPEN)
def test_t05_where_it_is_let_in_nothing_is_said(host: Field, rule: str) -> None:
    feed(host.host, CLOSED % OPEN[rule])
    assert found(host) == {}
    assert "lladdr" in wait_for(lambda: neighbour(host), lambda words: "lladdr" in words)


def test_t05_what_the_host_asks_and_answers_may_be_lost_as_well(host: Field) -> None:
    feed(host.host, 'table inet mine { chain out { type filter hook output priority 0; icmpv6 type nd-neighbor-advert '
         'oifname "vn-lab" drop; }; }')  # fmt: skip
    assert "drops neighbour discovery (IPv6) to fd00:7::50" in found(host)["vn-lab"]["text"]
    assert "eth0" not in found(host)
