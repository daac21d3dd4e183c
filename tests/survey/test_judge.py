from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from msgspec.structs import replace

from bascule.model.site import Network, Site
from bascule.model.values import Vid
from bascule.survey.evidence import Collector
from bascule.survey.verdicts import judge
from tests.survey.frames import (
    HSRP,
    IP,
    UDP,
    VRRP,
    Ether,
    arp,
    bpdu,
    cdp,
    dhcp_offer,
    ip_frame,
    lacp,
    lldp,
    pvst,
    ra,
)
from tests.survey.hearing import SITE, hear, judged, many, one

INTERNAL = many("192.168.1", 5, "192.168.1.1")


def test_senders_and_their_gateway_name_the_network() -> None:
    verdict = one(hear("eth2", *INTERNAL))
    assert (verdict.network, verdict.words, verdict.wrong) == ("internal", "likely", False)
    more = one(hear("eth2", *INTERNAL, arp("192.168.1.1", "192.168.1.10"), dhcp_offer()))
    assert (more.network, more.words) == ("internal", "certain")
    assert more.confidence > verdict.confidence


@pytest.mark.parametrize(
    ("frames", "network"),
    [
        ([dhcp_offer()], "internal"),
        ([ra()], "internet"),
        (
            [ip_frame(UDP(sport=1985, dport=1985) / HSRP(virtualIP="129.230.0.1"), src="129.230.0.2", dst="224.0.0.2")],
            "internet",
        ),
        (
            [ip_frame(VRRP(vrid=1, addrlist=["192.168.1.1"]), src="192.168.1.2", dst="224.0.0.18", proto=112)],
            "internal",
        ),
        ([pvst(30)], "storage"),
        ([lldp(pvid=30)], "storage"),
        ([cdp(native=50)], "backup"),
        (many("10.30.0", 3, "10.30.0.1", tags=(30,)), "storage"),
        ([arp("10.50.0.9", "10.50.0.8", tags=(50,))], "backup"),
    ],
    ids=["DHCP", "RA", "HSRP", "VRRP", "PVST", "LLDP PVID", "CDP native", "tag and senders", "tag and one sender"],
)
def test_each_kind_of_evidence_alone_is_enough(frames: list[bytes], network: str) -> None:
    assert one(hear("eth9", *frames)).network == network


@pytest.mark.parametrize(
    ("heard", "why"),
    [
        (hear("eth2", arp("192.168.1.50", "192.168.1.60")), "the evidence is thin: 1 sender in 192.168.1.0/24"),
        (hear("eth2", *INTERNAL[:2], times=9), "the evidence is thin: 2 senders in 192.168.1.0/24"),
        (hear("eth2"), "nothing was heard in 30 s"),
        (replace(hear("eth2"), seconds=0.52), "nothing was heard in 0.5 s"),
        (hear("eth2", carrier=False), "no cable: the NIC has no carrier"),
        (hear("eth2", bpdu()), "nothing was heard that names a network"),
        (
            hear("eth2", *INTERNAL, *many("129.230.7", 5, "129.230.0.1")),
            "two networks fit: internal (5 senders in 192.168.1.0/24), internet (5 senders in 129.230.0.0/16)",
        ),
        (hear("eth2", *many("172.16.9", 4, "172.16.9.1")), "hears 172.16.9.0/24, which the file does not declare"),
    ],
    ids=[
        "thin",
        "two ask for the gateway",
        "silence",
        "short silence",
        "no cable",
        "no network",
        "two fit",
        "undeclared",
    ],
)
def test_it_says_when_it_cannot_tell(heard, why: str) -> None:  # type: ignore[no-untyped-def]
    verdict = one(heard)
    assert (verdict.network, verdict.words, verdict.why) == (None, "cannot tell", why)


