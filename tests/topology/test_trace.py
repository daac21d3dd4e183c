"""What the graph proves of the way between two endpoints: reached, ended with the reason, or not known."""

from __future__ import annotations

import pytest

from bascule.model.links import Bridge, Physical, Tap
from bascule.model.site import PlugKind, Site
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Service
from bascule.site import parse
from bascule.topology.elements import Trace
from bascule.topology.graph import Topology
from bascule.topology.live import trace_as_it_is
from bascule.topology.trace.declared_way import trace
from tests.draw import sites

NETWORKS = """
networks:
  a: {subnet: 10.1.0.0/24, gateway: 10.1.0.1}
  b: {subnet: 10.2.0.0/24, gateway: 10.2.0.1}
  tagged: {subnet: 10.3.0.0/24, vlan: 30}
  shared: {subnet: [10.4.0.0/24, 10.5.0.0/24]}
  plain: {}
"""


def site(text: str) -> Site:
    return parse(f"site: t\n{NETWORKS}{text}".encode(), "site.yaml")


def way(text: str, source: str, target: str) -> Trace:
    return trace(Topology.of(site(text)), source, target)


def machines(*entries: str) -> str:
    return "machines:\n" + "".join(f"  {entry}\n" for entry in entries)


GATE = "gate: {nics: [{network: a, address: 10.1.0.1/24}, {network: b, address: 10.2.0.1/24}]%s}"
ONE = "one: {nics: [{network: a, address: 10.1.0.5/24}]}"
TWO = "two: {nics: [{network: b, address: 10.2.0.5/24}]}"
GUESTS = """
hosts:
  h:
    nics: {eth0: {network: a}, eth1: {network: tagged}, eth2: {}, eth3: {network: a, address: 10.1.0.9/24}}
    bridges:
      br0: {uplink: eth0}
      trunk: {uplink: eth1, vlan_aware: true}
      br2: {uplink: eth2}
      lonely: {uplink: none}
    virtual_networks:
      nat: {mode: nat, subnet: 10.8.0.0/24, forwards: [{host: 2222, to: hidden, service: tcp/22}]}
      routed: {mode: routed, subnet: 10.9.0.0/24}
      isolated: {mode: isolated, subnet: 10.10.0.0/24}
      cell: {mode: isolated, subnet: 10.11.0.0/24}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.1.0.20/24}]}
  access: {host: h, nics: [{bridge: trunk, vlan: 30, address: 10.3.0.20/24}]}
  lost: {host: h, nics: [{bridge: br2, address: 10.1.0.30/24}]}
  alone: {host: h, nics: [{bridge: lonely, address: 10.1.0.40/24}]}
  mute: {host: h, nics: [{bridge: br0}]}
  hidden: {host: h, nics: [{network: nat, address: 10.8.0.5/24}], serves: [tcp/22]}
  open: {host: h, nics: [{network: routed, address: 10.9.0.5/24}]}
  shut: {host: h, nics: [{network: isolated, address: 10.10.0.5/24}]}
  shut2: {host: h, nics: [{network: isolated, address: 10.10.0.6/24}]}
  inmate: {host: h, nics: [{network: cell, address: 10.11.0.5/24}]}
  shares: {host: h, nics: [{direct: eth3, address: 10.1.0.50/24}]}
  shares2: {host: h, nics: [{direct: eth3, address: 10.1.0.51/24}]}
"""
PEERS = machines(
    ONE,
    "inside: {nics: [{network: tagged, address: 10.3.0.5/24}]}",
    "router: {nics: [{network: a, address: 10.1.0.60/24, routes: [{to: 10.9.0.0/24, via: 10.1.0.9}]}]}",
)


