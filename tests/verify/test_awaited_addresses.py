"""A host whose address a DHCP server, a router or the host itself brings: nobody knows its routes from the file."""

from __future__ import annotations

import pytest

from bascule.model.values import Service
from bascule.questions import contradictions, host_model
from bascule.site import parse
from bascule.verify.reachability.live import why

SITE = """\
site: t
networks:
  lan: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
  office: {subnet: 10.2.0.0/24, gateway: 10.2.0.1}
  v6: {subnet: [10.3.0.0/24, "2001:db8::/64"]}
hosts:
  h:
    nics: {e0: {network: lan, NIC}, e1: {network: v6, V6}, e2: {network: office, OTHER}}
    bridges: {br0: {uplink: e0, BRIDGE}, br1: {uplink: e1, BRIDGE6}}
guests:
  g: {host: h, nics: [{bridge: br0, address: 10.1.0.77/24}]}
machines:
  m: {nics: [{network: lan, address: 10.1.0.9/24}]}
  x: {nics: [{network: office, address: 10.2.0.9/24}]}
  six: {nics: [{network: v6, address: "2001:db8::9/64"}]}
expect:
  - {from: FROM, to: TO, verdict: reach}
"""
DHCP = {"BRIDGE": "address: dhcp"}
CASES = [  # what the file says of the host, the question, and the answer
    ({"OTHER": "address: 10.2.0.2/24"}, "h m", "no"),
    (DHCP, "h m", "unknown"),
    (DHCP, "h g", "unknown"),
    (DHCP, "h x", "unknown"),
    ({"NIC": "address: dhcp", "BRIDGE": "address: from-uplink"}, "h m", "unknown"),
    ({"BRIDGE": "address: from-uplink"}, "h g", "unknown"),  # it has what the NIC has now
    ({"NIC": "address: 10.1.0.2/24", "BRIDGE": "address: from-uplink"}, "h g", "yes"),
    ({**DHCP, "OTHER": "address: 10.2.0.2/24"}, "h x", "yes"),
    ({**DHCP, "OTHER": "address: 10.2.0.2/24, gateway: 10.2.0.1"}, "h m", "unknown"),  # a lease leads there, not it
    ({"BRIDGE": "address: 10.1.0.2/24", "BRIDGE6": "ipv6: off"}, "h six", "no"),
    ({"BRIDGE6": "ipv6: auto"}, "h six", "unknown"),
    ({"BRIDGE6": "ipv6: off, address: 10.3.0.1/24"}, "h six", "no"),
    ({"BRIDGE6": "address: 10.3.0.1/24"}, "h six", "unknown"),  # as it is: it may listen to a router
    ({"BRIDGE6": 'address: "2001:db8::2/64"'}, "h six", "yes"),
]


@pytest.mark.parametrize(("says", "question", "answer"), CASES)
def test_only_what_the_file_tells_is_a_no(says: dict[str, str], question: str, answer: str) -> None:
    source, target = question.split()
    text = SITE.replace("FROM", source).replace("TO", target)
    for key in ("BRIDGE6", "BRIDGE", "NIC", "V6", "OTHER"):
        text = text.replace(f", {key}}}", f", {says[key]}}}" if key in says else "}")
    site = parse(text.encode(), "t.yaml")
    found = why(host_model(site, site.hosts["h"], wanted=True), source, target, Service("icmp"))
    assert found.result.value == answer
    assert [one.code for one in contradictions(site)] == (["EXPECT-CONTRADICTED"] if answer == "no" else [])
    if answer == "unknown":
        (stop,) = {one.text for one in found.asked.answer.blockers}
        assert stop.endswith("gets its addresses and routes from a DHCP server or a router")