def test_two_networks_with_one_subnet_cannot_be_told_apart_by_it() -> None:
    nets = (IPv4Network("10.0.0.0/24"),)
    twins = {"a": Network(name="a", subnets=nets), "b": Network(name="b", subnets=nets, vlan=Vid(7))}
    heard = hear("eth0", *many("10.0.0", 5, "10.0.0.1"))
    verdict = judge({"eth0": heard}, Site(name="t", networks=twins)).nics["eth0"]
    assert verdict.why == "two networks fit: a (5 senders in 10.0.0.0/24), b (5 senders in 10.0.0.0/24)"
    tagged = hear("eth0", *many("10.0.0", 5, "10.0.0.1", tags=(7,)))
    assert judge({"eth0": tagged}, Site(name="t", networks=twins)).nics["eth0"].network == "b"


def test_the_contradiction_of_the_issue() -> None:
    verdict = one(hear("eth4", pvst(40), *many("10.40.0", 4, "10.40.0.1")))
    assert verdict.wrong
    assert verdict.warnings[0] == "declared storage, but hears PVST 40 and ARP of 10.40.0.0/24"


def test_a_vlan_number_counts_once_however_many_say_it() -> None:
    """Three protocols that know the switch's number are one fact; the addresses are others."""
    wire = [*INTERNAL, dhcp_offer(), pvst(30), lldp(pvid=30), cdp(native=30)]
    verdict = one(hear("eth2", *wire))
    assert (verdict.network, verdict.wrong) == ("internal", False)
    assert "untagged is VLAN 30 here, which the file gives to storage" in verdict.warnings
    storage = one(hear("eth4", pvst(30), lldp(pvid=30), cdp(native=30)))
    (point,) = storage.verdicts[()].best.points  # type: ignore[union-attr]
    assert point.detail == "CDP and LLDP and PVST say that untagged is VLAN 30"
    assert point.frames == 9


def test_what_the_host_says_itself_proves_no_network() -> None:
    """eth2 has an address of internal and hangs on internet's wire, where eth5 hears it ask for its gateway."""
    own = "00:25:90:00:00:02"
    mine = [arp(f"192.168.1.{last}", "192.168.1.1", mac=own) for last in (10, 11, 12)]
    survey = judged(hear("eth2", own=own), hear("eth5", *mine))
    assert survey.nics["eth5"].network is None
    assert survey.wires[0].reasons == ("eth5 hears the host's own frames from eth2",)


def test_one_machine_with_many_addresses_is_one_sender() -> None:
    alone = one(hear("eth2", *(arp(f"192.168.1.{last}", "192.168.1.1") for last in range(50, 60))))
    assert (alone.network, alone.why) == (None, "the evidence is thin: 1 sender in 192.168.1.0/24")


def test_what_the_hosts_own_guests_say_proves_no_network() -> None:
    """They hang on the bridge of eth2 and speak of internal, wherever its cable leads."""
    guests = (
        SITE
        + "    bridges: {br3: {uplink: eth2}}\nguests:\n"
        + "".join(
            f"  g{i}: {{host: h, nics: [{{bridge: br3, mac: '52:54:00:00:01:{i:02x}', address: 192.168.1.{i}/24}}]}}\n"
            for i in range(50, 54)
        )
    )
    said = many("192.168.1", 4, "192.168.1.1", first=50, oui="52:54:00:00")
    assert one(hear("eth3", *said)).network == "internal"
    assert one(hear("eth3", *said), text=guests).network is None


def test_every_line_of_evidence_has_its_frames() -> None:
    tagged = [pvst(30, tags=(30,)), *many("10.30.0", 4, "10.30.0.1", tags=(30,))]
    sure = hear("eth2", *INTERNAL, dhcp_offer(), lldp(port="Gi0/2", pvid=None))
    survey = judged(sure, hear("eth4", *tagged), hear("eth5", INTERNAL[0]))
    lines = [line for nic in survey.nics.values() for line in nic.evidence]
    assert {"wire", "vlan"} <= {line.kind for line in lines}
    assert all(line.frames > 0 for line in lines), [line for line in lines if not line.frames]


