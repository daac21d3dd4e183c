"""Whom the file names as a DHCP server: its machines, and the guests that may be one; nobody else is expected."""

from __future__ import annotations

from ipaddress import IPv4Address

from bascule.model.links import Physical
from bascule.model.state import HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.site import parse
from bascule.verify.wire.dhcp_servers import asked_links

SITE = """
site: leases
networks: {office: {subnet: 192.168.1.0/24}, other: {subnet: 10.0.0.0/24}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: office}}
    bridges: {br0: {uplink: eth1, guard: strict}}
guests:
  web: {host: kvm, nics: [{bridge: br0, address: dhcp}]}
  lease: {host: kvm, nics: [{bridge: br0, address: 192.168.1.5/24, may: [dhcp-server]}]}
machines:
  router:
    nics: [{network: office, address: 192.168.1.1/24}, {network: other, address: 10.0.0.1/24}]
    dhcp: {network: office, range: 192.168.1.100-192.168.1.120}
"""


def test_a_guest_that_may_serve_is_no_second_server() -> None:
    site = parse(SITE.encode(), "site.yaml")
    mac, facts = Mac("02:00:00:00:00:01"), LinkFacts(carrier=True)
    state = HostState.of([Link(name=IfName("eth0"), options=Physical(), mac=mac, up=True, facts=facts)])
    (asked,) = asked_links(site, site.hosts["kvm"], state)
    assert asked.servers == {IPv4Address("192.168.1.1"), IPv4Address("192.168.1.5")}
