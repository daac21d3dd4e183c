"""Foreign files without some links, as they are found: what goes, and that every other word stays as it was written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bascule.model.values import IfName, Mac
from bascule.persist.dialect import dialect
from bascule.persist.foreign import cloud_init

MAC = Mac("52:54:00:00:00:10")
HARDWARE = {IfName("eth0"): MAC, IfName("eth1"): Mac("52:54:00:00:00:11")}
NETPLAN, UNITS, PROFILES = "etc/netplan/", "etc/systemd/network/", "etc/NetworkManager/system-connections/"
SCRIPTS, MAIN = "etc/sysconfig/network-scripts/", "etc/network/interfaces"
ONE = "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: true}\n"
SOURCE = "source /etc/network/interfaces.d/*\n"

CASES: dict[str, tuple[str, dict[str, str], dict[str, str | None]]] = {
    "two files for one NIC": (
        "netplan",
        {f"{NETPLAN}1.yaml": ONE, f"{NETPLAN}50-cloud-init.yaml": ONE, f"{NETPLAN}99.yaml": "network: {version: 2}\n"},
        {f"{NETPLAN}1.yaml": None, f"{NETPLAN}50-cloud-init.yaml": None},
    ),
    "an id of its own, matched by MAC": (
        "netplan",
        {f"{NETPLAN}a.yaml": f"network:\n  ethernets:\n    lan: # ours\n      match: {{macaddress: '{MAC}'}}\n"
                             "      dhcp4: true\n    # the other one\n    eth1:\n      dhcp4: true\n  wifis: {}\n"},
        {f"{NETPLAN}a.yaml": "network:\n  ethernets:\n"
                             "    # the other one\n    eth1:\n      dhcp4: true\n  wifis: {}\n"},
    ),
    "a match that fits another NIC as well is left alone": (
        "netplan",
        {f"{NETPLAN}a.yaml": "network: {ethernets: {all: {match: {name: 'eth*'}, dhcp4: true}}}\n"},
        {},
    ),
    "the last of a group": (
        "netplan",
        {f"{NETPLAN}a.yaml": "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n\n"
                             "  vlans:\n    v5: {id: 5, link: eth1}\n"},
        {f"{NETPLAN}a.yaml": "network:\n\n  vlans:\n    v5: {id: 5, link: eth1}\n"},
    ),
    "stanzas, aliases, lists and comments": (
        "ifupdown",
        {MAIN: f"{SOURCE}auto lo eth0 eth1\niface lo inet loopback\niface eth0 inet static\n  address 10.0.0.1/24\n"
               "  # inside\n  up echo \\\n    eth0\n\n# of eth1\niface eth1 inet dhcp\n"
               "auto eth0:1\niface eth0:1 inet static\n  address 10.0.0.2/24\n",
         "etc/network/interfaces.d/eth0": "# old\nallow-hotplug eth0\niface eth0 inet6 auto\n"},
        {MAIN: f"{SOURCE}auto lo eth1\niface lo inet loopback\n\n# of eth1\niface eth1 inet dhcp\n",
         "etc/network/interfaces.d/eth0": None},
    ),
    "nothing of ours, and nothing that includes ours": (
        "ifupdown",
        {MAIN: "auto lo\niface lo inet loopback\n"},
        {MAIN: "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/bascule\n"},
    ),
    "profiles by name and by MAC": (
        "keyfile",
        {f"{PROFILES}a": f"[connection]\nid=a\ntype=ethernet\n[ethernet]\nmac-address={MAC.upper()}\n",
         f"{PROFILES}b.nmconnection": "[connection]\nid=b\ntype=802-3-ethernet\ninterface-name=eth0\n",
         f"{PROFILES}c": "[connection]\nid=c\ntype=vlan\ninterface-name=eth0.5\n[vlan]\nid=5\nparent=eth0\n"},
        {f"{PROFILES}a": None, f"{PROFILES}b.nmconnection": None},
    ),
    "scripts, aliases, routes, and the device of the default route": (
        "ifcfg",
        {f"{SCRIPTS}ifcfg-Auto_lan": f"HWADDR={MAC}\nBOOTPROTO=dhcp\n",
         f"{SCRIPTS}ifcfg-eth0:0": "DEVICE=eth0:0\nIPADDR=1.2.3.4\n",
         f"{SCRIPTS}route-eth0": "10.0.0.0/8 via 1.2.3.1\n", f"{SCRIPTS}ifcfg-eth0.5": "DEVICE=eth0.5\nVLAN=yes\n",
         f"{SCRIPTS}ifcfg-eth0.bak": "DEVICE=eth0\n", "etc/sysconfig/network": "GATEWAY=1.2.3.1\nGATEWAYDEV=eth0\n"},
        {f"{SCRIPTS}ifcfg-Auto_lan": None, f"{SCRIPTS}ifcfg-eth0:0": None, f"{SCRIPTS}route-eth0": None,
         "etc/sysconfig/network": "GATEWAY=1.2.3.1\n"},
    ),
    "units by MAC, with drop-ins, and lists": (
        "networkd",
        {f"{UNITS}70-x.network": f"[Match]\nPermanentMACAddress={MAC}\n[Network]\nDHCP=yes\n",
         f"{UNITS}70-x.network.d/a.conf": "[Network]\nDNS=1.1.1.1\n",
         f"{UNITS}20-l.network": "# two\n[Match]\nName=eth0 eth1\n\n[Network]\nDHCP=yes\n",
         f"{UNITS}99-all.network": "[Match]\nName=e*\n[Network]\nDHCP=yes\n"},
        {f"{UNITS}70-x.network": None, f"{UNITS}70-x.network.d/a.conf": None,
         f"{UNITS}20-l.network": "# two\n[Match]\nName=eth1\n\n[Network]\nDHCP=yes\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_of_files_without_a_link(case: str) -> None:
    name, files, left = CASES[case]
    assert dialect(name).without(files, [IfName("eth0")], HARDWARE) == left


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ({}, True),
        ({"etc/cloud/cloud.cfg.d/05_x.cfg": "network: {config: disabled}\n"}, False),
        ({"etc/cloud/cloud.cfg.d/99-x.cfg": "#cloud-config\nnetwork:\n  config: disabled\n"}, False),
        ({"etc/cloud/cloud.cfg.d/99-x.cfg": "network:\n  config: {version: 2}\n"}, True),
    ],
)
def test_cloud_init_is_switched_off_where_nobody_did(there: Mapping[str, str], wanted: bool) -> None:
    moved = {"etc/network/interfaces.d/50-cloud-init": "# This file is generated from information provided by x\n"}
    assert bool(cloud_init.switch(moved, there)) is wanted
    assert not cloud_init.switch({"etc/network/interfaces": "iface eth0 inet dhcp\n"}, there)