def test_another_networks_wire_contradicts() -> None:
    verdict = one(hear("eth5", *many("129.230.7", 5, "129.230.0.1"), ra()))
    assert (verdict.network, verdict.wrong) == ("internet", True)
    assert verdict.warnings[0] == "declared internal, but hears internet (RA states 2001:db8:1::/64)"


def test_thin_evidence_for_another_network_is_no_contradiction() -> None:
    verdict = one(hear("eth5", arp("129.230.7.7", "129.230.0.1"), times=1))
    assert (verdict.network, verdict.wrong) == (None, False)


def test_a_tag_that_is_silent_for_a_while_is_no_contradiction() -> None:
    """Storage is declared with tag 30: other networks may well be on that trunk while storage sleeps."""
    trunk = one(hear("eth4", *INTERNAL, dhcp_offer(), *many("10.50.0", 4, "10.50.0.1", tags=(50,))))
    assert (trunk.network, trunk.wrong) == ("internal", False)
    access = one(hear("eth4", *INTERNAL, dhcp_offer()))
    assert access.wrong, "no tag at all, and certainly another network: an access port"
    thin = one(hear("eth4", *INTERNAL[:3]))
    assert not thin.wrong
    spoken = one(hear("eth4", *INTERNAL, pvst(10), pvst(50, tags=(50,))))
    assert spoken.warnings[0].startswith("declared storage, but hears PVST 10 and internal")
    carried = one(hear("eth4", *INTERNAL, pvst(10), pvst(30, tags=(30,))))
    assert (carried.network, carried.wrong) == ("storage", False)


def test_a_trunk_carries_several_networks() -> None:
    verdict = one(
        hear(
            "eth4",
            *many("10.30.0", 4, "10.30.0.1", tags=(30,)),
            *many("10.50.0", 4, "10.50.0.1", tags=(50,)),
            *INTERNAL,
        )
    )
    assert verdict.network == "storage"
    assert {(name, tags) for name, tags, _ in verdict.networks} == {
        ("internal", ()),
        ("storage", (30,)),
        ("backup", (50,)),
    }
    assert (verdict.vlans, verdict.wrong) == ((30, 50), False)


def test_a_network_that_arrives_otherwise_than_declared_is_said() -> None:
    untagged = one(hear("eth4", *many("10.30.0", 6, "10.30.0.1"), arp("10.30.0.1", "10.30.0.2")))
    assert "storage arrives untagged, the file says tagged 30" in untagged.warnings
    tagged = one(
        hear("eth2", *many("192.168.1", 6, "192.168.1.1", tags=(7,)), arp("192.168.1.1", "192.168.1.9", tags=(7,)))
    )
    assert "internal arrives tagged 7, the file says untagged" in tagged.warnings


def test_two_networks_on_one_wire_are_said_though_one_wins() -> None:
    wire = [
        *many("192.168.1", 9, "192.168.1.1"),
        arp("192.168.1.1", "192.168.1.9"),
        dhcp_offer(),
        *many("129.230.7", 3, "129.230.7.99"),
    ]
    assert any("3 senders of internet on internal" in warning for warning in one(hear("eth2", *wire)).warnings)


def test_ipv6_that_the_file_does_not_declare_does_not_shake_the_verdict() -> None:
    without = one(hear("eth2", *INTERNAL))
    beside = one(hear("eth2", *INTERNAL, ra(prefix="fd00:1::")))
    assert (beside.network, beside.confidence) == (without.network, without.confidence)


def test_ipv6_alone_does_not_contradict_an_ipv4_network() -> None:
    assert not one(hear("eth2", ra(prefix="fd00:1::"))).wrong
    assert one(hear("eth3", ra(prefix="fd00:1::"))).wrong, "internet declares IPv6, and this is another"


def test_evidence_lines_carry_counts() -> None:
    lines = {line.kind: line for line in one(hear("eth2", *INTERNAL, lldp(pvid=None), times=4)).evidence}
    assert lines["lldp"].frames == 4
    assert lines["arp"].frames == 20
    assert lines["arp"].detail.startswith("5 senders in 192.168.1.0/24: 192.168.1.10, ")


