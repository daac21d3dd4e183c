"""Which rules meet a frame with a VLAN tag, by walk, sweep and doctor; tests/vm asks a kernel the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.kernel_parameters import VLAN_TAGGED
from bascule.model.links import Bridge, BridgePort, Tap, Vlan
from bascule.model.state import Address, HostState, Link, LinkFacts, PortVlans, Route
from bascule.model.values import IfName, Mac, Vid
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.lines import Base, RuleChain, Rules
from bascule.topology.trace.walk import Walks
from bascule.verify.doctor.finding import DoctorFacts
from bascule.verify.doctor.firewall import bridge_filter, traps

CALLS = {"net/bridge/bridge-nf-call-iptables": "1"}
CLOSED = CALLS | {VLAN_TAGGED: "1"}
ACCESS = (PortVlans(first=7, last=7, pvid=True, untagged=True),)
TRUNK = (PortVlans(first=1, last=1, pvid=True, untagged=True), PortVlans(first=5, last=9))
HOOKS = ("prerouting", "forward", "postrouting")
OTHER = (PortVlans(first=30, last=30, pvid=True, untagged=True),)


def network(a: tuple[PortVlans, ...], b: tuple[PortVlans, ...], hook: str, sysctls: dict[str, str]) -> HostNetwork:
    """Two guests at a bridge that knows VLANs, and a chain of IPv4 that drops everything."""
    own = Link(name=IfName("br0"), options=Bridge(vlan_filtering=1), up=True, mac=Mac("02:00:00:00:01:00"), mtu=1500)
    facts = LinkFacts(index=2, carrier=True)
    ports = [
        Link(name=IfName(f"p{name}"), options=Tap(), up=True, master=own.name, port=BridgePort(), vlans=vlans, mtu=1500,
             facts=facts)
        for name, vlans in (("a", a), ("b", b))
    ]  # fmt: skip
    base = Base(type="filter", hook=hook, priority=0, policy="drop")
    chain = RuleChain(family="ip", table="filter", name=hook.upper(), base=base)
    return HostNetwork(state=HostState.of([own, *ports]), rules=Rules({chain.key: chain}), sysctls=sysctls)


def end(name: str, number: int, vlan: int) -> WireEnd:
    own = ((0x0A090000 | number, 4, 24),)
    return WireEnd(name=name, port=f"p{name}", mac=0x020000000000 | number, addresses=own, vlan=vlan)


def first_packet(given: HostNetwork, vlans: tuple[int, int], traffic: Traffic) -> tuple[Certainty, str]:
    """Whether it arrives, by the walk, and the words of its stations; the sweep says the same of the exchange."""
    a, b = ends = [end(name, number, vlan) for name, number, vlan in zip("ab", (11, 12), vlans, strict=True)]
    answer = Walks(given, ends).ask(a, b, b.addresses[0][0], 4, traffic)
    if traffic.vlan is None:
        assert Sweep(given, ends, [traffic]).answer(a, b, 4, b.addresses[0][0], traffic) == exchange_of(answer)
    leg = next(one for one in answer.legs if one.name == "new")
    return leg.delivered, "; ".join(stage.words for stage in leg.stages)


@pytest.mark.parametrize(
    ("ports", "vlans", "hook", "sysctls", "arrives"),
    [
        ((ACCESS, ACCESS), (0, 0), "forward", CALLS, False),
        ((ACCESS, ACCESS), (0, 0), "forward", {}, True),
        *(((ACCESS, TRUNK), (0, 7), hook, CALLS, hook != "prerouting") for hook in HOOKS),
        *(((TRUNK, ACCESS), (7, 0), hook, CALLS, True) for hook in HOOKS),
        *(((TRUNK, TRUNK), (7, 7), hook, CALLS, True) for hook in HOOKS),
        *((ports, vlans, "forward", CLOSED, False) for ports, vlans in (
            ((ACCESS, TRUNK), (0, 7)), ((TRUNK, ACCESS), (7, 0)), ((TRUNK, TRUNK), (7, 7)))),
    ],
)  # fmt: skip
def test_rules_of_ip_meet_what_has_no_tag_there(
    ports: tuple[tuple[PortVlans, ...], tuple[PortVlans, ...]],
    vlans: tuple[int, int],
    hook: str,
    sysctls: dict[str, str],
    arrives: bool,
) -> None:
    found, words = first_packet(network(*ports, hook, sysctls), vlans, Traffic(protocol="udp", port=80))
    assert found is (Certainty.YES if arrives else Certainty.NO), words
    assert ("does not meet the IP chains" in words) is (bool(sysctls) and max(vlans) > 0 and sysctls == CALLS)


def test_a_tag_for_which_nobody_has_a_link_is_no_yes() -> None:
    found, words = first_packet(network(ACCESS, TRUNK, "forward", {}), (0, 0), Traffic(protocol="udp", port=80))
    assert (found, "with the tag of VLAN 7" in words) == (Certainty.PERHAPS, True)


def test_a_priority_tag_passes_by_the_rules_of_access_ports_as_well() -> None:
    given, tagged = network(ACCESS, ACCESS, "forward", CALLS), Traffic(protocol="udp", port=80, vlan=0)
    assert first_packet(given, (0, 0), tagged)[0] is Certainty.YES
    assert first_packet(replace(given, sysctls=CLOSED), (0, 0), tagged)[0] is Certainty.NO


@pytest.mark.parametrize(
    ("own", "above", "result"),
    [
        (TRUNK, 7, Certainty.YES),
        (ACCESS, 0, Certainty.YES),
        (TRUNK, 0, Certainty.NO),  # its frames come up with a tag for which the host has no link
        (OTHER, 0, Certainty.NO),
        (OTHER, 7, Certainty.NO),
    ],
)
def test_the_host_hears_and_speaks_by_the_link_of_its_vlan(
    own: tuple[PortVlans, ...], above: int, result: Certainty
) -> None:
    """A guest at an access port and the host, each asking the other; rp_filter looks at the VLAN's link."""
    given = network(ACCESS, ACCESS, "forward", {"net/ipv4/conf/all/rp_filter": "1"})
    address, guest = (Address(ip="10.9.0.1/24"),), end("a", 11, 0)
    bridge = replace(given.state.links[IfName("br0")], vlans=own, addresses=() if above else address)
    links = [*given.state.links.values(), bridge]
    if above:
        links.append(
            Link(name=IfName("br0.7"), options=Vlan(id=Vid(7)), parent=bridge.name, up=True, mac=bridge.mac, mtu=1500,
                 addresses=address)
        )  # fmt: skip
    route = Route(dst="10.9.0.0/24", dev=IfName("br0.7" if above else "br0"))
    state = replace(HostState.of(links), routes=(route,))
    walks, traffic = Walks(replace(given, state=state), [guest]), Traffic(protocol="udp", port=80)
    for source, target, number in ((guest, None, 0x0A090001), (None, guest, 0x0A09000B)):
        answer = walks.ask(source, target, number, 4, traffic)
        assert answer.result is result, answer.blockers
        swept = Sweep(walks.network, [guest], [traffic]).answer(source, target, 4, number, traffic)
        assert swept == exchange_of(answer)