@pytest.mark.parametrize(
    ("source", "target", "end"),
    [
        ("one", "web", "one reaches web"),
        ("web", "one", "web reaches one"),
        ("access", "inside", "access reaches inside"),
        ("shares", "shares2", "shares reaches shares2"),
        ("shares", "one", "shares reaches one"),
        ("shut", "shut2", "shut reaches shut2"),
        ("h", "hidden", "h reaches hidden"),
        ("hidden", "one", "hidden reaches one, seen as h"),
        ("one", "hidden", "one reaches hidden by tcp/22, through port 2222 of h"),
        ("router", "open", "router reaches open"),
        ("open", "router", "open reaches router"),
    ],
)
def test_what_is_proven_is_reached(source: str, target: str, end: str) -> None:
    found = way(GUESTS + PEERS, source, target)
    assert (found.reached, found.end) == (True, end)


@pytest.mark.parametrize(
    ("source", "target", "end"),
    [
        # a bridge without a wire, an isolated network, macvtap
        ("one", "alone", "ends at one: there is no path from one to alone"),
        ("alone", "one", "ends at alone: there is no path from alone to one"),
        ("shut", "one", "ends at isolated: network isolated is isolated: nothing leaves it"),
        ("shut", "inmate", "ends at isolated: network isolated is isolated: nothing leaves it"),
        ("h", "shares", "ends at h: h and shares share eth3 by macvtap, which passes nothing between them"),
        ("shares", "h", "ends at shares: shares and h share eth3 by macvtap, which passes nothing between them"),
        ("one", "shut", "ends at one: network isolated is isolated: nothing enters it"),
        # another VLAN; a routed network to which there is no way, or no way back
        ("web", "access", "ends at gate: gate has no gateway to 10.3.0.20"),
        ("one", "open", "ends at gate: gate has no gateway to 10.9.0.5"),
        ("open", "one", "open is heard by one, but the answer ends at gate: gate has no gateway to 10.9.0.5"),
    ],
)
def test_what_cannot_be_says_which_hop_is_missing(source: str, target: str, end: str) -> None:
    gate = "  gate: {nics: [{network: a, address: 10.1.0.1/24}]}\n"
    found = way(GUESTS + PEERS + gate, source, target)
    assert found.reached is False, found
    assert found.end.startswith(end), found.end


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("one", "lost", "the file does not say what eth2 of h is wired to"),
        ("one", "mute", "there is a layer-2 path from one to mute, but the file gives mute no address"),
        ("one", "open", "the file does not say who has 10.1.0.1"),
    ],
)
def test_what_the_file_does_not_say_is_unknown(source: str, target: str, words: str) -> None:
    found = way(GUESTS + PEERS, source, target)
    assert found.reached is None, found
    assert found.end.startswith("unknown: ")
    assert words in found.end


def test_a_port_that_leads_in_is_asked_for_by_its_service() -> None:
    topology = Topology.of(site(GUESTS + PEERS))
    found = trace(topology, "one", "hidden", Service("tcp", 80, 80))
    assert found.reached is False
    assert found.end.endswith("nothing gets in through masquerade, and no port is forwarded to hidden for tcp/80")


def test_two_subnets_on_one_wire_without_a_gateway_do_not_reach_each_other() -> None:
    peers = machines(
        "low: {nics: [{network: shared, address: 10.4.0.5/24}]}",
        "high: {nics: [{network: shared, address: 10.5.0.5/24}]}",
    )
    found = way(peers, "low", "high")
    assert found.reached is False
    assert found.end == (
        "ends at high: 10.5.0.5 is not in 10.4.0.0/24, and low names no gateway to it, though both are on one wire"
    )


@pytest.mark.parametrize(
    ("rule", "reached", "words"),
    [
        (", masquerade: {from: [one], to: b}", True, "one reaches two, seen as gate"),
        (", masquerade: {from: [a], to: b}", True, "one reaches two, seen as gate"),
        (", masquerade: {from: [two], to: a}", False, "ends at gate: it does not forward what comes from one to b"),
        ("", None, "unknown: the file does not say whether gate forwards"),
        (", forwards: none", False, "ends at gate: it does not forward what comes from one to b"),
        (", forwards: all", True, "one reaches two"),
        (", forwards: [{from: a, to: b, service: tcp/443}]", True, "one reaches two"),
        (", forwards: [{from: one, to: two}]", True, "one reaches two"),
        (", forwards: [{from: two, to: one}]", False, "ends at gate: it does not forward what comes from one to b"),
    ],
)
def test_a_machine_forwards_what_it_is_said_to(rule: str, reached: bool | None, words: str) -> None:
    found = way(machines(GATE % rule, ONE, TWO), "one", "two")
    assert (found.reached, found.end) == (reached, words)
    assert found.elements[-1] == ("machine", "two" if reached else "gate")


