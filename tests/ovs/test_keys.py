"""Every key of a bridge of Open vSwitch: into its rows, seen as drift by every verb, back, and out of an import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bascule.observe.spanning_tree import settling_ports
from tests.apply.hosts import Bed
from tests.lab import Lab
from tests.ovs.stage import rows, switched, vsctl

KEYS = """\
site: t
networks: {guests: {subnet: 10.1.0.0/24}, ten: {vlan: 10}, twenty: {vlan: 20}}
hosts:
  h:
    nics: {eth4: {}, eth6: {}}
    bonds:
      bond0: {nics: [eth4, eth6], mode: active-backup, kind: openvswitch, primary: eth6, updelay: 30, downdelay: 20}
    bridges:
      ovs3:
        kind: openvswitch
        datapath: netdev
        uplink: bond0
        pvid: 10
        vlans: [20]
        native: tagged
        rstp: true
        snooping: true
        fail_mode: secure
        mtu: 1400
        mirror: [{from: g, to: vnet2}]
guests:
  g:
    host: h
    memory: 1GiB
    nics: [{bridge: ovs3, tap: vnet1, vlan: 10, vlans: [20], native: tagged, isolated: true, guard: off}]
  ids: {host: h, memory: 1GiB, nics: [{bridge: ovs3, tap: vnet2, guard: off}]}
"""


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    bed = switched(lab, tmp_path, KEYS)
    bed.batch(
        "link add eth6 address 02:00:00:00:00:16 type veth peer name eth6w\nlink set eth6 up\nlink set eth6w up\n"
    )
    return bed


def told(bed: Bed, *words: str) -> Any:
    return json.loads(bed.run(*words, "--json").stdout)


def test_the_keys_become_rows_and_come_back(bed: Bed) -> None:
    bed.apply("--confirm-within", "600s")
    made = rows(bed)
    bridge, bond, guest = made.bridges["ovs3"], made.ports["bond0"], made.ports["vnet1"]
    assert (bridge.rstp_enable, bridge.mcast_snooping_enable, bridge.fail_mode) == (True, True, "secure")
    assert (bond.bond_mode, bond.bond_updelay, bond.bond_downdelay) == ("active-backup", 30, 20)
    assert bond.other_config == {"bond-primary": "eth6"}
    assert (bond.tag, bond.trunks, bond.vlan_mode) == (10, (10, 20), "native-tagged")
    assert (guest.tag, guest.trunks, guest.vlan_mode, guest.protected) == (10, (10, 20), "native-tagged", True)
    assert made.ports["ovs3"].interfaces[0].mtu_request == 1400
    assert told(bed, "plan", str(bed.site))["changes"] == []
    assert bed.run("undo").returncode == 0
    assert rows(bed).bridges == {}


def test_a_nic_goes_into_a_bond_and_undo_takes_it_out(bed: Bed) -> None:
    """Its row is there already, and is that of another port afterwards."""
    bond = "bonds:\n      bond0: {nics: [eth4, eth6], mode: balance-slb}\n"
    text = KEYS.replace(KEYS[KEYS.index("bonds:") : KEYS.index("    bridges:")], bond).replace(
        "rstp: true", "rstp: false"
    )
    alone = text.replace(f"    {bond}", "").replace("uplink: bond0", "uplink: eth4")
    bed.site.write_text(alone)
    bed.apply("--no-confirm")
    made = rows(bed)
    assert made.ports["eth4"].bridge == "ovs3"
    bed.site.write_text(text)
    bed.apply("--no-confirm")
    bonded = rows(bed)
    assert ([one.name for one in bonded.ports["bond0"].interfaces], "eth4" in bonded.ports) == (["eth4", "eth6"], False)
    assert told(bed, "plan", str(bed.site))["changes"] == []
    assert bed.run("undo").returncode == 0
    assert rows(bed).ports == made.ports


OTHERS = (  # hands, one call of ovs-vsctl
    *("set", "Bridge", "ovs3", "mcast_snooping_enable=false", "rstp_enable=false", "--", "del-fail-mode", "ovs3", "--"),
    *("set", "Port", "vnet1", "tag=30", "protected=false", "--", "set", "Port", "bond0", "bond_mode=balance-slb", "--"),
    *("clear", "Bridge", "ovs3", "mirrors", "--", "set", "Interface", "ovs3", "mtu_request=1300"),
)
DRIFT = {  # what is to be done about it, as every verb says it
    "set fail_mode to secure, set rstp_enable to true, set mcast_snooping_enable to true",
    "set bond_mode to active-backup",
    "MTU 1400 bytes",
    "VLAN 10 tagged, VLAN 20 tagged",
    "set protected to true",
    "mirror vnet1 → vnet2",
}


def test_every_verb_sees_what_others_changed(bed: Bed) -> None:
    """plan, status, verify and draw; what is imported from there before says the keys."""
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    assert told(bed, "status")["drift"] == []
    words = bed.run("import").stdout
    for key in ("kind: openvswitch", "primary: eth6", "pvid: 10", "native: tagged", "rstp: true", "snooping: true"):
        assert key in words, key
    assert "ovs3: mirror vnet1 → vnet2: it stays as it is" in words
    vsctl(bed, *OTHERS)
    site = str(bed.site)
    assert {change["action"] for change in told(bed, "plan", site)["changes"]} == DRIFT
    drift = "\n".join(told(bed, "status")["drift"])
    verified = "\n".join(check["detail"] for check in told(bed, "verify", site)["checks"] if check["ok"] is False)
    drawn = " ".join(bed.run("draw", site, "--live", "--width", "200").stdout.split())
    for action in DRIFT:
        assert action in drift
        assert action in verified
        assert action in drawn
    vsctl(bed, "del-port", "ovs3", "vnet1")
    assert "vnet1: become a port of ovs3, VLAN 10 tagged, VLAN 20 tagged" in told(bed, "status")["drift"]
    bed.ip("link del vnet1")
    assert not any("vnet1: become" in line for line in told(bed, "status")["drift"]), "its guest has stopped"


def test_a_nic_that_gets_copies_carries_nothing_of_the_hosts(bed: Bed) -> None:
    """Nobody is asked by it whether an address is free: behind it stands a capture."""
    bed.batch("link add eth9 type veth peer name eth9w\nlink set eth9 up\nlink set eth9w up\n")
    text = bed.site.read_text().replace("mirror: [{from: g, to: vnet2}]", "mirror: [{from: g, to: eth9}]")
    text = text.replace("eth6: {}}", "eth6: {}, eth9: {}}").replace("{eth4: {}", "{eth4: {network: guests}")
    text = text.replace("mtu: 1400", "address: 10.1.0.9/24\n        mtu: 1400")
    text = text.replace("        pvid: 10\n", "").replace("        native: tagged\n", "")  # it would be in no VLAN else
    bed.site.write_text(text)
    said = " ".join(bed.run("plan", str(bed.site)).stdout.split())
    assert "not yet checked whether 10.1.0.9 is taken: apply asks on eth4 first" in said
    assert "ovs3 passes nothing but what somebody else's rules of OpenFlow let through: fail_mode is secure" in said
    assert "may send larger ones: eth9" not in said
    assert "eth9, which is to carry" not in said
    wanted = ["h/link/ovs3", "h/link/eth9", "declared"]
    drawn = [[one["upper"], one["lower"], one["presence"]] for one in told(bed, "draw", str(bed.site))["edges"]]
    assert wanted in drawn, "it is a port of its switch"
    bed.apply("--no-confirm")
    (seen,) = (one for one in told(bed, "draw", "--live")["nodes"] if one["label"] == "ovs3")
    assert seen["notes"] == ["Open vSwitch", "VLAN-aware", "RSTP", "mirror vnet1 → eth9"]


TREE = """\
site: t
networks: {guests: {subnet: 10.1.0.0/24}}
hosts:
  h:
    nics: {eth4: {network: guests}}
    bridges:
      ovs3: {kind: openvswitch, datapath: netdev, uplink: eth4}