@pytest.mark.parametrize(
    ("ports", "sysctls", "traps_found", "filtered"),
    [
        ((ACCESS, ACCESS), CALLS, ["vlan-0"], "between its ports are dropped"),
        ((ACCESS, ACCESS), CLOSED, [], "between its ports are dropped"),
        ((ACCESS, TRUNK), CALLS, ["vlan-tagged"], ""),
        ((ACCESS, TRUNK), CLOSED, [], "between its ports are dropped"),
        ((TRUNK, TRUNK), {}, [], ""),
        ((ACCESS, OTHER), CALLS, [], ""),
    ],
)
def test_the_doctor_says_whom_the_rules_do_not_guard(
    ports: tuple[tuple[PortVlans, ...], tuple[PortVlans, ...]],
    sysctls: dict[str, str],
    traps_found: list[str],
    filtered: str,
) -> None:
    given = network(*ports, "forward", sysctls)
    facts = DoctorFacts(state=given.state, network=given)
    found = list(traps.look(facts))
    assert [one.id for one in found] == traps_found
    if "vlan-tagged" in traps_found:
        assert "from pa to pb; pb to pa" in found[0].text
        assert "policy DROP in chain FORWARD" in " ".join(found[0].evidence)
        assert found[0].fix.startswith("sysctl -w net.bridge.bridge-nf-filter-vlan-tagged=1")
    told = " ".join(one.text for one in bridge_filter.look(facts))
    assert filtered in told
    assert filtered or "dropped" not in told, told
