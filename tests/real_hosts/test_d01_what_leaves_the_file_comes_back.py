"""D1: what was moved aside for a link comes back when the link leaves the site file; nobody else configures it then."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.apply.rollback.files import back_up_for, drift, restore
from bascule.model.links import Physical
from bascule.model.state import Address, Link, RoutingRule
from bascule.model.values import IfName
from bascule.persist.dialect import dialect as find_dialect
from bascule.persist.files import read_tree
from bascule.persist.foreign.dhcpcd import FILE as DHCPCD
from bascule.persist.persister import Persister, find_persister
from bascule.persist.wanted import declared_state
from bascule.plan.file_change import FileChange
from bascule.site import parse

SITE = """\
site: s
hosts:
  kvm:
    persist: {dialect}
    nics: {nics}
    bridges: {bridges}
"""
BOTH = (
    "{eth0: {address: 192.0.2.10/24}, eth1: {address: 198.51.100.10/24}}",
    "{br0: {uplink: eth0, address: from-uplink}}",
)
SECOND = ("{eth1: {address: 198.51.100.10/24}}", "{brx: {uplink: none}}")
NEITHER = ("{}", "{}")
INTERFACES = """\
source /etc/network/interfaces.d/*
# by the installer
auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 192.0.2.10/24

# the other wire
auto eth1
iface eth1 inet static
    address 198.51.100.9/24

auto eth7
iface eth7 inet dhcp
"""
NETPLAN = """\
network:
  version: 2
  ethernets:
    # by the installer
    eth0:
      addresses: [192.0.2.10/24]
    eth1:
      addresses: [198.51.100.9/24]
    eth7: {dhcp4: true}
"""
PROFILE = "[connection]\nid={0}\ntype=ethernet\ninterface-name={0}\n\n[ipv4]\nmethod=manual\naddress1={1}/24\n"
OWN = {
    "ifupdown": {"etc/network/interfaces": INTERFACES},
    "netplan": {"etc/netplan/50-cloud-init.yaml": NETPLAN},
    "networkd": {
        "etc/systemd/network/20-eth0.network": "[Match]\nName=eth0\n\n[Network]\nAddress=192.0.2.10/24\n",
        "etc/systemd/network/20-eth0.network.d/mine.conf": "[Network]\nDNS=192.0.2.1\n",
        "etc/systemd/network/20-eth1.network": "[Match]\nName=eth1\n\n[Network]\nAddress=198.51.100.9/24\n",
    },
    "keyfile": {
        f"etc/NetworkManager/system-connections/{name}.nmconnection": PROFILE.format(name, ip)
        for name, ip in (("eth0", "192.0.2.10"), ("eth1", "198.51.100.9"))
    },
    "ifcfg": {
        f"etc/sysconfig/network-scripts/ifcfg-{name}": f"DEVICE={name}\nONBOOT=yes\nIPADDR={ip}\nPREFIX=24\n"
        for name, ip in (("eth0", "192.0.2.10"), ("eth1", "198.51.100.9"))
    },
}


def persister(dialect: str, root: Path, entries: tuple[str, str]) -> Persister:
    text = SITE.replace("{dialect}", dialect).replace("{nics}", entries[0]).replace("{bridges}", entries[1])
    site = parse(text.encode(), "s.yaml")
    found, _ = find_persister(site, site.hosts["kvm"], root=str(root))
    assert found is not None
    return found


def write(dialect: str, root: Path, entries: tuple[str, str]) -> dict[str, FileChange]:
    """Write the files of a site, by their paths below the root."""
    one = persister(dialect, root, entries)
    wanted = declared_state(one.site, one.host)
    changes = one.changes(wanted)
    one.write(wanted)
    assert persister(dialect, root, entries).changes(wanted) == (), "a second plan has nothing to write"
    return {change.path.removeprefix(f"{root}/"): change for change in changes}


def install(dialect: str, root: Path) -> None:
    for path, text in OWN[dialect].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.replace("\n", "\r\n").encode() if dialect == "ifupdown" else text.encode())
        (root / path).chmod(0o640)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode)
        for path in root.rglob("*")
        if path.is_file()
    }


def own(root: Path, dialect: str) -> dict[str, tuple[bytes, int]]:
    return {path: found for path, found in tree(root).items() if path in OWN[dialect] or "moved-aside" in path}


@pytest.mark.parametrize("dialect", OWN)
def test_d01_all_of_it_comes_back_when_no_link_of_it_is_left(dialect: str, tmp_path: Path) -> None:
    install(dialect, tmp_path)
    before = own(tmp_path, dialect)
    write(dialect, tmp_path, BOTH)
    assert own(tmp_path, dialect) != before
    changed = write(dialect, tmp_path, NEITHER)
    assert own(tmp_path, dialect) == before  # with bytes and mode, and no copy is kept of it
    assert {path for path, one in changed.items() if one.action == "restore"} == set(OWN[dialect])


@pytest.mark.parametrize("dialect", OWN)
def test_d01_it_is_known_which_addresses_come_back_with_it(dialect: str, tmp_path: Path) -> None:
    """Whoever reads it sets them, and taking this back takes them away again."""
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    changed = write(dialect, tmp_path, SECOND)
    (first, *_) = OWN[dialect]
    assert changed[first].gives == {"eth0": ("192.0.2.10/24",)}
    (backup, *_) = back_up_for([changed[first]])
    assert backup.gives == changed[first].gives


BRIDGED = """\
auto lo
iface lo inet loopback

source /etc/network/interfaces.d/*
"""
VMBR0 = """\
auto vmbr0
iface vmbr0 inet static
    address 192.0.2.10/24
    bridge-ports eth0
    up ip rule add from 192.0.2.10 table 120 priority 1003
    down ip rule del from 192.0.2.10 table 120 priority 1003
"""


def test_d01_a_policy_rule_of_a_file_that_comes_back_is_said_by_that_file_alone(tmp_path: Path) -> None:
    """Ours said it as well, and the next plan wanted it to go."""
    for path, text in (("etc/network/interfaces", BRIDGED), ("etc/network/interfaces.d/vmbr0", VMBR0)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    first = ("{eth0: {}}", "{vmbr0: {uplink: eth0, address: 192.0.2.10/24}}")
    rule = RoutingRule(priority=1003, words=("from", "192.0.2.10", "lookup", "120"))

    def changes(entries: tuple[str, str]) -> dict[str, FileChange]:
        one = persister("ifupdown", tmp_path, entries)
        wanted = replace(declared_state(one.site, one.host), rules=(rule,))
        found = {change.path.removeprefix(f"{tmp_path}/"): change for change in one.changes(wanted)}
        one.write(wanted)
        return found

    ours = "etc/network/interfaces.d/bascule"
    assert "priority 1003" in str(changes(first)[ours].new)
    assert changes(first) == {}
    second = changes(("{eth0: {}}", "{dmz: {uplink: eth0, address: 192.0.2.99/24}}"))
    assert second["etc/network/interfaces.d/vmbr0"].action == "restore"
    assert "priority 1003" not in str(second[ours].new)
    assert changes(("{eth0: {}}", "{dmz: {uplink: eth0, address: 192.0.2.99/24}}")) == {}


@pytest.mark.parametrize("dialect", OWN)
def test_d01_of_a_file_for_several_links_the_part_that_is_needed_comes_back(dialect: str, tmp_path: Path) -> None:
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    changed = write(dialect, tmp_path, SECOND)
    (first, *_) = OWN[dialect]
    assert changed[first].action == "restore"
    assert "configures eth0" in changed[first].reason
    said = (tmp_path / first).read_text()
    assert "192.0.2.10" in said
    assert "198.51.100.9" not in said
    write(dialect, tmp_path, NEITHER)
    assert all(path in tree(tmp_path) for path in OWN[dialect])
    assert not [path for path in own(tmp_path, dialect) if "moved-aside" in path]


@pytest.mark.parametrize("dialect", OWN)
def test_d01_undo_puts_it_aside_again(dialect: str, tmp_path: Path) -> None:
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    before = tree(tmp_path)
    one = persister(dialect, tmp_path, NEITHER)
    wanted = declared_state(one.site, one.host)
    backups = back_up_for(one.changes(wanted))
    one.write(wanted)
    (first, *_) = OWN[dialect]
    with (tmp_path / first).open("a") as stream:
        stream.write("# by hand\n")
    assert list(drift(backups)) == []  # it is the administrator's own again
    restore(backups)
    changed = {path for path, found in tree(tmp_path).items() if before.get(path) != found}
    assert [path.rpartition(".")[2] for path in changed] == ["changed-meanwhile"]
    assert before.keys() <= tree(tmp_path).keys()


@pytest.mark.parametrize("dialect", ["ifupdown", "netplan"])
def test_d01_what_was_edited_since_is_left_and_named(dialect: str, tmp_path: Path) -> None:
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    (path,) = OWN[dialect]
    edited = (tmp_path / path).read_text().replace("eth7", "eth8")
    (tmp_path / path).write_text(edited)
    one = persister(dialect, tmp_path, NEITHER)
    changes = one.changes(declared_state(one.site, one.host))
    assert not [change for change in changes if change.path.endswith(path)]
    told = {note.subject: note.text for note in one.notes}
    assert {"eth0", "eth1"} <= told.keys()
    assert f"/etc/bascule/moved-aside/{path}" in told["eth0"]


def with_dhcpcd(root: Path) -> Path:
    """A dhcpcd that starts with the machine; its file."""
    unit = root / "etc/systemd/system/multi-user.target.wants/dhcpcd.service"
    unit.parent.mkdir(parents=True)
    unit.symlink_to("/lib/systemd/system/dhcpcd.service")
    (root / DHCPCD).write_text(OWN_DHCPCD)
    (root / DHCPCD).chmod(0o640)
    return root / DHCPCD


OWN_DHCPCD = "hostname\ndenyinterfaces eth7\ninterface eth1\nmetric 7\n"


@pytest.mark.parametrize("dialect", OWN)
def test_d01_dhcpcd_is_let_at_what_leaves_the_site_file(dialect: str, tmp_path: Path) -> None:
    install(dialect, tmp_path)
    file = with_dhcpcd(tmp_path)
    write(dialect, tmp_path, BOTH)
    assert file.read_text() == f"denyinterfaces eth0 eth1\n{OWN_DHCPCD}"
    changed = write(dialect, tmp_path, SECOND)
    assert changed[DHCPCD].action == "restore"
    assert file.read_text() == f"denyinterfaces eth1\n{OWN_DHCPCD}"
    write(dialect, tmp_path, BOTH)
    assert file.read_text().splitlines()[:2] == ["denyinterfaces eth0", "denyinterfaces eth1"]
    write(dialect, tmp_path, NEITHER)
    assert (file.read_text(), file.stat().st_mode & 0o777) == (OWN_DHCPCD, 0o640)
    assert not [path for path in tree(tmp_path) if "moved-aside" in path and "dhcpcd" in path]


def test_d01_where_somebody_changed_dhcpcds_file_the_plan_says_who_is_kept_away(tmp_path: Path) -> None:
    install("ifupdown", tmp_path)
    file = with_dhcpcd(tmp_path)
    write("ifupdown", tmp_path, BOTH)
    file.write_text(f"{file.read_text()}nohook resolv.conf\n".replace("metric 7", "metric 8"))
    one = persister("ifupdown", tmp_path, NEITHER)
    changes = one.changes(declared_state(one.site, one.host))
    assert not [change for change in changes if change.path.endswith(DHCPCD)]
    told = {note.subject: note.text for note in one.notes if "denyinterfaces" in note.text}
    assert set(told) == {"eth0", "eth1"}


@pytest.mark.parametrize("dialect", OWN)
def test_d01_files_of_a_link_stay_away_as_long_as_another_link_has_what_they_say(dialect: str, tmp_path: Path) -> None:
    """Its bridge has another uplink now and keeps the address: with the next start both links would have it."""
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    one = persister(dialect, tmp_path, ("{eth1: {}}", "{br0: {uplink: eth1, address: from-uplink}}"))
    there = declared_state(one.site, one.host)
    left = Link(name=IfName("eth0"), options=Physical(), up=True)
    bridge = replace(there.links[IfName("br0")], addresses=(Address(ip="192.0.2.10/24"),))
    wanted = replace(there, links={**there.links, "eth0": left, "br0": bridge})
    one.write(wanted)
    read = find_dialect(dialect)
    said = read.parse(read_tree(str(tmp_path), read.reads, read.includes).files).config.links
    assert {name: link.addresses for name, link in said.items() if "192.0.2.10/24" in link.addresses} == {
        "br0": ("192.0.2.10/24",)
    }
    write(dialect, tmp_path, NEITHER)
    assert not [path for path in own(tmp_path, dialect) if "moved-aside" in path], "they are back"


@pytest.mark.parametrize("dialect", sorted(OWN))
def test_d1_an_address_that_only_the_file_gives_back_is_told(dialect: str, tmp_path: Path) -> None:
    """A change took it off the NIC; after the next start the host has it, and nobody had said so."""
    install(dialect, tmp_path)
    write(dialect, tmp_path, BOTH)
    one = persister(dialect, tmp_path, SECOND)
    nic = Link(name=IfName("eth0"), options=Physical(), up=True, addresses=(Address(ip="192.0.2.99/24"),))
    state = declared_state(one.site, one.host)
    for addresses, told in (
        (nic.addresses, ["its own file comes back, and 192.0.2.10/24 is not on it now"]),
        ((*nic.addresses, Address(ip="192.0.2.10/24")), []),
    ):
        one.changes(replace(state, links={**state.links, nic.name: replace(nic, addresses=addresses)}))
        assert [note.text.partition(":")[0] for note in one.notes if note.subject == "eth0"] == told