guests:
  g: {host: h, nics: [{bridge: ovs3, tap: vnet1, address: 10.1.0.5/24}]}
"""


def test_ports_are_waited_for_until_the_spanning_tree_lets_them_forward(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path, TREE)
    bed.apply("--no-confirm")
    vsctl(bed, "set", "Bridge", "ovs3", "other_config:stp-forward-delay=4")
    bed.site.write_text(TREE.replace("uplink: eth4}", "uplink: eth4, stp: true}"))
    said = " ".join(bed.run("plan", str(bed.site)).stdout.split())
    assert "ovs3 runs the spanning tree protocol: each port that comes up passes no frame for 30 s" in said
    assert "eth4 sends BPDUs of ovs3: where its switch has BPDU guard" in said
    done = bed.apply("--no-confirm")
    assert "spanning tree: eth4 of ovs3 was listening, waited" in done.stdout + done.stderr
    assert settling_ports(["ovs3"], bed.host) == ()
    # with RSTP nobody waits where no other bridge speaks, and its BPDUs are said all the same
    bed.site.write_text(TREE.replace("uplink: eth4}", "uplink: eth4, rstp: true}"))
    said = " ".join(bed.run("plan", str(bed.site)).stdout.split())
    assert "set stp_enable to false, set rstp_enable to true" in said
    assert "passes no frame for" not in said


def test_the_vlan_of_one_port_makes_a_switch_keep_vlans_apart(lab: Lab, tmp_path: Path) -> None:
    """It was dropped without a word where nothing else of the file named a VLAN."""
    site = """\
site: t
hosts:
  h:
    nics: {eth0: {}, eth4: {}}
    bridges: {ovs3: {kind: openvswitch, datapath: netdev, uplink: eth0, ports: [{link: eth4, pvid: 7}]}}
"""
    bed = switched(lab, tmp_path, site)
    assert bed.apply("--no-confirm").returncode == 0
    assert rows(bed).ports["eth4"].tag == 7
    assert told(bed, "plan", str(bed.site))["changes"] == []
