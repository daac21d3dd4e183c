from __future__ import annotations

from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.model.site import Site
from bascule.persist.detect import detect
from bascule.site import parse
from bascule.verify.doctor import DoctorFacts, Finding, Severity, examine

WANTS = "etc/systemd/system/multi-user.target.wants"


def put(root: Path, path: str, text: str = "") -> None:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".service"):
        place.symlink_to("/lib/systemd/system/" + place.name)
    else:
        place.write_text(text)


STANZA = "auto eth0\niface eth0 inet dhcp\n"
HOSTS = {
    "rhel6": (["etc/rc.d/rc3.d/S10network", "etc/sysconfig/network-scripts/ifcfg-eth0"], "ifcfg"),
    "rhel8": ([f"{WANTS}/NetworkManager.service", "etc/sysconfig/network-scripts/ifcfg-eth0"], "ifcfg"),
    "rhel10": ([f"{WANTS}/NetworkManager.service", "etc/NetworkManager/system-connections/a.nmconnection"], "keyfile"),
    "fresh fedora": ([f"{WANTS}/NetworkManager.service"], "keyfile"),
    "ubuntu": (
        [f"{WANTS}/systemd-networkd.service", "usr/sbin/netplan", "etc/netplan/00-installer-config.yaml"],
        "netplan",
    ),
    "ubuntu whose installer's file was moved away": (
        [f"{WANTS}/systemd-networkd.service", "usr/sbin/netplan", "run/systemd/network/10-netplan-eth0.network"],
        "netplan",
    ),
    "netplan is there and networkd has files of its own": (
        [f"{WANTS}/systemd-networkd.service", "usr/sbin/netplan", "etc/systemd/network/a.network"],
        "networkd",
    ),
    "arch": ([f"{WANTS}/systemd-networkd.service", "etc/systemd/network/20-wired.network"], "networkd"),
    "debian": ([f"{WANTS}/networking.service", "etc/network/interfaces"], "ifupdown"),
    "debian desktop": (
        [f"{WANTS}/networking.service", f"{WANTS}/NetworkManager.service", "etc/network/interfaces"],
        "ifupdown",
    ),
    "sles": ([f"{WANTS}/wicked.service", "etc/sysconfig/network/ifcfg-eth0"], "wicked"),
    "container": (["etc/network/interfaces"], None),
    "empty": ([], None),
}


@pytest.mark.parametrize("host", HOSTS)
def test_who_looks_after_the_network(host: str, tmp_path: Path) -> None:
    files, dialect = HOSTS[host]
    for path in files:
        put(tmp_path, path, STANZA if path == "etc/network/interfaces" else "x")
    assert detect(tmp_path).choose() == dialect


def test_two_at_once_are_named_with_their_evidence(tmp_path: Path) -> None:
    put(tmp_path, f"{WANTS}/networking.service")
    put(tmp_path, f"{WANTS}/NetworkManager.service")
    put(tmp_path, "etc/network/interfaces", STANZA)
    put(tmp_path, "etc/NetworkManager/system-connections/a.nmconnection")
    managers = detect(tmp_path)
    assert [manager.dialect for manager in managers.rivals] == ["keyfile", "ifupdown"]
    with pytest.raises(BasculeError, match="two configuration systems .*: keyfile, ifupdown") as caught:
        managers.choose()
    assert "/etc/network/interfaces" in str(caught.value)
    assert managers.choose("keyfile") == "keyfile"
    assert managers.choose("none") is None


def test_the_loopback_alone_configures_nothing(tmp_path: Path) -> None:
    put(tmp_path, f"{WANTS}/networking.service")
    put(tmp_path, f"{WANTS}/systemd-networkd.service")
    put(tmp_path, "etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    put(tmp_path, "etc/systemd/network/20-wired.network", "x")
    assert detect(tmp_path).choose() == "networkd"


def doctor(root: Path, site: Site | None = None) -> Finding:
    facts = DoctorFacts(managers=detect(root), site=site, host="h" if site else "")
    (finding,) = [finding for finding in examine(facts) if finding.id == "managers"]
    return finding


def test_the_doctor_names_two_and_how_to_choose(tmp_path: Path) -> None:
    assert doctor(tmp_path).severity is Severity.NOTE
    put(tmp_path, f"{WANTS}/networking.service")
    put(tmp_path, "etc/network/interfaces", STANZA)
    assert doctor(tmp_path).severity is Severity.OK
    put(tmp_path, f"{WANTS}/NetworkManager.service")
    put(tmp_path, "etc/NetworkManager/system-connections/a.nmconnection")
    both = doctor(tmp_path)
    assert both.severity is Severity.PROBLEM
    assert "keyfile, ifupdown" in both.text
    assert any("/etc/network/interfaces" in seen for seen in both.evidence)
    assert "persist: NAME" in both.fix
    site = parse(b"site: s\nhosts:\n  h: {persist: keyfile, nics: {eth0: {}}}\n", "s.yaml")
    chosen = doctor(tmp_path, site)
    assert chosen.severity is Severity.WARNING
    assert chosen.fix == "systemctl disable --now networking"
