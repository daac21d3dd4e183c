"""A domain's NIC on Open vSwitch: what libvirt is told of its port, and when it is told."""

from __future__ import annotations

from uuid import uuid5

import pytest
from msgspec.structs import replace

from bascule.model.domain import DomainText
from bascule.providers.guest_nics import is_at, restart_reason
from bascule.providers.libvirt import domain_xml, edit
from bascule.providers.libvirt import parse as libvirt
from bascule.site import parse

SITE = """
site: s
networks: {lan: {subnet: 10.0.0.0/24}, a: {vlan: 10}, b: {vlan: 20}}
hosts:
  h:
    nics: {eth1: {network: lan}, eth2: {network: lan}, eth3: {network: lan}}
    bridges:
      ovs0: {kind: openvswitch, uplink: eth1}
      ovs1: {kind: openvswitch, uplink: eth2}
      br0: {uplink: eth3}
guests:
  g:
    host: h
    nics:
      - {bridge: ovs0, vlan: 10}
      - {bridge: ovs0, vlans: [10, 20]}
      - {bridge: ovs0, vlan: 10, vlans: [20]}
      - {bridge: ovs0}
      - {bridge: ovs1}
      - {bridge: br0}
      - {bridge: ovs0, vlan: 10, vlans: [20], native: tagged}
"""
PORT = '<virtualport type="openvswitch"/>'


@pytest.mark.parametrize(
    ("index", "told"),
    [
        (0, PORT + '<vlan><tag id="10"/></vlan>'),
        (1, PORT + '<vlan trunk="yes"><tag id="10"/><tag id="20"/></vlan>'),
        (2, PORT + '<vlan trunk="yes"><tag id="10" nativeMode="untagged"/><tag id="20"/></vlan>'),
        (3, PORT + '<vlan><tag id="0"/></vlan>'),
        (4, PORT),
        (5, ""),
        (6, PORT + '<vlan trunk="yes"><tag id="10" nativeMode="tagged"/><tag id="20"/></vlan>'),
    ],
)
def test_the_vlans_of_a_port(index: int, told: str) -> None:
    nic = parse(SITE.encode(), "s.yaml").guests["g"].nics[index]
    xml = domain_xml.text(domain_xml.interface(nic))
    ident = f'<parameters interfaceid="{uuid5(domain_xml.PORTS, nic.mac)}"/>'
    told = told.replace(PORT, f'<virtualport type="openvswitch">{ident}</virtualport>')
    assert xml.partition("<model")[2].partition("/>")[2] == f"{told}</interface>"


def test_a_running_guest_is_told_at_its_next_start() -> None:
    guest = parse(SITE.encode(), "s.yaml").guests["g"]
    bridged, switched = guest.nics[5], guest.nics[4]
    xml = domain_xml.build(guest)
    domain = DomainText(name="g", running=True, persistent=True, autostart=False, now=xml, next=xml)
    after = edit.replug(domain, bridged.mac, switched.attachment, declared=switched)
    assert after.now == domain.now
    element = domain_xml.find(domain_xml.parse(after.next), bridged.mac)
    assert element is not None
    assert domain_xml.is_switched(element)
    assert domain_xml.plug_of(element) == ("bridge", "ovs1")
    back = edit.replug(after, bridged.mac, bridged.attachment, declared=bridged)
    element = domain_xml.find(domain_xml.parse(back.next), bridged.mac)
    assert element is not None
    assert not domain_xml.is_switched(element)


def test_the_id_and_the_profile_of_a_port_stay() -> None:
    """OVN knows a port by its id; what others wrote beside it is theirs."""
    nic = parse(SITE.encode(), "s.yaml").guests["g"].nics[0]
    theirs = '<parameters interfaceid="11111111-2222-4333-8444-555555555555" profileid="web"/>'
    element = domain_xml.parse(
        f'<interface type="bridge"><mac address="{nic.mac}"/><source bridge="ovs0"/>'
        f'<virtualport type="openvswitch">{theirs}</virtualport><vlan><tag id="99"/></vlan></interface>'
    )
    xml = domain_xml.text(domain_xml.on_switch(element, nic))
    assert theirs in xml
    assert '<vlan><tag id="10"/></vlan>' in xml
    assert 'id="99"' not in xml


def test_another_vlan_is_written_into_the_definition() -> None:
    """The plan sets the port's VLAN at once; libvirt would set the old one when the guest starts again."""
    guest = parse(SITE.encode(), "s.yaml").guests["g"]
    xml = domain_xml.build(guest).replace('<tag id="10"', '<tag id="11"', 1)
    domain = DomainText(name="g", running=True, persistent=True, autostart=False, now=xml, next=xml)
    seen = libvirt.domain(domain)
    assert not is_at(seen.nics[0], guest.nics[0])
    assert restart_reason(seen.nics[0], guest.nics[0]).startswith("the plan sets the VLANs of its port")
    after = edit.replug(domain, guest.nics[0].mac, guest.nics[0].attachment, declared=guest.nics[0])
    assert after.now == xml
    assert is_at(libvirt.domain(after).next_nics[0], guest.nics[0])
    right = domain_xml.build(guest)
    made = libvirt.domain(replace(domain, now=right, next=right))
    assert all(is_at(one, nic) for one, nic in zip(made.nics, guest.nics, strict=True))
