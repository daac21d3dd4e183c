"""NICs on one wire, the loops that they would close, and the cabling contract."""

from __future__ import annotations

import pytest

from bascule.model.host_links import SwitchPort
from bascule.model.links import Bond, Bridge, Physical, Tap, Veth, Vlan
from bascule.model.state import HostState, Link, PortVlans
from bascule.model.values import IfName, Mac
from bascule.survey.cabling import is_port
from bascule.survey.draft import draft, propose
from bascule.survey.neighbours import Port
from bascule.survey.run import wire_gate
from bascule.survey.shared_segment import ActiveProof
from bascule.survey.verdicts import Survey, judge
from bascule.topology.layer2 import CableEnd
from bascule.topology.loops import find_loops, loop_problems
from bascule.topology.wires import Wire, declared_wires
from tests.survey.frames import SWITCH, arp, bpdu, cdp, dhcp_offer, lacp, lldp, pvst, ra
from tests.survey.hearing import SITE, hear, judged, many, site

INTERNAL = many("192.168.1", 5, "192.168.1.1")
INTERNET = many("129.230.7", 5, "129.230.0.1")
MAC2 = "00:25:90:00:00:02"


def wires(*heard) -> list[tuple[tuple[str, ...], str]]:  # type: ignore[no-untyped-def]
    return [(wire.nics, wire.kind) for wire in judge({ear.nic: ear for ear in heard}).wires]


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        ([pvst(30)], [pvst(30, port=6)], "plain"),
        (INTERNAL, INTERNAL[1:], "plain"),
        ([bpdu()], [bpdu(port=6)], "plain"),
        ([pvst(1), pvst(30, tags=(30,))], [pvst(1, port=6), pvst(30, tags=(30,), port=6)], "trunk"),
        ([pvst(30)], [pvst(30, tags=(30,), port=6)], "trunk"),
        ([bpdu(), lldp(pvid=30)], [bpdu(port=6), lldp(port="Gi0/6", pvid=30)], "plain"),
        ([lldp(pvid=30)], [lldp(port="Gi0/6", pvid=30)], "plain"),
        ([lacp(port=5)], [lacp(port=6)], "LAG"),
        ([lldp(lag=3)], [lldp(port="Gi0/6", lag=3)], "LAG"),
        ([arp("10.0.0.9", "10.0.0.1", mac=MAC2)], [], "plain"),
    ],
    ids=[
        "PVST",
        "senders",
        "STP",
        "trunk",
        "access and trunk",
        "STP and PVID",
        "switch and PVID",
        "LACP",
        "LLDP LAG",
        "own MAC",
    ],
)
def test_two_nics_on_one_wire(one: list[bytes], two: list[bytes], kind: str) -> None:
    assert wires(hear("eth1", *one), hear("eth2", *two, own=MAC2)) == [(("eth1", "eth2"), kind)]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([pvst(30)], [pvst(40, port=6)]),
        (INTERNAL, INTERNET),
        ([bpdu(), *INTERNAL], [bpdu(port=6), *INTERNET]),
        ([bpdu(), lldp(pvid=30)], [bpdu(port=6), lldp(port="Gi0/6", pvid=40)]),
        ([bpdu()], [bpdu(root="00:1b:54:00:00:01", bridge="00:1b:54:00:00:02")]),
        ([lacp(key=7)], [lacp(key=8)]),
        ([bpdu(bridge="52:54:00:00:00:01")], [bpdu(bridge="52:54:00:00:00:01", port=6)]),
        ([], []),
    ],
    ids=[
        "PVST",
        "senders",
        "one tree, two subnets",
        "one tree, two VLANs",
        "two trees",
        "two LAGs",
        "nested",
        "silence",
    ],
)
def test_two_nics_on_two_wires(one: list[bytes], two: list[bytes]) -> None:
    assert wires(hear("eth1", *one), hear("eth2", *two)) == []


def test_one_tree_without_a_vlan_makes_no_network_known() -> None:
    """Two access ports of one switch, in two VLANs, one of them quiet: to RSTP they look alike."""
    survey = judged(hear("eth3", *INTERNET, ra(), bpdu()), hear("eth5", bpdu(port=6)))
    assert survey.nics["eth3"].network == "internet"
    assert (survey.nics["eth5"].network, survey.nics["eth5"].wrong) == (None, False)
    (wire,) = survey.wires
    assert wire.presumed
    (sure,) = judged(hear("eth3", *INTERNET, bpdu()), hear("eth5", INTERNET[0], bpdu(port=6))).wires
    assert not sure.presumed


