"""D1: what a host's own files say of a NIC and the site file leaves open is kept with the change, or named as lost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.apply.prepare import prepare, prepare_from
from bascule.model.links import Physical
from bascule.model.state import HostState, Link, RoutingRule
from bascule.model.values import IfName
from bascule.persist.config import LinkConfig
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from bascule.persist.persister import find_persister
from bascule.plan.file_change import FileChange
from bascule.site import parse
from bascule.system.net.links import mac_of
from tests.lab import called
from tests.real_hosts.field import ONE_NIC, Field

NETPLAN, PROFILE = "etc/netplan/50-cloud-init.yaml", "etc/NetworkManager/system-connections/eth0.nmconnection"
UNIT, LINK = "etc/systemd/network/20-wired.network", "etc/systemd/network/70-uplink.link"
OWN = {  # with the NIC's MAC in each
    "netplan": {
        NETPLAN: """\
network:
  version: 2
  ethernets:
    eth0:
      match: {macaddress: "%s"}
      set-name: eth0
      addresses: [192.168.1.10/24]
      mtu: 1400
      wakeonlan: true
      nameservers: {addresses: [192.168.1.1], search: [lab.example]}
""",
    },
    "networkd": {
        UNIT: "[Match]\nName=eth0\n\n[Link]\nMTUBytes=1400\n\n[Network]\nAddress=192.168.1.10/24\nDNS=192.168.1.1\n"
        "Domains=lab.example\n",
        LINK: "[Match]\nPermanentMACAddress=%s\n\n[Link]\nName=eth0\nWakeOnLan=magic\nRxBufferSize=4096\n",
    },
    "keyfile": {
        PROFILE: "[connection]\nid=wired\ntype=ethernet\ninterface-name=eth0\n\n[ethernet]\nmac-address=%s\nmtu=1400\n"
        "wake-on-lan=64\n\n[ipv4]\nmethod=manual\naddress1=192.168.1.10/24\ndns=192.168.1.1;\ndns-search=lab.example;\n",
    },
    "ifupdown": {
        "etc/network/interfaces": "auto eth0\niface eth0 inet static\n  address 192.168.1.10/24\n  mtu 1400\n"
        "  ethernet-wol g\n  dns-nameservers 192.168.1.1\n  dns-search lab.example\n",
        LINK: "[Match]\nPermanentMACAddress=%s\n\n[Link]\nName=eth0\n",
    },
    "ifcfg": {
        "etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=eth0\nTYPE=Ethernet\nHWADDR=%s\nONBOOT=yes\nMTU=1400\n"
        'ETHTOOL_OPTS="wol g"\nBOOTPROTO=none\nIPADDR=192.168.1.10\nPREFIX=24\nDNS1=192.168.1.1\nDOMAIN=lab.example\n',
    },
}


@pytest.fixture(scope="module")
def mac(shared_host: Field) -> str:
    return str(mac_of(shared_host.host, IfName("eth0")))


@pytest.fixture(scope="module")
def plain(shared_host: Field) -> HostState:
    """What the change of the one NIC leads to, where that has the MTU of any."""
    return leads_to(shared_host)


@pytest.fixture(scope="module")
def wanted(shared_host: Field, plain: HostState) -> HostState:
    """What it leads to where the NIC has the MTU of its file."""
    shared_host.batch("link set eth0 mtu 1400\n")
    found = leads_to(shared_host)
    shared_host.batch("link set eth0 mtu 1500\n")
    assert found != plain
    return found


def leads_to(field: Field) -> HostState:
    site = parse(ONE_NIC.encode(), "one.yaml")
    with field.host.entered(), called("kvm"):
        return prepare(site, site.hosts["kvm"]).wanted


def write(
    name: str, mac: str, root: Path, wanted: HostState, text: str = ONE_NIC, own: Mapping[str, str] | None = None
) -> tuple[FileChange, ...]:
    """Put the host's own files below a root, and the change over them."""
    for path, words in (own or OWN[name]).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(words.replace("%s", mac))
    site = parse(text.replace("  kvm:\n", f"  kvm:\n    persist: {name}\n").encode(), "one.yaml")
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(root))
    assert persister is not None
    changes = persister.changes(wanted)
    persister.write(wanted)
    assert persister.changes(wanted) == (), "a second plan has nothing to write"
    return changes


def links(name: str, root: Path) -> dict[str, LinkConfig]:
    one = dialect(name)
    found = one.parse(read_tree(root, one.reads, one.includes).files).config.links
    return {str(link): said for link, said in found.items()}


