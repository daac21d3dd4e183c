"""Several NICs as one, under a bridge."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from bascule.system.run import run
from tests.lab import Lab
from tests.patience import HUNG_S
from tests.vm.inside.rig import Rig


def site(mode: str, bridges: str = "br0: {uplink: bond0}") -> str:
    return f"""\
site: bonded
networks: {{office: {{subnet: 10.0.0.0/24}}, red: {{subnet: 10.30.0.0/24, vlan: 30}}}}
hosts:
  h:
    nics: {{eth4: {{network: office}}, eth5: {{network: office}}}}
    bonds: {{bond0: {{nics: [eth4, eth5], mode: {mode}}}}}
    bridges: {{{bridges}}}
guests:
  web: {{host: h, nics: [{{bridge: br0}}]}}
"""


def report(rig: Rig) -> str:
    """What the bonding driver says."""
    return run(("cat", "/proc/net/bonding/bond0"), namespace=rig.room).stdout


def wait_for(what: str, rig: Rig, pattern: str) -> str:
    end = time.monotonic() + HUNG_S
    # its bridge hears of the bond's carrier a moment later than the bond does
    while not (found := re.search(pattern, report(rig))) or rig.link("bond0")["operstate"] != "UP":
        assert time.monotonic() < end, f"{what}: {report(rig)}"
        time.sleep(0.1)
    return found[1]


def bond_at_the_far_end(rig: Rig) -> None:
    """A switch with LACP on both ports."""
    with rig.wire.entered():
        pass
    for words in (
        "link add lag type bond mode 802.3ad miimon 50 lacp_rate fast",
        *(word for nic in ("eth4", "eth5") for word in (f"link set {nic} down", f"link set {nic} master lag")),
        "link set lag up",
    ):
        rig.lab.ip(rig.wire, words)


@pytest.mark.parametrize("started", ["down", "up", "with addresses"])
@pytest.mark.parametrize("mode", ["active-backup", "802.3ad"])
def test_bonded_whatever_the_nics_did_before_and_the_way_back(lab: Lab, mode: str, started: str) -> None:
    rig = Rig(lab, site(mode), "eth4", "eth5", taps=("web.0",))
    if started != "down":
        rig.ip("link set eth4 up")
        rig.ip("link set eth5 up")
    if started == "with addresses":
        rig.ip("addr add 10.0.0.4/24 dev eth4")
        rig.ip("route add 10.9.0.0/16 via 10.0.0.1 dev eth4")
        rig.ip("addr add 10.0.0.5/24 dev eth5")
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert rig.info("bond0")["mode"] == mode
    assert rig.info("bond0")["miimon"] == 100
    for name in ("eth4", "eth5"):
        assert rig.link(name)["master"] == "bond0"
        assert rig.link(name)["linkinfo"]["info_slave_kind"] == "bond"
        assert rig.link(name)["operstate"] == "UP"
    assert rig.link("bond0")["master"] == "br0"
    assert rig.link("bond0")["address"] == rig.link("br0")["address"] == facts[0]["eth4"][2]
    rig.undo(before)
    assert rig.facts() == facts


def test_a_backup_takes_over(lab: Lab) -> None:
    rig = Rig(lab, site("active-backup"), "eth4", "eth5", taps=("web.0",))
    rig.apply()
    active = wait_for("an active NIC", rig, r"Currently Active Slave: (eth\d)")
    assert set(rig.heard("web.0")) == {active}
    rig.lab.ip(rig.wire, f"link set {active} down")
    (other,) = {"eth4", "eth5"} - {active}
    wait_for("the backup", rig, f"Currently Active Slave: ({other})")
    assert set(rig.heard("web.0")) == {other}
    assert not rig.plan()  # a cable that is out is no reason to change anything


def test_lacp_finds_its_partner(lab: Lab) -> None:
    rig = Rig(lab, site("802.3ad"), "eth4", "eth5", taps=("web.0",))
    bond_at_the_far_end(rig)
    rig.apply()
    wait_for("both ports in one aggregator", rig, r"Number of ports: (2)")
    assert not rig.plan()


def test_a_vlan_on_a_bond(lab: Lab) -> None:
    rig = Rig(lab, site("active-backup", "br0: {uplink: bond0, vlan: 30}"), "eth4", "eth5", taps=("web.0",))
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert rig.link("bond0.30")["link"] == "bond0"
    assert rig.link("bond0.30")["master"] == "br0"
    active = wait_for("an active NIC", rig, r"Currently Active Slave: (eth\d)")
    assert rig.heard("web.0") == {active: 30}
    rig.undo(before)
    assert rig.facts() == facts


def test_a_vlan_aware_bridge_on_a_bond(lab: Lab) -> None:
    text = site("active-backup", "br0: {uplink: bond0, vlan_aware: true}").replace(
        "{bridge: br0}", "{bridge: br0, vlan: 30}"
    )
    rig = Rig(lab, text, "eth4", "eth5", taps=("web.0",))
    before, facts = rig.look(), rig.facts()
    rig.apply()
    assert rig.vlans("bond0") == "1Pu 30"
    active = wait_for("an active NIC", rig, r"Currently Active Slave: (eth\d)")
    assert rig.heard("web.0") == {active: 30}
    rig.undo(before)
    assert rig.facts() == facts


def test_another_mode_makes_the_bond_anew(lab: Lab) -> None:
    rig = Rig(lab, site("active-backup"), "eth4", "eth5", taps=("web.0",))
    rig.apply()
    before = rig.look()
    rig.declare(site("802.3ad"))
    rig.apply()
    assert rig.info("bond0")["mode"] == "802.3ad"
    assert rig.link("eth5")["master"] == "bond0"
    rig.undo(before)
    assert rig.info("bond0")["mode"] == "active-backup"


def test_out_of_the_bond_into_bridges(lab: Lab) -> None:
    rig = Rig(lab, site("active-backup"), "eth4", "eth5", taps=("web.0",))
    own = {name: rig.link(name)["address"] for name in ("eth4", "eth5")}
    rig.apply()
    before = rig.look()
    text = site("active-backup", "br0: {uplink: eth4}, br1: {uplink: eth5}")
    rig.declare("\n".join(line for line in text.splitlines() if "bonds:" not in line))
    rig.apply()
    assert {name: (rig.link(name)["master"], rig.link(name)["operstate"]) for name in own} == {
        "eth4": ("br0", "UP"), "eth5": ("br1", "UP"),
    }  # fmt: skip
    assert {name: rig.link(name)["address"] for name in own} == own
    assert {name: rig.link(name)["address"] for name in ("br0", "br1")} == {"br0": own["eth4"], "br1": own["eth5"]}
    rig.declare(site("active-backup"))  # so that the parameters of bond0 are looked at, too
    rig.undo(before)
    assert rig.link("eth5")["master"] == "bond0"


def test_the_printed_commands_do_the_same(lab: Lab, tmp_path: Path) -> None:
    rig = Rig(lab, site("802.3ad"), "eth4", "eth5")
    rig.ip("link set eth4 up")
    script = tmp_path / "commands.sh"
    script.write_text("".join(f"{command}\n" for command in rig.plan().commands))
    run(("sh", "-e", str(script)), namespace=rig.room)
    assert not rig.plan()
