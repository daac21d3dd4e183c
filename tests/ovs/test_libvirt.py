"""A domain's NIC on Open vSwitch: what libvirt is told of its port, and when it is told."""

from __future__ import annotations

from uuid import uuid5

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.domain import DomainText
from bascule.model.guarding import GuardLevel
from bascule.model.state import HostState
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.providers.guest_nics import is_at, restart_reason
from bascule.providers.libvirt import domain_xml, edit
from bascule.providers.libvirt import parse as libvirt
from bascule.providers.libvirt.guard_notes import guards_of, with_guards
from bascule.site import parse
from bascule.system.libvirt import connect

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


def test_a_port_that_runs_stays_on_its_switch_and_a_bridge_of_the_kernel_gets_no_vlan() -> None:
    """libvirt 9 moves no port of Open vSwitch while its guest runs, and starts none with a VLAN on a plain bridge."""
    guest = parse(SITE.encode(), "s.yaml").guests["g"]
    tagged, other, bridged = guest.nics[0], guest.nics[4], guest.nics[5]
    xml = domain_xml.build(guest)
    domain = DomainText(name="g", running=True, persistent=True, autostart=False, now=xml, next=xml)
    for to in (other, bridged):
        wanted = replace(to, mac=tagged.mac, index=0)
        after = edit.replug(domain, tagged.mac, to.attachment, declared=wanted)
        assert after.now == xml
        seen = libvirt.domain(after)
        assert restart_reason(seen.nics[0], wanted).startswith("the plan moves its tap; libvirt ")
        assert is_at(seen.next_nics[0], wanted)
        assert (seen.next_nics[0].vlans, seen.next_nics[0].by_kernel) == ("", to.by_kernel)


GUARDS = """
site: s
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth1: {network: lan}}, bridges: {br0: {uplink: eth1, guard: strict}}}}
guests:
  g: {host: h, nics: [{bridge: br0, address: 10.0.0.9/24}, {bridge: br0, guard: off}]}
"""


def test_a_definition_says_its_guards() -> None:
    """They follow the file; in a definition of somebody else's nothing is written."""
    guest = parse(GUARDS.encode(), "s.yaml").guests["g"]
    xml = with_guards(domain_xml.build(guest), guest)
    assert guards_of(xml) == {"g.0": GuardLevel.STRICT}
    assert with_guards(xml, guest) == xml
    off = parse(GUARDS.replace("guard: strict", "guard: off").encode(), "s.yaml").guests["g"]
    assert guards_of(with_guards(xml, off)) == {}
    theirs = "<domain><name>g</name><devices/></domain>"
    assert (with_guards(theirs, guest), guards_of(theirs)) == (theirs, {})


def test_a_guest_is_not_started_without_the_guard_that_its_definition_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from bascule.guests.runtimes import libvirt as runtimes

    guest = parse(GUARDS.encode(), "s.yaml").guests["g"]
    monkeypatch.setattr(runtimes, "is_local", lambda _: True)
    site = parse(GUARDS.encode(), "s.yaml")
    loaded = guard_table(guarded_ports(site, site.hosts["h"]), "bascule:s")
    assert loaded is not None
    host = [HostState()]
    monkeypatch.setattr(runtimes, "observe_host", lambda **_: host[0])
    kept = connect("test:///default")  # what it has been told is gone with the last who asks
    try:
        runtime = runtimes.LibvirtRuntime("test:///default", accelerator="tcg")
        xml = with_guards(domain_xml.build(guest, accel="tcg"), guest).replace('type="qemu"', 'type="test"')
        kept.define_domain(xml)
        with pytest.raises(BasculeError) as refused:
            runtime.start("g")
        assert [(one.code, "g.0 on br0" in one.message) for one in refused.value.problems] == [("GUARD-MISSING", True)]
        host[0] = HostState(tables={loaded.key: loaded})
        runtime.start("g")
        assert kept.domain("g").running
    finally:
        kept.close()