def lost(changes: tuple[FileChange, ...]) -> list[str]:
    return [words for one in changes for words in one.lost]


@pytest.mark.parametrize("name", OWN)
def test_d1_mtu_wake_up_and_tie_to_the_hardware_stay(name: str, mac: str, wanted: HostState, tmp_path: Path) -> None:
    changes = write(name, mac, tmp_path, wanted)
    nic, bridge = links(name, tmp_path)["eth0"], links(name, tmp_path)["br0"]
    assert (nic.master, nic.mtu, nic.wol, nic.pin_mac) == ("br0", 1400, ("magic",), mac)
    assert (bridge.dns, bridge.search) == (("192.168.1.1",), ("lab.example",))
    assert not lost(changes)
    if name in {"networkd", "ifupdown"}:
        assert (tmp_path / LINK).exists(), "udev's file is nobody's who configures addresses"
        assert LINK not in {one.path for one in changes}


@pytest.mark.parametrize("name", OWN)
def test_d1_the_mac_that_the_nic_was_given_stays(name: str, mac: str, wanted: HostState, tmp_path: Path) -> None:
    """It is the one that the hoster or a DHCP server knows; one that the NIC has not got is named as lost."""
    said = {
        "netplan": "      macaddress: %s\n",
        "networkd": "MACAddress=%s\n",
        "keyfile": "cloned-mac-address=%s\n",
        "ifupdown": "  hwaddress %s\n",
        "ifcfg": "MACADDR=%s\n",
    }
    for given in (mac, "02:00:00:00:77:77"):
        root = tmp_path / given
        own = {
            path: re.sub(r"( *mtu.*\n)", rf"\1{said[name] % given}", text, flags=re.I)
            for path, text in OWN[name].items()
        }
        changes = write(name, mac, root, wanted, own=own)
        assert links(name, root)["eth0"].mac == (mac if given == mac else None)
        assert lost(changes) == ([] if given == mac else [f"MAC {given} of eth0"])


@pytest.mark.parametrize("name", OWN)
def test_d1_what_the_site_file_says_comes_first(name: str, mac: str, wanted: HostState, tmp_path: Path) -> None:
    changes = write(name, mac, tmp_path, wanted, ONE_NIC.replace("{network: office}", "{network: office, mtu: 1500}"))
    assert links(name, tmp_path)["eth0"].mtu in {None, 1500}
    assert [one for one in lost(changes) if "MTU" in one] == ["MTU 1400 of eth0"]


@pytest.mark.parametrize("name", OWN)
def test_d1_an_mtu_that_the_host_does_not_have_is_named(name: str, mac: str, plain: HostState, tmp_path: Path) -> None:
    assert lost(write(name, mac, tmp_path, plain)) == ["MTU 1400 of eth0"]


@pytest.mark.parametrize("name", ["netplan", "keyfile", "ifcfg"])
def test_d1_a_tie_to_other_hardware_is_not_kept(name: str, wanted: HostState, tmp_path: Path) -> None:
    write(name, "02:00:00:00:77:77", tmp_path, wanted)
    assert links(name, tmp_path)["eth0"].pin_mac is None


