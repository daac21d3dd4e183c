"""Bridges that sit on a VLAN of a NIC: eth4.30 under br30."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.system.run import run
from tests.lab import Lab
from tests.vm.inside.rig import Rig

SITE = """\
site: tagged
networks:
  office: {subnet: 10.30.0.0/24, vlan: 30}
  lab: {subnet: 10.40.0.0/24, vlan: 40}
hosts:
  h:
    nics: {eth4: {}}
    bridges: {br30: {uplink: eth4, vlan: 30}, br40: {uplink: eth4, vlan: 40}}
guests:
  a: {host: h, nics: [{bridge: br30, address: 10.30.0.5/24}]}
  b: {host: h, nics: [{bridge: br40, address: 10.40.0.5/24}]}
"""


def test_the_kernel_has_what_the_file_says_and_the_way_back(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=("a.0", "b.0"))
    before, facts = rig.look(), rig.facts()
    rig.apply()
    for vid in (30, 40):
        assert rig.info(f"eth4.{vid}")["id"] == vid
        assert rig.info(f"eth4.{vid}")["protocol"] == "802.1Q"
        assert rig.link(f"eth4.{vid}")["link"] == "eth4"
        assert rig.link(f"eth4.{vid}")["master"] == f"br{vid}"
        assert rig.link(f"br{vid}")["address"] == rig.link("eth4")["address"]
        assert rig.link(f"eth4.{vid}")["operstate"] == "UP"
    assert (rig.link("a.0")["master"], rig.link("b.0")["master"]) == ("br30", "br40")
    rig.undo(before)
    assert rig.facts() == facts


def test_frames_carry_their_tags(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=("a.0", "b.0"))
    rig.apply()
    sent = {
        ("a.0", None): {"eth4": 30},
        ("b.0", None): {"eth4": 40},
        ("eth4", 30): {"a.0": None},
        ("eth4", 40): {"b.0": None},
        ("eth4", 50): {},
        ("eth4", None): {},
    }
    assert dict(zip(sent, rig.heard_all(*sent), strict=True)) == sent


def test_somebody_elses_link_of_that_name_is_refused(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", "eth5", taps=("a.0", "b.0"))
    rig.ip("link add link eth5 name eth4.30 type vlan id 30")
    with pytest.raises(BasculeError, match=r"NOT-THE-VLAN.*'eth4.30' exists on this host and is not VLAN 30 of eth4"):
        rig.plan()


def test_somebody_elses_vlan_is_used_as_it_is_and_stays(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=("a.0", "b.0"))
    rig.ip("link add link eth4 name eth4.30 type vlan id 30")
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert rig.heard("a.0") == {"eth4": 30}
    rig.undo(before)
    assert rig.facts() == facts


def test_jumbo_frames_fit_on_every_link_of_the_way(lab: Lab) -> None:
    rig = Rig(lab, SITE.replace("eth4: {}", "eth4: {mtu: 9000}"), "eth4", taps=("a.0", "b.0"))
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert {name: rig.link(name)["mtu"] for name in ("eth4", "eth4.30", "br30", "a.0")} == dict.fromkeys(
        ("eth4", "eth4.30", "br30", "a.0"), 9000
    )
    rig.undo(before)
    assert rig.facts() == facts


def test_what_the_file_no_longer_names_goes(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4")
    rig.apply()
    rig.declare(
        SITE.replace(", br40: {uplink: eth4, vlan: 40}", "").replace(
            ", nics: [{bridge: br40, address: 10.40.0.5/24}]", ", nics: [{bridge: br30}]"
        )
    )
    rig.apply()
    assert not {"br40", "eth4.40"} & set(rig.facts()[0])
    assert rig.link("eth4.30")["master"] == "br30"


def test_the_printed_commands_do_the_same(lab: Lab, tmp_path: Path) -> None:
    rig = Rig(lab, SITE, "eth4", taps=("a.0",))
    script = tmp_path / "commands.sh"
    script.write_text("".join(f"{command}\n" for command in rig.plan().commands))
    run(("sh", "-e", str(script)), namespace=rig.room)
    assert not rig.plan()
    assert rig.heard("a.0") == {"eth4": 30}
