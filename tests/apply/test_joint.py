"""The order of a joint plan, and what its kernel's part leaves to whoever runs the guests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bascule.apply.crew import Crew
from bascule.apply.joint import plan_jointly, without_moves
from bascule.errors import BasculeError
from bascule.guests.part import Seen
from bascule.model.domain import Domain, DomainNic
from bascule.model.links import Bridge, BridgePort, Macvtap, Tap, Veth
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.providers.guest_nics import with_live_taps
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


def crew() -> Crew:
    site = parse(SITE, "site.yaml")
    nics = (DomainNic(index=0, kind="network", into="default", mac=Mac("52:54:00:00:00:01"), tap="vnet7"),)
    domains = (Domain(name="g1", running=True, nics=nics, next_nics=nics),)
    driver = cast("Any", SimpleNamespace(name="libvirt"))
    seen = Seen(driver=driver, domains=domains)
    return Crew(site=with_live_taps(site, site.hosts["h"], domains), seen=seen)


@pytest.mark.kernel
def test_the_tap_is_moved_by_libvirt_and_gets_its_vlan_behind_that() -> None:
    site = parse(SITE, "site.yaml")
    joint = plan_jointly(site, site.hosts["h"], observed(), crew())
    told = [(change.subject, change.action) for change in joint.plan.changes]
    (moved,) = [number for number, (subject, _) in enumerate(told) if subject == "g1, NIC 0"]
    tagged = [number for number, (subject, action) in enumerate(told) if subject == "vnet7" and "VLAN" in action]
    assert tagged
    assert min(tagged) > moved
    assert not [action for subject, action in told if subject == "vnet7" and "port of" in action]
    assert joint.wanted.links[IfName("vnet7")].master == "br4"
    early = without_moves(joint.plan, {"vnet7"})
    assert not [c for c in early.changes if c.subject == "vnet7" and "VLAN" in c.action]


def test_a_nic_with_a_macvtap_on_it_cannot_become_a_port() -> None:
    site = parse(SITE, "site.yaml")
    shared = observed(link("macvtap0", Macvtap(), parent=IfName("eth4")))
    with pytest.raises(BasculeError, match="eth4 cannot become a port of br4 while the macvtap macvtap0 sits on it"):
        plan_jointly(site, site.hosts["h"], shared, Crew(site=site))