def test_no_gateway_on_one_side() -> None:
    """The masquerading machine answers for the inside; without a gateway nobody inside finds it."""
    text = machines(
        "gate: {nics: [{network: shared, address: 10.4.0.1/24}, {network: b, address: 10.2.0.1/24}],"
        " masquerade: {from: [near], to: b}}",
        "near: {nics: [{network: shared, address: 10.4.0.5/24}]}",
        "routed: {nics: [{network: shared, address: 10.4.0.6/24, routes: [{to: 10.2.0.0/24, via: 10.4.0.1}]}]}",
        TWO,
    )
    assert way(text, "near", "two").end == "ends at near: near has no gateway to 10.2.0.5"
    again = way(text.replace("[near]", "[routed]"), "routed", "two")
    assert (again.reached, again.end) == (True, "routed reaches two, seen as gate")


def test_a_tagged_network_is_not_heard_untagged() -> None:
    text = """
hosts: {h: {nics: {eth0: {network: tagged}}, bridges: {br0: {uplink: eth0, vlan: 30}, br1: {uplink: none}}}}
guests:
  right: {host: h, nics: [{bridge: br0, address: 10.3.0.20/24}]}
  wrong: {host: h, nics: [{bridge: br1, address: 10.3.0.21/24}]}
machines: {peer: {nics: [{network: tagged, address: 10.3.0.5/24}]}}
"""
    assert way(text, "right", "peer").reached is True
    elements = way(text, "right", "peer").elements
    assert [one[-1] for one in elements] == ["right", "right.0", "br0", "eth0.30", "eth0", "tagged", "peer"]
    assert way(text, "wrong", "peer").reached is False


def test_on_a_host_as_it_is_the_first_missing_piece_is_named() -> None:
    read = site(
        "hosts: {h: {nics: {eth0: {network: a}}, bridges: {br0: {uplink: eth0}}}}\n"
        "guests: {web: {host: h, nics: [{bridge: br0, address: 10.1.0.20/24}]}}\n" + machines(ONE)
    )

    def links(**rest: object) -> HostState:
        facts = LinkFacts(carrier=True)
        tap = {"master": IfName("br0"), "up": True, "facts": facts} | rest
        return HostState.of(
            [
                Link(name=IfName("eth0"), options=Physical(), master=IfName("br0"), up=True, facts=facts),
                Link(name=IfName("br0"), options=Bridge(), up=True, facts=facts),
                Link(name=IfName("br9"), options=Bridge(), up=True, addresses=(Address(ip="10.99.0.1/24"),)),
                Link(name=IfName("web.0"), options=Tap(), **tap),  # type: ignore[arg-type]
            ]
        )

    def end(state: HostState) -> str:
        return trace_as_it_is(read, {"h": state}, "one", "web").end

    assert end(links()) == "one reaches web"
    assert end(links(master=IfName("br9"))) == "ends at br0: web.0 is not wired to br0"
    assert end(links(up=False)) == "ends at br0: web.0 is down"
    assert end(links(facts=LinkFacts(carrier=False))) == "ends at br0: web.0 has no carrier; its guest does not run"


def test_a_frame_that_leaves_untagged_where_the_network_is_tagged_says_so() -> None:
    made = sites.site(
        "t",
        [sites.network("lab", "10.3.0.0/24", 30)],
        [sites.host("h", sites.nic("eth0", "lab"))],
        [sites.guest("shares", "h", sites.plug("eth0", "10.3.0.20/24", PlugKind.DIRECT))],
        [sites.machine("peer", ("lab", "10.3.0.5/24"))],
    )
    found = trace(Topology.of(made), "shares", "peer")
    assert found.reached is False
    assert found.end == "ends at shares: shares leaves eth0 untagged, where lab arrives with VLAN 30"
