"""Nothing gets lost: whatever an input says stands in the site file or in a note, also where inputs are spoiled.

A literal of a real file is replaced by one that stands nowhere else; then it must be found in what import writes. So
no other place can stand in for one that was lost.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from bascule.model.dialects import readable
from tests.importer.random_edits import COMMENT, KINDS, corpus, lost, written
from tests.importer.test_cases import CASES

ROUNDS = 4000 if os.environ.get("BASCULE_SOAK") else 100


@pytest.mark.parametrize("name", readable())
def test_a_literal_of_an_edited_tree_is_written(name: str) -> None:
    chance = random.Random(f"edits {name}")
    trees = corpus(name)
    assert trees
    for _ in range(ROUNDS):
        assert lost(name, trees, chance) == []


PROFILE = "etc/NetworkManager/system-connections/a.nmconnection"
VLAN = "[connection]\ntype=vlan\ninterface-name=v7\n[vlan]\nid=107\nparent=eno1\n"


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        # the number stands elsewhere only within another one, or as a hundredth of it
        ("wicked", {"etc/sysconfig/network/ifcfg-e0": "BOOTPROTO=dhcp\nMTU=2200\nX='200'\n"}, "X=200"),
        ("keyfile", {PROFILE: "[connection]\ntype=ethernet\ninterface-name=eno1\n[x]\ny=107\nz=10700\n"}, "z=10700"),
        # nothing of the file is taken: each line is told, though all of its words stand elsewhere
        ("keyfile", {PROFILE: VLAN, PROFILE + "2": "[connectio]\n[vlan]\nid=107\n"}, "id=107: nothing of this file"),
        (
            "networkd",
            {"etc/systemd/network/a.netdev": "[NetDev]\n[VLAN]\nId=107\n"},
            "Id=107: nothing of this file is taken",
        ),
        (
            "networkd",
            {
                "etc/systemd/network/a.netdev": "[NetDev]\nName=e0 e1\nKind=bond\n[Bond]\nARPIPTargets=10.0.0.1\n",
                "etc/systemd/network/b.network": "[Match]\nName=e0\n[Network]\nAddress=10.0.0.1/24\n",
            },
            "a.netdev:5: ARPIPTargets=10.0.0.1: nothing of this file is taken",
        ),
        ("netplan", {"etc/netplan/a.yaml": "eth0 network: 2\n  ethernets: {e0: {mtu: 1600}}\n"}, "eth0 network: 2:"),
        # a key that means something at another kind of link
        ("wicked", {"etc/sysconfig/network/ifcfg-vlan30": "VLAN_ID=30\n"}, "VLAN_ID=30: not taken"),
        ("ifcfg", {"etc/sysconfig/network-scripts/ifcfg-e0": "DEVICE=e0\nDELAY=0\n"}, "DELAY=0: not taken"),
        (
            "ifcfg",
            {"etc/sysconfig/network-scripts/ifcfg-e0": "MTU=1600\nMTU=1500\n"},
            "MTU=1600: line 2 says otherwise",
        ),
        # what the reader passed over because another word was there
        ("wicked", {"etc/sysconfig/network/routes": "10.0.0.0/8 10.0.0.9 255.255.0.0 e0\n"}, "255.255.0.0 e0"),
        (
            "ifupdown",
            {"etc/network/interfaces": "iface br0 inet manual\n bridge_pathcost\n"},
            "bridge_pathcost: names no",
        ),
        ("netplan", {"etc/netplan/a.yaml": "network:\n  vrfs: {m: {table: 7, interfaces: e0}}\n"}, "interfaces: e0"),
        # words that look like an address and are none, and a link's name where a key could stand
        ("ifupdown", {"etc/network/interfaces": "iface e0 inet6 static\n gateway fe80::1::\n"}, "gateway fe80::1::"),
        ("wicked", {"etc/sysconfig/network/dhcp": "eth0.7\n"}, "dhcp:1: eth0.7"),
        # a VLAN that is left out, with its number
        ("keyfile", {PROFILE: VLAN.replace("parent=eno1\n", "")}, "v7: VLAN 107"),
    ],
)
def test_no_other_place_stands_in_for_what_was_lost(name: str, files: dict[str, str], said: str) -> None:
    assert said in written(name, files)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_every_literal_of_a_case_is_written(case: Path) -> None:
    """Also those of libvirt's XML, which is one word after the other."""
    text = (case / "site.yaml").read_text()
    for path in case.rglob("etc/**/*"):
        for line in path.read_text().splitlines() if path.is_file() else ():
            if not COMMENT.match(line):
                words = [word for kind in ("address", "MAC") for word in KINDS[kind].findall(line)]
                words += re.findall(r"\bmtu\D+(\d+)", line)
                assert [word for word in words if word.lower() not in text.lower()] == [], f"{path}: {line}"
