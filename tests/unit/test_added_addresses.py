"""What Bascule added before goes again when the file does not name it any more, and only then."""

from __future__ import annotations

from bascule.model.links import Bridge, Physical
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.earlier import EarlierChanges
from bascule.plan.target import target
from bascule.site import parse

SITE = b"""\
site: s
hosts:
  h:
    nics: {eth5: {address: 129.230.1.10/16}}
    bridges: {br5: {uplink: eth5, address: from-uplink}}
"""


def test_an_address_that_the_nic_hands_to_its_bridge_stays_there() -> None:
    """The file names it under the NIC; a second apply must not take it off the bridge."""
    mac = Mac("52:54:00:00:00:05")
    there = (Address(ip="129.230.1.10/16"), Address(ip="129.230.1.11/16"))
    bridge = Link(name=IfName("br5"), options=Bridge(), mac=mac, up=True, addresses=there)
    nic = Link(name=IfName("eth5"), options=Physical(), mac=mac, up=True, master=IfName("br5"))
    site = parse(SITE, "s.yaml")
    added = {"br5": frozenset(address.ip for address in there)}
    found = target(site, site.hosts["h"], HostState.of([bridge, nic]), EarlierChanges(added=added)).state
    assert [address.ip for address in found.links[IfName("br5")].addresses] == ["129.230.1.10/16"]


def test_a_link_local_address_that_the_link_makes_itself_stays() -> None:
    """A change gave the link one; after the next start its manager has given it the same, and nobody takes it off."""
    mac, own = Mac("52:54:00:00:00:05"), "fe80::5054:ff:fe00:5/64"
    there = (Address(ip="129.230.1.10/16"), Address(ip=own, scope="link"), Address(ip="fe80::9/64", scope="link"))
    nic = Link(name=IfName("eth5"), options=Physical(), mac=mac, up=True, addresses=there)
    site = parse(SITE.replace(b"    bridges: {br5: {uplink: eth5, address: from-uplink}}\n", b""), "s.yaml")
    added = {"eth5": frozenset({own, "fe80::9/64"})}
    found = target(site, site.hosts["h"], HostState.of([nic]), EarlierChanges(added=added)).state
    assert [address.ip for address in found.links[IfName("eth5")].addresses] == ["129.230.1.10/16", own]
