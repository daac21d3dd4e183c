"""Who is the switch: never a phone, an access point, a host, a guest or a nested bridge."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.survey.neighbours import port_words
from bascule.survey.verdicts import NicVerdict
from tests.survey.frames import EDP, FDP, MNDP, SWITCH, UDLD, bpdu, cdp, lacp, lldp, pvst
from tests.survey.hearing import hear, one

GUEST = "52:54:00:28:23:af"
TAP = "fe:54:00:28:23:af"
PHONE = "00:26:0b:11:22:33"
NOT_SWITCHES = {
    "LLDP phone that also bridges": lldp(
        "SEP00260B112233", "port 1", roles=("mac_bridge", "telephone"), src=PHONE, chassis=PHONE
    ),
    "LLDP phone by its name": lldp("SEP00260B112233", "port 1", roles=("mac_bridge",), src=PHONE, chassis=PHONE),
    "LLDP access point": lldp(
        "ap-hall", "wlan0", roles=("mac_bridge", "wlan_access_point"), describes="AP 505", src=PHONE, chassis=PHONE
    ),
    "LLDP host": lldp(
        "desk", "eth0", roles=("station_only",), describes="Ubuntu 24.04 Linux 6.8", src=PHONE, chassis=PHONE
    ),
    "LLDP KVM host with a bridge": lldp(
        "kvm7",
        "eno1",
        roles=("mac_bridge", "router"),
        describes="Debian GNU/Linux 12 Linux 6.1",
        src=PHONE,
        chassis=PHONE,
    ),
    "LLDP ESXi": lldp(
        "esx3", "vmnic2", roles=("mac_bridge",), describes="VMware ESXi 8.0", pvid=None, src=PHONE, chassis=PHONE
    ),
    "LLDP guest": lldp("guest", "ens3", roles=("mac_bridge",), src=GUEST, chassis=GUEST),
    "LLDP without capabilities": lldp("mystery", "1", roles=(), pvid=None, describes="", src=PHONE, chassis=PHONE),
    "CDP phone": cdp("SEP00260B112233", "Port 1", cap=0x490, platform="Cisco IP Phone 8845", src=PHONE),
    "CDP access point": cdp("ap1", "GigabitEthernet0", cap=0x02, platform="cisco AIR-CAP3702I-E-K9", src=PHONE),
    "CDP host": cdp("desk", "eth0", cap=0x10, platform="Linux", src=PHONE),
    "CDP host that forwards": cdp("kvm7", "eno1", cap=0x19, platform="Linux", src=PHONE),
    "nested libvirt bridge": bpdu(bridge=GUEST, src=TAP),
    "nested libvirt bridge by its port": bpdu(src=TAP),
    "MNDP is forwarded by switches": MNDP,
    "LACP names no device": lacp(),
}


@pytest.mark.parametrize("name", NOT_SWITCHES)
def test_it_is_never_taken_for_the_switch(name: str) -> None:
    verdict = one(hear("eth2", NOT_SWITCHES[name]))
    assert verdict.port is None
    assert verdict.evidence, "it is shown all the same"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(NOT_SWITCHES)), min_size=1, max_size=8, unique=True))
def test_nor_are_any_of_them_together(names: list[str]) -> None:
    assert one(hear("eth2", *(NOT_SWITCHES[name] for name in names))).port is None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(NOT_SWITCHES)), max_size=6, unique=True), st.sampled_from(["lldp", "cdp", "both"])
)
def test_and_the_switch_is_found_among_them(names: list[str], speaks: str) -> None:
    switch = {"lldp": [lldp()], "cdp": [cdp("sw1", "Gi0/5")], "both": [lldp(), cdp("sw1.example.net(FOC1)", "Gi0/5")]}[
        speaks
    ]
    verdict = one(hear("eth2", *(NOT_SWITCHES[name] for name in names), *switch, bpdu()))
    assert named(verdict) == ("sw1", "Gi0/5")


def named(verdict: NicVerdict) -> tuple[str, str]:
    assert verdict.port is not None
    return verdict.port.name.split(".")[0], verdict.port.port


@pytest.mark.parametrize(
    ("frame", "name", "port"),
    [
        (lldp(), "sw1", "Gi0/5"),
        (cdp(), "sw1", "GigabitEthernet0/5"),
        (EDP, "ext", "1:5"),
        (FDP, "fdry", "ethernet1/5"),
        (UDLD, "sw1", "Gi0/5"),
        (lldp("leaf1", "swp5", describes="Cumulus Linux version 5.4"), "leaf1", "swp5"),
    ],
    ids=["LLDP", "CDP", "EDP", "FDP", "UDLD", "a Linux that is a switch"],
)
def test_a_switch_is_known_by_any_of_its_words(frame: bytes, name: str, port: str) -> None:
    assert named(one(hear("eth2", frame))) == (name, port)


def test_a_linux_bridge_with_the_spanning_tree_is_a_switch() -> None:
    words = lldp("edge", "swp5", roles=("mac_bridge",), describes="Debian GNU/Linux 12", pvid=None)
    assert one(hear("eth2", words)).port is None
    assert named(one(hear("eth2", words, bpdu(src=SWITCH)))) == ("edge", "swp5")


def test_a_switch_that_only_speaks_the_spanning_tree_has_a_bridge_and_a_port() -> None:
    port = one(hear("eth2", bpdu(port=7))).port
    assert port is not None
    assert (port.name, port.bridge[5:], port.stp_port) == ("", SWITCH, 7)
    assert port.words == f"bridge {SWITCH}, port 7"


def test_two_switches_behind_a_dumb_one_are_not_guessed_at() -> None:
    two = [lldp("sw1", "Gi0/5"), lldp("sw2", "Gi0/9", src=PHONE, chassis=PHONE)]
    verdict = one(hear("eth2", *two))
    assert verdict.port is None
    assert any("several switches are heard (sw1, sw2)" in warning for warning in verdict.warnings)
    assert named(one(hear("eth2", *two, pvst(30)))) == ("sw1", "Gi0/5")


def test_a_hypervisor_that_bridges_beside_the_switch_is_not_it() -> None:
    mac = "0c:c4:7a:00:00:01"
    host = lldp("pve1", "eno1", src=mac, chassis=mac, describes="Debian GNU/Linux 12 Linux 6.5-pve", pvid=None)
    assert named(one(hear("eth2", host, bpdu(bridge=mac, src=mac), lldp("sw1", "Gi0/5")))) == ("sw1", "Gi0/5")


def test_a_switch_that_runs_a_linux_of_its_maker_is_one() -> None:
    words = lldp("USW-Lite-16", "Port 5", describes="USW-Lite-16-PoE, 6.5.59, Linux 3.6.5", pvid=None)
    assert named(one(hear("eth2", words))) == ("USW-Lite-16", "Port 5")


@pytest.mark.parametrize(
    ("port", "text", "words"),
    [("513", "ge-0/0/5", "ge-0/0/5"), ("12", "12", "12"), ("5", "uplink of vmserver", "5"), (SWITCH, "swp5", "swp5")],
    ids=["Junos", "a number on the front", "somebody's words", "Linux"],
)
def test_a_port_is_named_as_people_know_it(port: str, text: str, words: str) -> None:
    assert port_words(port, text) == words


def test_a_nested_bridge_is_said() -> None:
    verdict = one(hear("eth2", NOT_SWITCHES["nested libvirt bridge"]))
    assert any("fe:54:00" in warning for warning in verdict.warnings)
