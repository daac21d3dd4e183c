"""Files of several configuration systems below one root: one is taken, for a reason, and the others' lines are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bascule import workflow
from bascule.errors import BasculeError

NETPLAN = {
    "etc/netplan/50-cloud-init.yaml": "network: {version: 2, ethernets: {ens3: {dhcp4: true}}}\n",
}
IFUPDOWN = {
    "etc/network/interfaces": "# old\nauto eth0\niface eth0 inet static\n  address 10.33.0.7/24\n  gateway 10.33.0.1\n",
}
KEYFILE = {
    "etc/NetworkManager/system-connections/lan.nmconnection": "[connection]\ntype=ethernet\ninterface-name=eno9\n"
    "[ipv4]\nmethod=manual\naddress1=10.44.0.9/23,10.44.0.1\n",
}
IFCFG = {"etc/sysconfig/network-scripts/ifcfg-em1": "DEVICE=em1\nIPADDR=10.55.0.3\nPREFIX=22\nONBOOT=yes\nMTU=8900\n"}
NETWORKD = {"etc/systemd/network/10-a.network": "[Match]\nName=enp1s0\n[Network]\nAddress=10.66.0.2/25\n"}
WICKED = {"etc/sysconfig/network/ifcfg-p4p1": "STARTMODE=auto\nBOOTPROTO=static\nIPADDR=10.77.0.4/21\n"}
WANTS = "etc/systemd/system/multi-user.target.wants"


def lay(root: Path, *trees: Mapping[str, str]) -> None:
    for path, text in (pair for tree in trees for pair in tree.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize(
    ("trees", "dialect", "why"),
    [
        ((NETPLAN, IFUPDOWN), "netplan", "netplan replaces ifupdown"),
        ((NETPLAN, IFUPDOWN, KEYFILE), "netplan", "netplan writes for NetworkManager; netplan replaces"),
        ((NETPLAN, NETWORKD), "netplan", "netplan writes for networkd"),
        ((IFUPDOWN, KEYFILE), "ifupdown", "NetworkManager does not manage what /etc/network/interfaces names"),
        ((KEYFILE, IFCFG), "keyfile", "NetworkManager uses its own profiles first"),
        ((NETWORKD, IFUPDOWN, {"etc/os-release": "NAME=x\nID=debian\n"}), "ifupdown", "it is the default of debian"),
        ((WICKED, KEYFILE, {"etc/os-release": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'}), "wicked",
         "it is the default of suse"),
        ((NETWORKD, IFUPDOWN, {f"{WANTS}/systemd-networkd.service": ""}), "networkd", "starts at boot"),
        ((NETWORKD, KEYFILE, {f"{WANTS}/NetworkManager.service": ""}), "keyfile", "starts at boot"),
        ((IFUPDOWN, KEYFILE, {f"{WANTS}/NetworkManager.service": "", f"{WANTS}/networking.service": ""}), "ifupdown",
         "NetworkManager does not manage"),
    ],
)  # fmt: skip
def test_one_is_taken_and_the_others_are_told(
    trees: tuple[Mapping[str, str], ...], dialect: str, why: str, tmp_path: Path
) -> None:
    lay(tmp_path, *trees)
    found = workflow.import_host(root=str(tmp_path), host="h")
    assert found.dialect == dialect
    assert any(note.startswith("of several") and why in note for note in found.notes), found.notes
    for literal in ("10.33.0.7", "10.44.0.9", "10.55.0.3", "8900", "10.66.0.2", "10.77.0.4", "10.44.0.1", "eno9"):
        if any(literal in text for tree in trees for text in tree.values()):
            assert literal in found.text


def test_where_nothing_shows_which_it_is_refused(tmp_path: Path) -> None:
    lay(tmp_path, NETWORKD, IFUPDOWN)
    with pytest.raises(BasculeError, match="several configuration systems: networkd, ifupdown"):
        workflow.import_host(root=str(tmp_path), host="h")


def test_a_long_file_of_another_system_is_told_whole(tmp_path: Path) -> None:
    stanzas = "".join(f"iface eth{n} inet static\n  address 10.9.{n}.1/24\n" for n in range(60))
    lay(tmp_path, NETPLAN, {"etc/network/interfaces": stanzas})
    found = workflow.import_host(root=str(tmp_path), host="h")
    assert all(f"10.9.{n}.1/24" in found.text for n in range(60))
    assert len(found.left) < 10
