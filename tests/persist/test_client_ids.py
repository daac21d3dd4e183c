"""Who a link is to its DHCP server: what is read of it, and which link gets whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.importer.importing import Sources, import_sources
from bascule.model.dhcp.identity import ClientId
from bascule.model.links import Bond, Vlan
from bascule.model.values import IfName, Vid
from bascule.persist.client_ids import client_ids, with_client_ids
from bascule.persist.config import LinkConfig, NetworkConfig
from bascule.persist.dialect import dialect
from bascule.system.net import managers
from tests.persist.configs import bridge, nic

ETH0, ETH1, BR0 = IfName("eth0"), IfName("eth1"), IfName("br0")
HIS, OTHER = ClientId(iaid=7), ClientId(iaid=8)
NOTHING = NetworkConfig()
BRIDGED = NetworkConfig.of([nic("eth0", master=BR0), bridge("br0", dhcp4=True)])


def told(config: NetworkConfig, before: NetworkConfig, leased: dict[IfName, ClientId]) -> NetworkConfig:
    return with_client_ids(config, client_ids(config, before, leased.get))


def whose(config: NetworkConfig, before: NetworkConfig, leased: dict[IfName, ClientId]) -> dict[str, ClientId]:
    links = told(config, before, leased).links
    return {name: link.client_id for name, link in links.items() if link.client_id is not None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("015254000000aa", ClientId(by_mac=True)),
        ("FF:00:00:00:07:00:02:00:00:AB:11:01:02", ClientId(iaid=7, duid="00020000ab110102")),
        ("ff00020000ab110102030405060708", None),  # networkd's duid-only: a DUID and no IAID
        ("ff00000007", None),
        ("686f7374", None),  # what dhclient was told to send: a name
        ("", None),
    ],
)
def test_what_a_client_says_of_itself(text: str, said: ClientId | None) -> None:
    assert ClientId.of(text) == said


def test_the_bridge_is_whom_the_server_knows() -> None:
    before = NetworkConfig.of([nic("eth0", dhcp4=True)])
    assert whose(BRIDGED, before, {ETH0: HIS}) == {"br0": HIS}
    assert whose(BRIDGED, NOTHING, {ETH0: HIS}) == {"br0": HIS}, "the installer's file is away"
    said = NetworkConfig.of([nic("eth0", dhcp4=True, client_id=OTHER)])
    assert whose(BRIDGED, said, {}) == {"br0": OTHER}, "its manager rests: what its file said"
    assert whose(BRIDGED, before, {}) == {}, "no lease, no line"


def test_it_stays_so() -> None:
    mine = told(BRIDGED, NOTHING, {ETH0: HIS})
    for leased in ({}, {BR0: HIS}, {BR0: OTHER, ETH0: OTHER}):
        assert told(BRIDGED, mine, leased) == mine
    other_nic = NetworkConfig.of([nic("eth1", master=BR0), bridge("br0", dhcp4=True), nic("eth0")])
    assert whose(other_nic, mine, {ETH1: OTHER}) == {"br0": HIS}, "its uplink is another one now"
    renamed = NetworkConfig.of([nic("wan", master=BR0), bridge("br0", dhcp4=True)])
    assert whose(renamed, mine, {}) == {"br0": HIS}
    assert whose(BRIDGED, BRIDGED, {BR0: HIS}) == {}, "nobody writes a file anew that was right without"


def test_and_gives_it_back() -> None:
    mine = told(BRIDGED, NOTHING, {ETH0: HIS})
    alone = NetworkConfig.of([nic("eth0", dhcp4=True)])
    assert whose(alone, mine, {BR0: HIS}) == {"eth0": HIS}
    assert whose(alone, mine, {}) == {"eth0": HIS}


def test_through_a_bond_and_not_through_a_vlan() -> None:
    bond = LinkConfig(name=IfName("bond0"), options=Bond(), master=BR0)
    nics = [nic("eth0", master=bond.name), nic("eth1", master=bond.name)]
    bonded = NetworkConfig.of([*nics, bond, bridge("br0", dhcp4=True)])
    assert whose(bonded, NOTHING, {ETH1: HIS}) == {"br0": HIS}
    assert whose(bonded, NOTHING, {bond.name: OTHER, ETH1: HIS}) == {"br0": OTHER}
    tagged = LinkConfig(name=IfName("eth0.30"), options=Vlan(id=Vid(30)), parent=ETH0, master=BR0)
    for below in (nic("eth0", dhcp4=True), nic("eth0")):
        config = NetworkConfig.of([below, tagged, bridge("br0", dhcp4=True)])
        known = NetworkConfig.of([nic("eth0", dhcp4=True)])
        assert "br0" not in whose(config, known, {ETH0: HIS}), "the lease of another network"
        assert whose(config, known, {tagged.name: OTHER})["br0"] == OTHER


@pytest.fixture
def networkd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders below /run/systemd/netif; the loopback has index 1 everywhere."""
    monkeypatch.setattr(managers, "is_machines_own", lambda: True)
    for name, constant in (("leases", "NETWORKD_LEASES"), ("links", "NETWORKD_LINKS")):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(managers, constant, tmp_path / name)
    return tmp_path