def test_a_frame_that_went_round_proves_the_wire() -> None:
    ears = {nic: hear(nic, arp("10.0.0.9", "10.0.0.1")) for nic in ("eth1", "eth2")}
    (wire,) = judge(ears, proofs=[ActiveProof(CableEnd("eth1", ()), CableEnd("eth2", (30,)))]).wires
    assert wire.nics == ("eth1", "eth2")
    assert wire.reasons[0] == "a frame sent on eth1 came in on eth2 (VLAN 30)"


def link(
    name: str, options: object = None, *, master: str = "", parent: str = "", vlans: tuple[PortVlans, ...] = ()
) -> Link:
    return Link(
        name=IfName(name),
        options=options or Physical(),  # type: ignore[arg-type]
        mac=Mac("00:25:90:00:00:01"),
        master=IfName(master) if master else None,
        parent=IfName(parent) if parent else None,
        vlans=vlans,
    )


def shared(*nics: str, tags: tuple[int, ...] = ()) -> Wire:
    ends = frozenset(CableEnd(nic, tags) for nic in nics)
    return Wire(nics=nics, kind="plain", domains=(ends,), reasons=("both hear the same senders",), proven=(ends,))


BR = Bridge()
STP = Bridge(stp_state=1)
TRUNK = (PortVlans(first=1, last=1, pvid=True, untagged=True), PortVlans(first=30, last=40))
ACCESS = (PortVlans(first=30, last=30, pvid=True, untagged=True),)
LOOPS = {
    "two NICs under one bridge": (
        [link("br3", BR), link("eth4", master="br3"), link("eth5", master="br3")],
        [shared("eth4", "eth5")],
    ),
    "two bridges and a cable between": (
        [
            link("br3", BR),
            link("br4", BR),
            link("eth4", master="br3"),
            link("eth5", master="br4"),
            link("v3", Veth(), master="br3", parent="v4"),
            link("v4", Veth(), master="br4", parent="v3"),
        ],
        [shared("eth4", "eth5")],
    ),
    "two bridges on two wires": (
        [
            link("br3", BR),
            link("br4", BR),
            link("eth1", master="br3"),
            link("eth2", master="br3"),
            link("eth3", master="br4"),
            link("eth4", master="br4"),
        ],
        [shared("eth1", "eth3"), shared("eth2", "eth4")],
    ),
    "one VLAN of two trunks": (
        [
            link("br30", BR),
            link("eth4"),
            link("eth5"),
            link("eth4.30", Vlan(id=30), master="br30", parent="eth4"),
            link("eth5.30", Vlan(id=30), master="br30", parent="eth5"),
        ],
        [shared("eth4", "eth5", tags=(30,))],
    ),
    "an access port and a tagged one": (
        [
            link("br30", BR),
            link("eth4"),
            link("eth5", master="br30"),
            link("eth4.30", Vlan(id=30), master="br30", parent="eth4"),
        ],
        [
            Wire(
                nics=("eth4", "eth5"),
                kind="trunk",
                domains=(frozenset({CableEnd("eth4", (30,)), CableEnd("eth5", ())}),),
                reasons=("x",),
            )
        ],
    ),
    "a VLAN-aware bridge": (
        [
            link("br0", Bridge(vlan_filtering=1)),
            link("eth4", master="br0", vlans=TRUNK),
            link("eth5", master="br0", vlans=ACCESS),
        ],
        [
            Wire(
                nics=("eth4", "eth5"),
                kind="trunk",
                domains=(frozenset({CableEnd("eth4", (30,)), CableEnd("eth5", ())}),),
                reasons=("x",),
            )
        ],
    ),
    "a bond and a third NIC": (
        [
            link("br3", BR),
            link("bond0", Bond(), master="br3"),
            link("eth4", master="bond0"),
            link("eth5", master="bond0"),
            link("eth6", master="br3"),
        ],
        [shared("eth5", "eth6")],
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_foreseen_and_drawn(name: str) -> None:
    links, on = LOOPS[name]
    (problem,) = loop_problems(HostState.of(links), on)
    assert problem.code == "LOOP"
    assert "(and round again)" in problem.message
    for nic in on[0].nics:
        if "bond" not in name:
            assert nic in problem.message


NO_LOOPS = {
    "the spanning tree is on": (
        [link("br3", STP), link("eth4", master="br3"), link("eth5", master="br3")],
        [shared("eth4", "eth5")],
    ),
    "a bond": (
        [
            link("br3", BR),
            link("bond0", Bond(), master="br3"),
            link("eth4", master="bond0"),
            link("eth5", master="bond0"),
        ],
        [shared("eth4", "eth5")],
    ),
    "two bridges that nothing joins": (
        [link("br3", BR), link("br4", BR), link("eth4", master="br3"), link("eth5", master="br4")],
        [shared("eth4", "eth5")],
    ),
    "two wires": ([link("br3", BR), link("eth4", master="br3"), link("eth5", master="br3")], []),
    "different VLANs of two trunks": (
        [
            link("br30", BR),
            link("eth4"),
            link("eth5"),
            link("eth4.30", Vlan(id=30), master="br30", parent="eth4"),
            link("eth5.40", Vlan(id=40), master="br30", parent="eth5"),
        ],
        [shared("eth4", "eth5", tags=(30,)), shared("eth4", "eth5", tags=(40,))],
    ),
    "a VLAN that the port does not let in": (
        [
            link("br0", Bridge(vlan_filtering=1)),
            link("eth4", master="br0", vlans=ACCESS),
            link("eth5", master="br0", vlans=ACCESS),
        ],
        [shared("eth4", "eth5", tags=(50,))],
    ),
    "the host's own NIC beside the bridge": (
        [link("br3", BR), link("eth4", master="br3"), link("eth2"), link("vnet0", Tap(), master="br3")],
        [shared("eth2", "eth4")],
    ),
}


@pytest.mark.parametrize("name", NO_LOOPS)
def test_what_is_no_loop(name: str) -> None:
    links, on = NO_LOOPS[name]
    assert find_loops(HostState.of(links), on) == ()


def test_a_loop_over_a_wire_that_is_presumed_says_how_to_prove_it() -> None:
    survey = judge({"eth4": hear("eth4", bpdu()), "eth5": hear("eth5", bpdu(port=6))})
    (problem,) = loop_problems(HostState.of(LOOPS["two NICs under one bridge"][0]), survey.wires)
    assert "eth4 and eth5 may be on one wire" in problem.message
    assert "'bascule survey --active'" in str(problem.hint)


def test_a_loop_that_is_there_already_does_not_stop_other_changes() -> None:
    links, on = LOOPS["two NICs under one bridge"]
    state = HostState.of(links)
    assert loop_problems(state, on, before=state) == ()
    assert loop_problems(state, on, before=HostState.of([link("eth4"), link("eth5")]))


def test_the_file_knows_the_wire_under_vlan_bridges() -> None:
    read, host = site(
        "site: t\nnetworks: {lab: {subnet: 10.30.0.0/24, vlan: 30}, a: {}, b: {}}\n"
        "hosts: {h: {nics: {eth4: {network: a}, eth5: {network: b}},"
        " bridges: {br1: {uplink: eth4, vlan: 30}, br2: {uplink: eth5, vlan: 30}}}}\n"
    )
    (wire,) = declared_wires(read, host)
    assert wire.domains == (frozenset({CableEnd("eth4", (30,)), CableEnd("eth5", (30,))}),)


def test_the_file_itself_knows_wires() -> None:
    _, host = (read := site())
    (wire,) = declared_wires(*read)
    assert wire.nics == ("eth2", "eth5")
    assert host.name == "h"


@pytest.mark.parametrize(
    ("declared", "heard"),
    [
        ("Gi0/5", "GigabitEthernet0/5"),
        ("gi 0/5", "Gi0/5"),
        ("TenGigE0/0/1", "Te0/0/1"),
        ("Eth1/5", "Ethernet1/5"),
        ("xe-0/0/5", "xe-0/0/5"),
        ("5", "5"),
    ],
)
def test_a_port_may_be_written_short(declared: str, heard: str) -> None:
    assert is_port(SwitchPort(name="SW1", port=declared), Port(name="sw1.example.net(FOC1)", port=heard))
    assert is_port(SwitchPort(name="sw1", port=declared), Port(name="sw1", port="00:1b:54:aa:bb:05", port_text=heard))
    assert not is_port(SwitchPort(name="sw2", port=declared), Port(name="sw1", port=heard))
    assert not is_port(SwitchPort(name="sw1", port=declared + "1"), Port(name="sw1", port=heard))


def survey_of(two: list[bytes], three: list[bytes]) -> Survey:
    return judged(hear("eth2", *INTERNAL, *two), hear("eth3", ra(), *three))


@pytest.mark.parametrize(
    ("two", "three", "status", "words"),
    [
        ([lldp(port="Gi0/2", pvid=None)], [], "right", "sw1 Gi0/2, as declared"),
        ([], [], "unknown", "no switch names its port here"),
        (
            [lldp(port="Gi0/3")],
            [lldp(port="Gi0/2")],
            "swapped",
            "swapped with eth3: eth2 is in sw1 Gi0/3, eth3 in sw1 Gi0/2",
        ),
        ([lldp(port="Gi0/3")], [], "swapped", "where eth3 belongs"),
        ([lldp(port="Gi0/9")], [], "wrong port", "in sw1 Gi0/9; sw1 Gi0/2 is declared"),
        ([lldp("sw7", "Gi0/2")], [], "wrong switch", "in sw7 Gi0/2; sw1 Gi0/2 is declared"),
        ([bpdu()], [], "unknown", "no switch names its port here"),
    ],
)
def test_the_cabling_contract(two: list[bytes], three: list[bytes], status: str, words: str) -> None:
    verdict = survey_of(two, three).nics["eth2"]
    assert verdict.cabling is not None
    assert verdict.cabling.status == status
    assert words in verdict.cabling.words
    assert verdict.contradicted == (status not in ("right", "unknown"))


def test_the_right_port_in_the_wrong_vlan() -> None:
    verdict = judged(hear("eth2", *INTERNET, ra(), cdp("sw1", "Gi0/2", native=None))).nics["eth2"]
    assert verdict.cabling is not None
    assert verdict.cabling.status == "wrong VLAN"
    assert "carries internet instead of internal" in verdict.cabling.words


def test_the_right_port_whose_vlan_only_the_spanning_tree_tells() -> None:
    text = SITE.replace("{network: storage}", "{network: storage, switch: {name: sw1, port: Gi0/4}}")
    verdict = judged(hear("eth4", pvst(40), lldp(port="Gi0/4", pvid=None)), text=text).nics["eth4"]
    assert verdict.cabling is not None
    assert verdict.cabling.status == "wrong VLAN"
    assert verdict.cabling.words.endswith("in another VLAN: declared storage, but hears PVST 40")


def test_apply_is_refused_on_a_wrong_wire_and_told_what_is_unsure() -> None:
    survey = judged(hear("eth2", *INTERNET, ra()), hear("eth3", ra()), hear("eth5"))
    said = wire_gate(survey)
    assert [problem.code for problem in said.problems] == ["WRONG-WIRE"]
    assert "declared internal, but hears internet" in said.problems[0].message
    assert said.problems[0].place is not None
    assert said.remarks == ("eth5: cannot tell whether it is on internal: nothing was heard in 30 s",)
    swapped = wire_gate(
        judged(hear("eth2", lldp(port="Gi0/3", pvid=None)), hear("eth3", lldp(port="Gi0/2", pvid=None)))
    )
    assert [problem.code for problem in swapped.problems] == ["WRONG-CABLE", "WRONG-CABLE"]


def test_without_a_site_the_draft_is_a_site_file() -> None:
    survey = judge(
        {
            "eth2": hear("eth2", *INTERNAL, dhcp_offer(), lldp('sw 1: "core"', "Gi0/2", pvid=None)),
            "eth3": hear("eth3", *INTERNET, ra(), *many("10.30.0", 4, "10.30.0.1", tags=(30,))),
            "eth4": hear("eth4", *INTERNAL[1:]),
            "eth5": hear("eth5"),
        }
    )
    read, host = site(draft(survey, "vmserver"))
    assert list(host.nics) == ["eth2", "eth3", "eth4", "eth5"]
    by_nic = {str(name): read.networks[nic.network] if nic.network else None for name, nic in host.nics.items()}
    internal, internet = by_nic["eth2"], by_nic["eth3"]
    assert internal is not None
    assert internet is not None
    assert [str(net) for net in internal.subnets] == ["192.168.1.0/24"]
    assert [str(ip) for ip in internal.gateways] == ["192.168.1.1"]
    assert by_nic["eth4"] is internal
    assert by_nic["eth5"] is None
    assert "2001:db8:1::/64" in [str(net) for net in internet.subnets]
    assert sum(network.vlan == 30 for network in read.networks.values()) == 1
    assert host.nics[IfName("eth2")].switch == SwitchPort(name='sw 1: "core"', port="Gi0/2")


def test_a_vlans_name_becomes_the_networks() -> None:
    (proposal,) = propose(judge({"eth2": hear("eth2", lldp(pvid=30), *many("10.30.0", 4, "10.30.0.1"))}))
    assert (proposal.name, proposal.vlan) == ("lab", None)


def test_an_arp_requests_reach_widens_the_guess() -> None:
    (proposal,) = propose(judge({"eth2": hear("eth2", *INTERNET)}))
    assert [str(net) for net in proposal.subnets] == ["129.230.0.0/21"]
    assert SWITCH
