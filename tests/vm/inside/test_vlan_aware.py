"""One bridge that knows the VLANs: access ports, trunks, and the untagged default."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.apply.prepare import prepare_from
from bascule.apply.rollback.passes import apply_or_roll_back
from bascule.errors import CommandFailed
from bascule.host.live import LiveHost
from bascule.providers.protocol import ThreeWay
from bascule.system.run import run
from tests.lab import Lab
from tests.vm.inside.rig import Rig

SITE = """\
site: aware
networks:
  office: {subnet: 10.0.0.0/24}
  red: {subnet: 10.30.0.0/24, vlan: 30}
hosts:
  h:
    nics: {eth4: {network: office}}
    bridges: {br0: {uplink: eth4, vlan_aware: true}}
guests:
  plain: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
  access: {host: h, nics: [{bridge: br0, vlan: 30, address: 10.30.0.5/24}]}
  trunk: {host: h, nics: [{bridge: br0, vlans: [10, 20-22, 30]}]}
"""
UNAWARE = """\
site: aware
networks: {office: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth4: {network: office}}, bridges: {br0: {uplink: eth4}}}}
guests:
  plain: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24}]}
  access: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24}]}
  trunk: {host: h, nics: [{bridge: br0, address: 10.0.0.7/24}]}
"""
TAPS = ("plain.0", "access.0", "trunk.0")
VLANS = {"eth4": "1Pu 10 20 21 22 30", "plain.0": "1Pu", "access.0": "30Pu", "trunk.0": "10 20 21 22 30"}


# what is sent, by whom and with which tag, and where it comes out with which
FRAMES: dict[tuple[str, int | None], dict[str, int | None]] = {
    ("plain.0", None): {"eth4": None},
    ("access.0", None): {"eth4": 30, "trunk.0": 30},
    ("access.0", 10): {},
    ("trunk.0", None): {},
    ("trunk.0", 30): {"eth4": 30, "access.0": None},
    ("trunk.0", 21): {"eth4": 21},
    ("trunk.0", 40): {},
    ("eth4", None): {"plain.0": None},
    ("eth4", 30): {"access.0": None, "trunk.0": 30},
    ("eth4", 40): {},
}


def assert_frames(rig: Rig) -> None:
    assert dict(zip(FRAMES, rig.heard_all(*FRAMES), strict=True)) == FRAMES


def test_ports_have_their_vlans_frames_their_tags_and_there_is_a_way_back(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=TAPS)
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert rig.info("br0")["vlan_filtering"] == 1
    assert {name: rig.vlans(name) for name in VLANS} == VLANS
    assert_frames(rig)
    rig.undo(before)
    assert rig.facts() == facts


def test_a_working_bridge_learns_about_vlans_and_forgets_them(lab: Lab) -> None:
    rig = Rig(lab, UNAWARE, "eth4", taps=TAPS)
    rig.apply()
    before, facts = rig.look(), rig.facts()
    rig.declare(SITE)
    rig.apply()
    assert {name: rig.vlans(name) for name in VLANS} == VLANS
    assert_frames(rig)
    rig.undo(before)
    assert rig.facts() == facts
    assert rig.heard("access.0", vid=99) == {"eth4": 99, "plain.0": 99, "trunk.0": 99}  # it does not look at tags
    rig.declare(SITE)
    rig.apply()
    rig.declare(UNAWARE)
    rig.apply()
    assert rig.info("br0")["vlan_filtering"] == 0
    assert rig.heard("access.0") == {"eth4": None, "plain.0": None, "trunk.0": None}


def test_a_guest_changes_its_vlan_and_nobody_else_notices(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=TAPS)
    rig.apply()
    before = rig.look()
    rig.declare(
        SITE.replace("vlan: 30, address: 10.30.0.5/24", "vlan: 10").replace(
            "red: {", "green: {subnet: 10.10.0.0/24, vlan: 10}\n  red: {"
        )
    )
    plan = rig.apply()
    assert {change.subject for change in plan.changes} == {"access.0"}
    assert rig.vlans("access.0") == "10Pu"
    assert rig.heard("trunk.0", vid=10) == {"eth4": 10, "access.0": None}
    rig.undo(before)
    assert {name: rig.vlans(name) for name in VLANS} == VLANS


def test_a_trunk_that_narrows_keeps_the_rest(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=TAPS)
    rig.apply()
    rig.declare(SITE.replace("[10, 20-22, 30]", "[10, 21]"))
    plan = rig.apply()
    assert rig.vlans("trunk.0") == "10 21"
    assert rig.vlans("eth4") == "1Pu 10 21 30"
    taken = [str(command) for change in plan.changes for command in change.commands if "del" in command.words]
    assert not [words for words in taken if words.endswith(("vid 10", "vid 21", "vid 20-22"))], taken


def test_a_broken_vlan_is_seen_and_mended(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=TAPS)
    rig.apply()
    for words in (
        "vlan del dev eth4 vid 30",
        "vlan add dev access.0 vid 40",
        "vlan add dev plain.0 vid 30 pvid untagged",
    ):
        run(("bridge", *words.split()), namespace=rig.room)
    assert rig.heard("access.0") == {"trunk.0": 30, "plain.0": None}
    assert {change.subject for change in rig.plan().changes} == {"eth4", "access.0", "plain.0"}
    rig.apply()
    assert {name: rig.vlans(name) for name in VLANS} == VLANS
    assert_frames(rig)


def test_foreign_ports_of_a_vlan_aware_bridge_stay_as_they_are(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", taps=(*TAPS, "vnet7"))
    rig.apply()
    rig.ip("link set vnet7 master br0 up")
    run(("bridge", "vlan", "add", "dev", "vnet7", "vid", "77", "pvid", "untagged"), namespace=rig.room)
    assert not rig.plan()
    assert rig.vlans("vnet7") == "1u 77Pu"


def test_a_failure_half_way_is_taken_back(lab: Lab) -> None:
    rig = Rig(lab, UNAWARE, "eth4", taps=TAPS)
    rig.apply()
    before, facts = rig.look(), rig.facts()
    rig.declare(SITE)
    ready = prepare_from(rig.site, next(iter(rig.site.hosts.values())), before)
    rig.ip("link del trunk.0")  # a guest stops at the wrong moment
    with pytest.raises(CommandFailed):
        change = ThreeWay(before=before, wanted=ready.wanted, now=before)
        apply_or_roll_back(ready.plan, change, rig.look, where=LiveHost(rig.room))
    after = rig.facts()
    for one in (after[0], after[1], facts[0], facts[1]):
        one.pop("trunk.0", None)
    assert after == facts
    assert rig.info("br0")["vlan_filtering"] == 0


def test_the_printed_commands_do_the_same(lab: Lab, tmp_path: Path) -> None:
    rig = Rig(lab, SITE, "eth4", taps=TAPS)
    script = tmp_path / "commands.sh"
    script.write_text("".join(f"{command}\n" for command in rig.plan().commands))
    run(("sh", "-e", str(script)), namespace=rig.room)
    assert not rig.plan()
    assert {name: rig.vlans(name) for name in VLANS} == VLANS
