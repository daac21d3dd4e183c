"""What the site file has no words for: made by us it is as we make it, and what was found keeps it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Bond, Bridge, BridgePort, Physical, Tap
from bascule.model.state import HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.plan.target import target
from bascule.site import parse

SITE = b"""\
site: s
hosts:
  h:
    nics: {eth3: {}, eth4: {}, eth5: {}}
    bonds: {bond0: {nics: [eth4, eth5], mode: active-backup}}
    bridges:
      br3: {uplink: eth3}
      br4: {uplink: bond0}
guests:
  g: {host: h, nics: [{bridge: br3, tap: tap0}]}
"""
FLAGS = BridgePort(isolated=True, hairpin=True, learning=False, cost=7, priority=9)


def links(alias: str = "", *, as_found: bool = False) -> dict[str, Link]:
    """The wanted links of a host whose bridges, bond and ports have options that no file says."""
    macs = [Mac(f"52:54:00:00:00:0{number}") for number in range(3, 6)]
    bridge = Link(name=IfName("br3"), options=Bridge(ageing_time=100, priority=5), mac=macs[0], up=True, alias=alias)
    bond = Link(
        name=IfName("bond0"),
        options=Bond(mode="active-backup", miimon=50, updelay=200, xmit_hash_policy="layer3+4"),
        mac=macs[1],
        up=True,
        alias=alias,
    )
    nics = [
        Link(name=IfName(f"eth{n}"), options=Physical(), mac=mac, up=True, facts=LinkFacts(permanent_mac=mac))
        for n, mac in zip((3, 4, 5), macs, strict=True)
    ]
    nics[0] = replace(nics[0], master=bridge.name, port=FLAGS)
    tap = Link(name=IfName("tap0"), options=Tap(), up=True, master=bridge.name, port=FLAGS)
    site = parse(SITE, "s.yaml")
    host = replace(site.hosts["h"], as_found=as_found)
    state = target(site, host, HostState.of([bridge, bond, *nics, tap])).state
    return {str(name): link for name, link in state.links.items()}


def test_an_uplinks_port_has_no_flags_and_keeps_cost_and_priority() -> None:
    """A guest's tap keeps its flags: whoever runs the guest has set them."""
    found = links()
    assert found["eth3"].port == BridgePort(cost=7, priority=9)
    assert found["tap0"].port == FLAGS
    assert links(as_found=True)["eth3"].port == FLAGS


def test_a_bridge_of_ours_is_as_we_make_it() -> None:
    options = links("bascule:s")["br3"].options
    assert isinstance(options, Bridge)
    assert (options.ageing_time, options.priority) == (Bridge().ageing_time, Bridge().priority)


def test_a_bond_of_ours_is_as_we_make_it() -> None:
    assert links("bascule:s")["bond0"].options == Bond(mode="active-backup", miimon=100)


@pytest.mark.parametrize(("alias", "as_found"), [("", False), ("bascule:other", False), ("bascule:s", True)])
def test_what_was_found_keeps_its_options(alias: str, as_found: bool) -> None:
    found = links(alias, as_found=as_found)
    bridge, bond = found["br3"].options, found["bond0"].options
    assert isinstance(bridge, Bridge)
    assert (bridge.ageing_time, bridge.priority) == (100, 5)
    assert bond == Bond(mode="active-backup", miimon=50, updelay=200, xmit_hash_policy="layer3+4")


@pytest.mark.parametrize(("had", "mtu"), [("eth3", 1500), ("eth5", 1400)])
def test_a_bridge_that_gets_another_uplink_has_the_mtu_of_that_one(had: str, mtu: int) -> None:
    """Which the kernel gives to it as soon as the port changes, and again at the next start; else it stays as found."""
    site = parse(b"site: s\nhosts: {h: {nics: {eth3: {}, eth5: {}}, bridges: {br3: {uplink: eth3}}}}\n", "s.yaml")
    host = replace(site.hosts["h"], as_found=True)
    bridge = Link(name=IfName("br3"), options=Bridge(), mac=Mac("52:54:00:00:00:03"), up=True)
    nics = [
        Link(
            name=IfName(name),
            options=Physical(),
            mac=Mac(f"52:54:00:00:00:0{name[-1]}"),
            up=True,
            mtu=1400 if name == "eth3" else 1500,
            master=bridge.name if name == had else None,
        )
        for name in ("eth3", "eth5")
    ]
    assert target(site, host, HostState.of([bridge, *nics])).state.links[IfName("br3")].mtu == mtu
