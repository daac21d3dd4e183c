"""The order of a plan with guests, and what its kernel's part leaves to whoever runs them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.domain import DomainText, NetworkText
from bascule.model.links import Bridge, BridgePort, Macvtap, Tap, Veth
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.make import make_plan
from bascule.providers.libvirt.state import LibvirtState
from bascule.site import parse

SITE = b"""\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, ten: {subnet: 10.0.1.0/24, vlan: 10}}
hosts:
  h:
    nics: {eth4: {network: lan}}
    bridges: {br4: {uplink: eth4, vlan_aware: true}}
guests:
  g1: {host: h, nics: [{bridge: br4, vlan: 10, mac: '52:54:00:00:00:01'}]}
"""


def link(name: str, options: Any, **rest: Any) -> Link:
    mac = Mac(f"52:54:00:01:00:{sum(name.encode()) % 256:02x}")
    return Link(name=IfName(name), options=options, up=True, mac=mac, **rest)


def observed(*more: Link) -> HostState:
    return HostState.of(
        [
            link("eth4", Veth()),
            link("virbr0", Bridge()),
            link("vnet7", Tap(), master=IfName("virbr0"), port=BridgePort()),
            *more,
        ]
    )


GUEST = """\
<domain type='kvm'>
  <name>g1</name>
  <devices>
    <interface type='network'>
      <mac address='52:54:00:00:00:01'/>
      <source network='default' bridge='virbr0'/>
      <target dev='vnet7'/>
    </interface>
  </devices>
</domain>
"""


def test_the_tap_is_moved_by_libvirt_and_gets_its_vlan_behind_that() -> None:
    site = parse(SITE, "site.yaml")
    domain = DomainText(name="g1", running=True, persistent=True, autostart=False, now=GUEST, next=GUEST)
    before = replace(observed(), parts={"libvirt": LibvirtState(uri="qemu:///system", domains={"g1": domain})})
    plan, wanted = make_plan(site, site.hosts["h"], before)
    told = [(change.subject, change.action) for change in plan.changes]
    (moved,) = [number for number, (subject, _) in enumerate(told) if subject == "g1, NIC 0"]
    tagged = [number for number, (subject, action) in enumerate(told) if subject == "vnet7" and "VLAN" in action]
    assert tagged
    assert min(tagged) > moved
    assert not [action for subject, action in told if subject == "vnet7" and "port of" in action]
    assert wanted.links[IfName("vnet7")].master == "br4"
    assert plan.changes[moved].cuts == ("g1",)
    assert plan.changes[moved].reason == "g1 is declared on bridge br4 (site.yaml:8)"
    assert [command.tool for command in plan.changes[moved].commands] == ["virsh"] * 3


def test_a_nic_with_a_macvtap_on_it_cannot_become_a_port() -> None:
    site = parse(SITE, "site.yaml")
    shared = observed(link("macvtap0", Macvtap(), parent=IfName("eth4")))
    with pytest.raises(BasculeError, match="eth4 cannot become a port of br4 while the macvtap macvtap0 sits on it"):
        make_plan(site, site.hosts["h"], shared)


NETWORK = """\
<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='vn-lab'/>
  <ip address='10.77.0.1' prefix='24'/>
</network>
"""


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("vn-lab", "10.0.9.1/24", "needs the name 'vn-lab', and this host has a bridge of that name"),
        ("virbr9", "10.77.0.1/24", "needs the address 10.77.0.1/24, and this host has a bridge with it, 'virbr9'"),
    ],
)
def test_a_network_that_libvirt_shall_make_takes_nobodys_bridge(name: str, address: str, told: str) -> None:
    file = SITE.replace(b"guests:", b"    virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24}}\nguests:")
    site = parse(file, "site.yaml")
    there = link(name, Bridge(), addresses=(Address(ip=address),))
    before = replace(observed(there), parts={"libvirt": LibvirtState(uri="qemu:///system")})
    with pytest.raises(BasculeError, match=told):
        make_plan(site, site.hosts["h"], before)
    own = NetworkText(name="lab", active=True, persistent=True, autostart=True, now=NETWORK, next=NETWORK)
    left = replace(before, parts={"libvirt": LibvirtState(uri="qemu:///system", networks={"lab": own})})
    assert make_plan(site, site.hosts["h"], left)