RULES = {  # two that the kernel has, and one that it has not
    "netplan": {NETPLAN: "network:\n  ethernets:\n    eth0:\n      addresses: [192.168.1.10/24]\n"
                "      routing-policy:\n      - {from: 192.168.1.10, table: 77, priority: 700}\n"
                "      - {to: 10.9.0.0/16, table: 78, priority: 900}\n      - {from: 10.1.1.1, table: 79}\n"},
    "networkd": {UNIT: "[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\n[RoutingPolicyRule]\n"
                 "From=192.168.1.10\nTable=77\nPriority=700\n[RoutingPolicyRule]\nTo=10.9.0.0/16\nTable=78\nPriority=900\n"
                 "[RoutingPolicyRule]\nFrom=10.1.1.1\nTable=79\nPriority=910\n"},
    "keyfile": {PROFILE: "[connection]\nid=wired\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=manual\naddress1="
                "192.168.1.10/24\nrouting-rule1=priority 700 from 192.168.1.10 table 77\nrouting-rule2=priority 900 "
                "to 10.9.0.0/16 table 78\nrouting-rule3=priority 910 from 10.1.1.1 table 79\n"},
    "ifupdown": {"etc/network/interfaces": "auto eth0\niface eth0 inet static\n  address 192.168.1.10/24\n"
                 "  up ip rule add from 192.168.1.10 table 77 priority 700\n  up ip rule add to 10.9.0.0/16 table 78 "
                 "priority 900\n  up ip rule add from 10.1.1.1 table 79 priority 910\n"},
    "ifcfg": {"etc/sysconfig/network-scripts/ifcfg-lan": "DEVICE=eth0\nONBOOT=yes\nIPADDR=192.168.1.10\nPREFIX=24\n",
              "etc/sysconfig/network-scripts/rule-lan": "from 192.168.1.10 table 77\nto 10.9.0.0/16 table 78 priority "
              "900\nfrom 10.1.1.1 table 79\n"},
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_d1_rules_by_address_go_along_or_are_named(
    name: str, plain: HostState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name no link; in a file of their own, nothing but its name says whose they are."""
    rules = (RoutingRule(priority=700, words=("from", "192.168.1.10", "lookup", "77")),
             RoutingRule(priority=900, words=("from", "all", "to", "10.9.0.0/16", "lookup", "78")))  # fmt: skip
    monkeypatch.setitem(OWN, name, RULES[name])
    changes = write(name, "", tmp_path, replace(plain, rules=(*plain.rules, *rules)))
    one = dialect(name)
    said = one.parse(read_tree(tmp_path, one.reads, one.includes).files).config.rules
    assert {(rule.table, rule.priority) for rule in said} == {(77, 700), (78, 900)}
    (told,) = lost(changes)
    assert told.endswith("from 10.1.1.1/32 table 79"), told


PROFILES = "[connection]\nid={nic}\ntype=ethernet\ninterface-name={nic}\n[ipv4]\nmethod=manual\n"
EXTRA = {  # of a second NIC, of which the site file says nothing but its name
    "netplan": {
        NETPLAN: """\
network:
  ethernets:
    eth0: {addresses: [192.168.1.10/24]}
    eth1:
      addresses: [10.3.0.10/24, 10.3.0.12/24, 10.3.0.11/24]
      nameservers: {addresses: [10.3.0.53]}
      routes: [{to: 172.23.0.0/16, via: 10.3.0.9}, {to: 172.24.0.0/16, via: 10.3.0.9}]
"""
    },
    "networkd": {
        UNIT: "[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\n",
        "etc/systemd/network/lan.network": "[Match]\nName=eth1\n[Network]\nAddress=10.3.0.10/24\nAddress=10.3.0.12/24\n"
        "Address=10.3.0.11/24\nDNS=10.3.0.53\n[Route]\nDestination=172.23.0.0/16\nGateway=10.3.0.9\n"
        "[Route]\nDestination=172.24.0.0/16\nGateway=10.3.0.9\n",
    },
    "keyfile": {
        PROFILE: PROFILES.format(nic="eth0") + "address1=192.168.1.10/24\n",
        PROFILE.replace("eth0", "lan"): PROFILES.format(nic="eth1")
        + "address1=10.3.0.10/24\naddress2=10.3.0.12/24\naddress3=10.3.0.11/24\n"
        "route1=172.23.0.0/16,10.3.0.9\nroute2=172.24.0.0/16,10.3.0.9\ndns=10.3.0.53;\n",
    },
    "ifupdown": {
        "etc/network/interfaces": "source /etc/network/interfaces.d/*\n",
        "etc/network/interfaces.d/eth0": "auto eth0\niface eth0 inet static\n  address 192.168.1.10/24\n",
        "etc/network/interfaces.d/eth1": "auto eth1\niface eth1 inet static\n  address 10.3.0.10/24\n"
        "  dns-nameservers 10.3.0.53\n  up ip route add 172.23.0.0/16 via 10.3.0.9\n"
        "  up ip route add 172.24.0.0/16 via 10.3.0.9\n"
        "iface eth1 inet static\n  address 10.3.0.12/24\niface eth1 inet static\n  address 10.3.0.11/24\n",
    },
    "ifcfg": {
        "etc/sysconfig/network-scripts/ifcfg-lan": "DEVICE=eth0\nONBOOT=yes\nIPADDR=192.168.1.10\nPREFIX=24\n",
        "etc/sysconfig/network-scripts/ifcfg-eth1": "DEVICE=eth1\nONBOOT=yes\nIPADDR=10.3.0.10\nPREFIX=24\n"
        "IPADDR1=10.3.0.12\nPREFIX1=24\nIPADDR2=10.3.0.11\nPREFIX2=24\nDNS1=10.3.0.53\n",
        "etc/sysconfig/network-scripts/route-eth1": "172.23.0.0/16 via 10.3.0.9\n172.24.0.0/16 via 10.3.0.9\n",
    },
}
TWO = ONE_NIC.replace("{eth0: {network: office}}", "{eth0: {network: office}, eth1: {}}")


@pytest.mark.parametrize("under_bridge", [False, True])
@pytest.mark.parametrize("name", EXTRA)
def test_d1_what_stays_on_a_link_is_there_after_the_next_start(
    name: str, under_bridge: bool, shared_host: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a NIC that the file only names: the addresses and routes that plan leaves on it, and no others."""
    text = TWO.replace("from-uplink}", "from-uplink}, br1: {uplink: eth1}") if under_bridge else TWO
    address = ("addr add 10.3.0.10/24 dev eth1", "addr add 10.3.0.11/24 dev eth1", "addr add 10.3.0.77/24 dev eth1")
    try:
        shared_host.batch("\n".join([*address, "route add 172.23.0.0/16 via 10.3.0.9", ""]))
        site = parse(text.encode(), "one.yaml")
        with shared_host.host.entered(), called("kvm"):
            found = prepare(site, site.hosts["kvm"])
    finally:
        shared_host.batch("addr flush dev eth1 scope global\n")
    monkeypatch.setitem(OWN, name, EXTRA[name])
    changes = write(name, "", tmp_path, found.wanted, text)
    link = links(name, tmp_path)["br1" if under_bridge else "eth1"]
    if under_bridge and not found.wanted.links[IfName("br1")].addresses:
        assert not link.addresses
        assert {"address 10.3.0.10/24 of eth1", "route to 172.23.0.0/16 via 10.3.0.9 of eth1"} <= {*lost(changes)}
        return
    assert link.addresses == ("10.3.0.10/24", "10.3.0.11/24"), "in the order of the kernel, which speaks by the first"
    assert [route.dst for route in link.routes] == ["172.23.0.0/16"]
    assert link.dns == ("10.3.0.53",)
    assert {"address 10.3.0.12/24 of eth1", "route to 172.24.0.0/16 via 10.3.0.9 of eth1"} == {*lost(changes)}
    for one in changes:
        assert not one.lost or one.path.endswith(("eth1", "lan.network", "lan.nmconnection", "cloud-init.yaml")), (
            one.path
        )


@pytest.mark.parametrize(("said", "asks"), [("{}", True), ("{address: 10.3.0.20/24}", False)])
def test_d1_a_lease_is_asked_for_again_unless_the_file_has_an_address(
    said: str, asks: bool, shared_host: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TWO.replace("eth1: {}", f"eth1: {said}")
    site = parse(text.encode(), "one.yaml")
    try:
        shared_host.batch("addr add 10.3.0.10/24 dev eth1 valid_lft 4000 preferred_lft 4000\n")
        with shared_host.host.entered(), called("kvm"):
            found = prepare(site, site.hosts["kvm"])
    finally:
        shared_host.batch("addr flush dev eth1 scope global\n")
    lan = "[Match]\nName=eth1\n[Network]\nDHCP=ipv4\n"
    monkeypatch.setitem(OWN, "networkd", {**EXTRA["networkd"], "etc/systemd/network/lan.network": lan})
    changes = write("networkd", "", tmp_path, found.wanted, text)
    assert links("networkd", tmp_path)["eth1"].dhcp4 is asks
    assert ("DHCP for IPv4 of eth1" in lost(changes)) is not asks


def test_d1_a_lease_that_ends_is_told_at_the_file_that_asked_for_it(tmp_path: Path) -> None:
    """Of two files that are moved, eth1's is the one with the lease; eth0's was named, which has none."""
    folder = tmp_path / "etc/systemd/network"
    folder.mkdir(parents=True)
    (folder / "10-first.network").write_text("[Match]\nName=eth0\n[Network]\nAddress=192.168.1.10/24\n")
    (folder / "20-second.network").write_text("[Match]\nName=eth1\n[Network]\nDHCP=ipv4\n")
    text = ONE_NIC.replace("{eth0: {network: office}}", "{eth0: {network: office}, eth1: {network: office}}").replace(
        "from-uplink}}", "from-uplink}, br1: {uplink: eth1}}"
    )
    site = parse(text.replace("  kvm:\n", "  kvm:\n    persist: networkd\n").encode(), "one.yaml")
    nics = {IfName(name): Link(name=IfName(name), options=Physical(), up=True) for name in ("eth0", "eth1")}
    found = prepare_from(site, site.hosts["kvm"], HostState(links=nics))
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
    assert persister is not None
    told = {one.path.rpartition("/")[2]: one.lost for one in persister.changes(found.wanted)}
    assert told["20-second.network"] == ("DHCP for IPv4 of eth1",)
    assert "DHCP" not in str(told["10-first.network"])
