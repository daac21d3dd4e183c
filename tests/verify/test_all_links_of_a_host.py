"""A host's addresses and gateways on its bonds, VLAN links and bridges count like those of its NICs."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from bascule.draw.scene.site import build
from bascule.model.values import Mac
from bascule.probe.domain import ProbeDomain
from bascule.site import parse
from bascule.verify.endpoints import Endpoints
from bascule.verify.wire.routing import declared_gateways

SITE = parse(
    b"""\
site: t
networks:
  lan: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
  mgmt: {subnet: 10.2.0.0/24, gateway: 10.2.0.1, vlan: 20}
  dmz: {subnet: 10.3.0.0/24, gateway: 10.3.0.1}
hosts:
  one: {nics: {e0: {network: lan, address: 10.1.0.5/24}}}
  two:
    nics: {e0: {}, e1: {}, e2: {network: dmz, address: 10.3.0.6/24, gateway: 10.3.0.1}, e3: {}}
    bonds: {bond0: {nics: [e0, e1], network: lan, address: 10.1.0.6/24, gateway: 10.1.0.1, metric: 10}}
    vlans: {bond0.20: {link: bond0, id: 20, network: mgmt, address: 10.2.0.6/24, gateway: 10.2.0.1, metric: 20}}
    bridges: {br0: {uplink: e2, address: from-uplink}}
machines:
  fw:
    nics: [{network: lan, address: 10.1.0.1/24}, {network: dmz, address: 10.3.0.1/24}]
    masquerade: {from: [two], to: dmz}
""",
    "t.yaml",
)


def test_another_hosts_addresses_are_known() -> None:
    endpoints = Endpoints(SITE, ProbeDomain())
    assert [(str(one.address), one.network) for one in endpoints.addresses("two")] == [
        ("10.1.0.6/24", "lan"),
        ("10.2.0.6/24", "mgmt"),
        ("10.3.0.6/24", "dmz"),
    ]
    assert endpoints.owner(ip_address("10.2.0.6")) == "two"


def test_its_gateways_are_asked_for_on_the_links_that_have_them() -> None:
    found = {str(one.address): one.links for one in declared_gateways(SITE.hosts["two"])}
    assert found == {"10.1.0.1": {"bond0"}, "10.2.0.1": {"bond0.20"}, "10.3.0.1": {"br0"}}


def test_a_gateway_of_two_links_may_be_reached_over_either() -> None:
    twice = parse(
        b"""\
site: t
networks: {lan: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}}
hosts:
  h:
    nics:
      e0: {network: lan, address: 10.1.0.5/24, gateway: 10.1.0.1}
      e1: {network: lan, address: 10.1.0.6/24, gateway: 10.1.0.1, metric: 200}
""",
        "t.yaml",
    )
    (target,) = declared_gateways(twice.hosts["h"])
    assert target.links == {"e0", "e1"}


def test_the_way_out_through_a_machine_begins_on_the_network_of_a_bond() -> None:
    (arrow,) = [one for one in build(SITE).arrows if one.sources == ("two",)]
    assert arrow.origins == ("lan",)


def test_a_learned_address_counts_where_the_file_has_none() -> None:
    site = parse(
        b"""\
site: t
networks: {lan: {subnet: 10.1.0.0/24}}
hosts: {h: {nics: {e0: {network: lan}}, bridges: {br0: {uplink: e0}}}}
guests: {web: {host: h, nics: [{bridge: br0, mac: "52:54:00:00:00:07", address: dhcp}]}}
machines:
  leases: {nics: [{network: lan, address: 10.1.0.2/24}], dhcp: {network: lan, range: 10.1.0.100-10.1.0.200}}
""",
        "t.yaml",
    )
    learned = {Mac("52:54:00:00:00:07"): (ip_interface("10.1.0.5/24"),)}
    (one,) = Endpoints(site, ProbeDomain(), learned).addresses("web")
    assert (str(one.address), one.network) == ("10.1.0.5/24", "lan")