def test_what_networkd_keeps(networkd: Path) -> None:
    here = IfName("lo")
    assert dialect("networkd").takeover.client_id(here) is None
    lease = networkd / "leases" / "1"
    lease.write_text(
        "# This is private data. Do not parse.\nADDRESS=10.0.0.5\nCLIENTID=ff0000000700020000ab1101020304\n"
    )
    assert dialect("netplan").takeover.client_id(here) == HIS, "the machine's own DUID is not written down"
    assert dialect("networkd").takeover.client_id(IfName("none0")) is None
    assert dialect("ifupdown").takeover.client_id(here) is None
    lease.write_text("CLIENTID=ff000000070004" + "ab" * 16 + "\n")
    assert dialect("networkd").takeover.client_id(here) == ClientId(iaid=7, duid="0004" + "ab" * 16)
    lease.write_text("CLIENTID=015254000000aa\n")
    assert dialect("networkd").takeover.client_id(here) == ClientId(by_mac=True)
    (networkd / "links" / "1").write_text("ADMIN_STATE=configured\nDHCP6_CLIENT_IAID=0x5de26c15\n")
    assert dialect("networkd").takeover.client_id(here) == ClientId(by_mac=True, iaid=0x5DE26C15)
    lease.write_bytes(b"\xff\0CLIENTID=zz\n")
    assert dialect("networkd").takeover.client_id(here) is None


FOREIGN = {
    "networkd": (
        "etc/systemd/network/lan.network",
        "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n\n[DHCP]\nClientIdentifier=mac\nIAID=0x7\nUseDNS=no\nDUIDType=uuid\n",
        ["9: [DHCP] IAID=0x7: '0x7' is not a whole number",
         "10: [DHCP] UseDNS=no: those of advertisements are taken, and a site file says one thing of both",
         "11: [DHCP] DUIDType=uuid: a DUID is taken only with both DUIDType= and DUIDRawData="],
    ),
    "netplan": (
        "etc/netplan/50-lan.yaml",
        "network:\n ethernets:\n  eth0:\n   dhcp4: true\n   dhcp-identifier: mac\n  eth1:\n   dhcp-identifier: name\n",
        ["7: eth1: dhcp-identifier: name: 'name' is neither mac nor duid"],
    ),
    "keyfile": (
        "etc/NetworkManager/system-connections/lan.nmconnection",
        "[connection]\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\ndhcp-client-id=mac\ndhcp-iaid=stable\n",
        ["8: [ipv4] dhcp-iaid=stable: not taken"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_import_takes_it_and_says_that_a_site_file_has_no_word_for_it(name: str) -> None:
    path, text, left = FOREIGN[name]
    parsed = dialect(name).parse({path: text})
    assert parsed.config.links[ETH0].client_id == ClientId(by_mac=True)
    assert [str(each) for each in parsed.left] == [f"{path}:{line}" for line in left]
    notes = import_sources(Sources(host="h", site="s", dialect=name, files={path: text})).notes
    assert any(
        "eth0: the DHCP client identifier is its MAC; 'bascule apply' keeps it on this host" in note for note in notes
    )


@pytest.mark.parametrize("raw", ["ff:00:00:00:07:00:04:01:02:03", "duid"])
def test_a_keyfile_with_the_whole_identifier(raw: str) -> None:
    path = "etc/NetworkManager/system-connections/lan.nmconnection"
    text = f"[connection]\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\ndhcp-client-id={raw}\n"
    parsed = dialect("keyfile").parse({path: text})
    if raw == "duid":  # which says nothing without a dhcp-iaid: NetworkManager makes it of the link's name
        assert parsed.left[0].text == "[ipv4] dhcp-client-id=duid"
        parsed = dialect("keyfile").parse({path: f"{text}dhcp-iaid=7\n"})
    assert parsed.left == ()
    assert parsed.config.links[ETH0].client_id == ClientId(iaid=7, duid="" if raw == "duid" else "0004010203")
