"""Guards at the ports of a VLAN-aware bridge: an access port, and a trunk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from bascule.frames import bpf
from bascule.frames.codecs.ethernet import VLAN
from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.model.site import Site
from bascule.model.values import Mac
from bascule.site import parse
from bascule.system.net.packet import Listener, open_packet
from bascule.system.run import run
from tests.backlog import drained
from tests.guards.segment import PARTIES, ROUTER, Segment, segment, site_text
from tests.guards.test_outside_judges import Wire, changes_nothing_but_without_a_guard, guarded_wire

ME, OTHER = PARTIES.me, PARTIES.other


def vlans(web: str) -> Site:
    """Guests on a VLAN-aware bridge, web with other VLANs."""
    text = site_text("strict", web, "vlan: 30").replace("guard: strict}", "guard: strict, vlan_aware: true}")
    return parse(text.replace("lan: {subnet", "lan: {vlan: 30, subnet").encode(), "site.yaml")


@pytest.fixture(scope="module")
def bridge() -> Iterator[Segment]:
    with segment() as one:
        one.lab.ip(one.host, "link set br0 type bridge vlan_filtering 1 vlan_default_pvid 0")
        for port in ("web.0", "db.0", "up.0"):
            run(("bridge", "vlan", "add", "dev", port, "vid", "30", "pvid", "untagged"), namespace=one.host)
        yield one


@pytest.mark.parametrize("called", ["0", "1"])
def test_an_access_port_is_guarded_as_any_other(bridge: Segment, called: str) -> None:
    for family in ("iptables", "ip6tables", "arptables"):
        run(("sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}={called}"), namespace=bridge.host, check=False)
    bridge.guard(vlans("vlan: 30"))
    bridge.greet()
    passed = [one.name for one in ATTACKS if any(ports for _, ports in bridge.send(one.frames(PARTIES)))]
    assert (passed, bridge.where(ROUTER), bridge.where(OTHER.mac)) == ([], "up.0", "db.0")
    assert [x.name for x in LEGITIMATE if not all(ports for _, ports in bridge.send(x.frames(PARTIES)))] == []


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "VLANs"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with guarded_wire(with_vlans=request.param) as one:
        yield one


@pytest.mark.parametrize("called", ["0", "1"])
def test_nothing_that_a_victim_knows_changes(wire: Wire, called: str) -> None:
    """ARP cache, ND cache, routes, and where the bridge sends; without the guards each of them does."""
    for family in ("iptables", "ip6tables", "arptables"):
        run(("sysctl", "-qw", f"net.bridge.bridge-nf-call-{family}={called}"), namespace=wire.host, check=False)
    changes_nothing_but_without_a_guard(wire)


def test_a_tag_beside_the_frame_is_a_tag(wire: Wire) -> None:
    """The guest's own VLAN link leaves the tag to the card, and the kernel forwards it beside the frame."""
    claim = b.arp(ME.raw, 2, ME.raw, PARTIES.router.ip4, OTHER.ip4, dst=OTHER.raw, target=OTHER.raw)
    own = b.arp(ME.raw, 2, ME.raw, ME.ip4, OTHER.ip4, dst=OTHER.raw, target=OTHER.raw)
    for vid in ("0", "5", "30"):
        run(("ip", "link", "add", "link", "eth0", "name", f"v{vid}", "type", "vlan", "id", vid), namespace=wire.web)
        run(("ip", "link", "set", f"v{vid}", "up"), namespace=wire.web)
        with wire.db.entered():
            ear = Listener("eth0", bpf.any_of([]))
        with contextlib.closing(ear), wire.web.entered():
            for link, frame in ((f"v{vid}", claim), (f"v{vid}", own), ("eth0", own)):
                with open_packet(link, protocol=0) as raw:
                    raw.send(frame)
            drained()
            heard = [*ear.frames(64)]  # and what the guest's own kernel has to say at that moment
            ours = [(data[:42], tci) for data, tci in heard if any(one[14:42] in data for one in (claim, own))]
            assert ours == [(own[:42], None)]
        run(("ip", "link", "del", f"v{vid}"), namespace=wire.web)


def test_a_trunk_port_may_tag_and_keeps_to_its_mac(bridge: Segment) -> None:
    run(("bridge", "vlan", "add", "dev", "web.0", "vid", "31"), namespace=bridge.host)
    run(("bridge", "vlan", "add", "dev", "up.0", "vid", "31"), namespace=bridge.host)
    bridge.guard(vlans("vlans: [30, 31]"))
    own = b.tagged(b.arp(ME.raw, 1, ME.raw, ME.ip4, OTHER.ip4), 31, outer=VLAN)
    spoofed = b.tagged(b.ether(OTHER.raw, PARTIES.router.raw, b.IPV4, bytes(46)), 31, outer=VLAN)
    assert [bool(ports) for _, ports in bridge.send([own, spoofed])] == [True, False]
    assert bridge.where(Mac(ROUTER)) == "up.0"


def test_a_locked_port_takes_no_entry_that_was_learned_before(bridge: Segment) -> None:
    """A poisoned entry would count as leave: it is flushed before the port is locked."""
    poison = b.ether(OTHER.raw, b"\2\0\0\0\0\x66", 0x88B5, bytes(46))
    run(("nft", "flush", "ruleset"), namespace=bridge.host)
    bridge.send([poison])
    assert bridge.where("02:00:00:00:00:66") == "web.0"
    run(("bridge", "fdb", "flush", "dev", "web.0", "dynamic"), namespace=bridge.host, check=False)
    bridge.lab.ip(bridge.host, "link set web.0 type bridge_slave fdb_flush learning off locked on")
    assert not any(ports for _, ports in bridge.send([poison]))
