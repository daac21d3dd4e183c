"""A domain's NIC on Open vSwitch: what libvirt is told of its port, and when it is told."""

from __future__ import annotations

import pytest

from bascule.errors import BasculeError
from bascule.model.domain import DomainText
from bascule.providers.libvirt import domain_xml, edit
from bascule.providers.qemu.want import refuse_macvtap
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
    ],
)
def test_the_vlans_of_a_port(index: int, told: str) -> None:
    nic = parse(SITE.encode(), "s.yaml").guests["g"].nics[index]
    xml = domain_xml.text(domain_xml.interface(nic))
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


def test_bare_qemu_is_not_plugged_into_it() -> None:
    nic = parse(SITE.encode(), "s.yaml").guests["g"].nics[0]
    with pytest.raises(BasculeError, match="PLUG-UNSUPPORTED"):
        refuse_macvtap(nic)
