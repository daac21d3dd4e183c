"""Who stands where nobody has looked: a router that no file names, and a container that only the host has heard."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.values import Service
from bascule.questions import contradictions, host_model
from bascule.site import parse
from bascule.system.run import run
from bascule.verify.reachability.question import ask
from bascule.workflow import reach, why
from tests.lab import Lab, pings

SITE = """\
site: t
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
  office: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: office}}
    bridges: {br0: {uplink: e0}, br1: {uplink: e1}, br2: {uplink: none}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
  db: {host: h, nics: [{bridge: br1, address: 10.1.0.5/24}]}
  alone: {host: h, nics: [{bridge: br2, address: 10.2.0.5/24}]}
machines:
  pc: {nics: [{network: lan, address: 10.0.0.50/24}]}
  srv: {nics: [{network: office, address: 10.1.0.50/24}]}
"""
ICMP = Service("icmp")


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(("web", "db", "pc", "srv"), 2)))
def test_behind_a_gateway_that_no_machine_is_nobody_can_tell(source: str, target: str) -> None:
    beside = {source, target} in ({"web", "pc"}, {"db", "srv"})
    found = why(source, target, ICMP, site=parse(SITE.encode(), "t.yaml"), wanted=True)
    assert found.result.value == ("yes" if beside else "unknown")
    told = {(one.code.value, one.certain) for one in found.asked.answer.blockers}
    assert told == (set() if beside else {("unknown-outside", True)})
    if not beside:  # the answer of a packet of which nobody knows is not followed
        assert [leg.name for leg in found.asked.answer.legs] == ["new"]
        for verdict in ("reach", "no-reach"):
            wish = f"expect: [{{from: {source}, to: {target}, verdict: {verdict}}}]\n"
            assert contradictions(parse((SITE + wish).encode(), "t.yaml")) == ()


def test_the_matrix_says_what_why_says() -> None:
    found = reach(parse(SITE.encode(), "t.yaml"), wanted=True, services=[ICMP])
    for cell in found.pairs():
        asked = why(cell.source, cell.target, ICMP, site=parse(SITE.encode(), "t.yaml"), wanted=True)
        assert cell.result is asked.result, (cell.source, cell.target)


def test_without_a_gateway_there_is_no_route_and_both_ways_are_told() -> None:
    text = SITE.replace(", gateway: 10.0.0.1", "").replace(", gateway: 10.1.0.1", "")
    answer = why("web", "db", ICMP, site=parse(text.encode(), "t.yaml"), wanted=True).asked.answer
    assert answer.result.value == "no"
    assert [(leg.name, one.code.value, one.subject) for leg in answer.legs for one in leg.blockers] == [
        ("new", "no-route", "web"),
        ("reply", "no-route", "db"),
    ]


def test_where_everybody_on_a_segment_is_known_no_router_may_stand_there() -> None:
    site = parse(SITE.encode(), "t.yaml")
    given = host_model(site, site.hosts["h"], wanted=True)
    for name, result, code in (("alone", "no", "arp-silent"), ("web", "unknown", "unknown-outside")):
        (end,) = given.known[name].ends
        by = replace(given.known[name], ends=(replace(end, gateways={4: end.addresses[0][0] - 4}),))
        answer = ask(given.network, {**given.known, name: by}, by, given.known["db"], ICMP).answer
        assert (answer.result.value, answer.blockers[0].code.value) == (result, code)


PUBLISHED = """\
table ip docker {
 chain pre { type nat hook prerouting priority -100; fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80; }
 chain out { type nat hook output priority -100; fib daddr type local tcp dport 8080 dnat to 172.17.0.2:80; }
 chain passing { type filter hook forward priority 0; policy drop; ct state established,related accept; DOES }
}
"""


@pytest.mark.kernel
@pytest.mark.parametrize(("does", "result"), [('oifname "docker0" tcp dport 80 accept;', "yes"), ("", "no")])
def test_a_published_port_of_a_container_that_the_host_has_heard(lab: Lab, does: str, result: str) -> None:
    host, box, pc = lab.namespace("h"), lab.namespace("c"), lab.namespace("pc")
    lab.ip(host, "link add docker0 type bridge mcast_snooping 0")
    for name, inner, there in (("veth1", "eth0", box), ("eth0", "wire", pc)):
        path = f"/proc/{os.getpid()}/fd/{there.fd}"
        lab.ip(host, f"link add {name} type veth peer name {inner} netns {path}")
        lab.ip(there, f"link set {inner} up")
    lab.ip(host, "link set veth1 master docker0")
    for words in ("docker0", "veth1", "eth0"):
        lab.ip(host, f"link set {words} up")
    for where, link, text in (
        (host, "docker0", "172.17.0.1/16"),
        (box, "eth0", "172.17.0.2/16"),
        (host, "eth0", "192.168.5.1/24"),
        (pc, "wire", "192.168.5.9/24"),
    ):
        lab.ip(where, f"address add {text} dev {link}")
    lab.ip(box, "route add default via 172.17.0.1")
    with host.entered():
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    asked = ("why", "192.168.5.9", "host", "tcp/8080", "--brief")
    run(("nft", "-f", "-"), stdin=PUBLISHED.replace("DOES", does), namespace=host)
    unheard = lab.bascule(host, *asked).stdout
    assert "UNKNOWN" in unheard if does else "NO" in unheard
    assert pings(box, "172.17.0.1")
    assert f": {result.upper()} " in lab.bascule(host, *asked).stdout