def test_native_vlans_that_disagree() -> None:
    verdict = one(hear("eth4", pvst(30), cdp(native=40)))
    assert verdict.native_vlan is None
    assert "the native VLAN is not clear: PVST 30 and CDP 40; the two ends of a trunk disagree" in verdict.warnings
    leaked = one(hear("eth4", pvst(40, tags=(30,))))
    assert any("native VLAN mismatch" in warning for warning in leaked.warnings)


@pytest.mark.parametrize("driver", ["i40e", "ice"])
def test_firmware_that_eats_lldp_is_named_with_the_fix(driver: str) -> None:
    silent = one(hear("eth2", *INTERNAL, driver=driver))
    assert any(driver in warning and "ethtool --set-priv-flags eth2" in warning for warning in silent.warnings)
    assert not one(hear("eth2", *INTERNAL, lldp(port="Gi0/2"), driver=driver)).warnings
    assert not one(hear("eth2", *INTERNAL, driver="igb")).warnings


def test_a_port_that_just_came_up_is_given_time() -> None:
    """The spanning tree keeps a port without portfast closed for 30 s; only what is link-local gets through."""
    collector = Collector("eth2")
    collector.add(bpdu())
    young = one(collector.finish(seconds=30, raised=True))
    assert any("--seconds 60" in warning for warning in young.warnings)
    assert not one(collector.finish(seconds=60, raised=True)).warnings
    assert not one(collector.finish(seconds=30)).warnings


def test_a_switch_that_wants_a_bond_is_told_of() -> None:
    assert any("802.3ad" in warning for warning in one(hear("eth2", *INTERNAL, lacp())).warnings)
    bundled = one(hear("eth2", *INTERNAL, lacp(partner="00:25:90:00:00:02"))).warnings
    assert not any("802.3ad" in warning for warning in bundled)


def test_the_other_nic_of_a_wire_helps_an_unsure_one() -> None:
    sure = hear("eth2", *INTERNAL, dhcp_offer())
    unsure = hear("eth5", INTERNAL[0], pvst(77, port=9))
    alone = one(hear("eth5", INTERNAL[0]))
    helped = judged(sure, unsure).nics["eth5"]
    assert (alone.network, helped.network) == (None, "internal")
    assert any("on one wire with eth2" in line.detail for line in helped.evidence)


def test_without_a_site_nothing_is_judged_but_everything_is_shown() -> None:
    verdict = judge({"eth2": hear("eth2", *INTERNAL, lldp())}).nics["eth2"]
    assert (verdict.network, verdict.verdicts, verdict.native_vlan) == (None, {}, 30)
    assert verdict.port is not None


def test_a_probe_before_an_address_and_link_local_addresses_are_no_senders() -> None:
    mute = [
        arp("0.0.0.0", "192.168.1.9"),
        arp("169.254.3.4", "169.254.3.5"),
        bytes(
            Ether(src="00:16:3e:00:00:01", dst="ff:ff:ff:ff:ff:ff")
            / IP(src="127.0.0.1", dst="224.0.0.1", proto=2)
            / bytes(8)
        ),
    ]
    verdict = one(hear("eth2", *mute))
    assert not verdict.segments[()].senders


@pytest.mark.parametrize("columns", [80, 120])
def test_it_reads_well_at_a_terminals_width(columns: int) -> None:
    from bascule.cli.show.survey import show_survey

    loud = [*INTERNAL, dhcp_offer(), ra(), lldp(port="Gi0/9"), cdp(), pvst(40)]
    loud += many("10.30.0", 4, "10.30.0.1", tags=(30,))
    survey = judged(hear("eth2", *loud), hear("eth3", *loud[2:]), hear("eth4"), hear("eth5", carrier=False))
    text = show_survey(survey, columns=columns, host="h")
    assert max(map(len, text.splitlines())) <= columns
    assert text.isascii()
    for word in ("wrong port", "warning: ", "One wire:", "cannot tell: no cable"):
        assert word in text
