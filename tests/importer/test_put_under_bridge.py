"""``bascule import --bridge NIC``: from a host as it was installed to a bridge in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule import workflow
from bascule.errors import SiteFault, UsageFault
from bascule.importer.put_under_bridge import NewBridge
from bascule.model.links import Physical
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.persist.wanted import wanted_config
from tests.persist.test_verbs import bascule

NIC = Link(name=IfName("eno1"), options=Physical(), mac=Mac("02:00:00:00:00:01"))
NETPLAN = """\
network:
  ethernets:
    eno1:
      addresses: [192.168.1.53/24]
      routes: [{to: default, via: 192.168.1.1}]
      nameservers: {addresses: [192.168.1.2]}
    eno2: {}
    eno3: {}
    eno4: {}
  bonds: {bond0: {interfaces: [eno3, eno4]}}
  bridges: {br0: {interfaces: [eno2]}}
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    place = tmp_path / "etc/netplan/installer.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(NETPLAN)
    return str(tmp_path)


def imported(root: str, over: str, name: str | None = None) -> dict[str, object]:
    found = workflow.import_host(root=root, host="h", bridge=NewBridge(over, name))
    return dict(found.document["hosts"]["h"]["bridges"])


def test_the_nic_keeps_its_entry_and_the_bridge_takes_over_its_address(root: str) -> None:
    found = workflow.import_host(root=root, host="h", bridge=NewBridge("eno1"))
    host = found.site.hosts["h"]
    assert (host.bridges[IfName("br1")].uplink, host.bridges[IfName("br1")].from_uplink) == ("eno1", True)
    assert found.left_out == 0
    kept = wanted_config(found.site, host).links[IfName("br1")]  # what comes up at the next boot
    assert (kept.addresses, [route.gateway for route in kept.routes], kept.dns) == (
        ("192.168.1.53/24",),
        ["192.168.1.1"],
        ("192.168.1.2",),
    )


@pytest.mark.parametrize(("said", "mode"), [("accept-ra: true", "auto"), ("dhcp6: true", "dhcp")])
def test_a_nic_that_has_addresses_by_ipv6_alone_hands_them_over(tmp_path: Path, said: str, mode: str) -> None:
    place = tmp_path / "etc/netplan/installer.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(f"network: {{version: 2, ethernets: {{eno1: {{{said}}}}}}}\n")
    found = workflow.import_host(root=str(tmp_path), host="h", bridge=NewBridge("eno1"))
    assert found.left_out == 0
    assert wanted_config(found.site, found.site.hosts["h"]).links[IfName("br0")].ipv6 == mode


def test_a_nic_without_address_or_a_bond_goes_under_a_bridge_for_guests(root: str) -> None:
    assert imported(root, "bond0", "lan")["lan"] == {"uplink": "bond0"}


SPEAKING = {
    "bond0": "ethernets: {eno1: {}, eno2: {}}, bonds: {bond0: {interfaces: [eno1, eno2], OWN}}",
    "eno1.20": "ethernets: {eno1: {}}, vlans: {eno1.20: {id: 20, link: eno1, OWN}}",
    "mgmt": "ethernets: {eno1: {}}, vlans: {mgmt: {id: 20, link: eno1, OWN}}",
}


@pytest.mark.parametrize("over", SPEAKING)
def test_a_bond_or_a_vlan_hands_over_its_address(over: str, tmp_path: Path) -> None:
    place = tmp_path / "etc/netplan/installer.yaml"
    place.parent.mkdir(parents=True)
    own = "addresses: [10.20.0.5/24], routes: [{to: default, via: 10.20.0.1}]"
    place.write_text(f"network: {{version: 2, {SPEAKING[over].replace('OWN', own)}}}\n")
    found = workflow.import_host(root=str(tmp_path), host="h", bridge=NewBridge(over))
    host = found.site.hosts["h"]
    links = wanted_config(found.site, host).links
    bridge = links[IfName("br0")]
    assert (bridge.addresses, [route.gateway for route in bridge.routes]) == (("10.20.0.5/24",), ["10.20.0.1"])
    assert (links[IfName(over)].master, links[IfName(over)].addresses) == ("br0", ())


@pytest.mark.parametrize(
    ("over", "name", "told"),
    [
        ("eno9", None, "there is no NIC, bond or VLAN 'eno9' to put under a bridge"),
        ("br0", None, "'br0' is a bridge itself"),
        ("eno2", None, "'eno2' is under bridge 'br0' already"),
        ("eno3", None, "NIC 'eno3' is a member of bond 'bond0'"),
        ("eno1", "eno2", "there is a link 'eno2' already"),
        ("eno1", "br0", "there is a link 'br0' already"),
        ("eno1", "a/b", "this is not a valid name for a bridge"),
        ("eno1", "a" * 16, "this is not a valid name for a bridge"),
    ],
)
def test_what_cannot_go_under_a_bridge_is_refused(root: str, over: str, name: str | None, told: str) -> None:
    with pytest.raises(UsageFault) as fault:
        imported(root, over, name)
    assert fault.value.problems[0].code == "NEW-BRIDGE"
    assert told in str(fault.value)


def test_wrong_words_on_the_command_line(root: str) -> None:
    assert "'--as' names the bridge" in bascule("import", "--root", root, "--as", "br7", status=64).stderr
    assert "error[NEW-BRIDGE]" in bascule("import", "--root", root, "--bridge", "eno9", status=64).stderr


def test_an_uplink_that_nobody_knows_is_refused_by_plan_and_render_with_its_place(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("site: s\nhosts: {h: {nics: {eno1: {}}, bridges: {br0: {uplink: unknown}, br1: {uplink: none}}}}\n")
    assert workflow.check(str(site)) == ()
    for refused in (
        lambda: workflow.render(str(site), "networkd"),
        lambda: workflow.plan(str(site), observed=HostState.of([NIC])),
    ):
        with pytest.raises(SiteFault) as fault:
            refused()
        [problem] = fault.value.problems
        assert (problem.code, str(problem.place)) == ("UPLINK-UNKNOWN", f"{site}:2:55")


def test_members_of_a_bond_that_nobody_knows_are_refused_the_same_way(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    bond = "{nics: [eno1, unknown], mode: 802.3ad, min_links: 2}"
    site.write_text(
        f"site: s\nhosts: {{h: {{nics: {{eno1: {{}}}}, bonds: {{b0: {bond}}}, bridges: {{br0: {{uplink: b0}}}}}}}}\n"
    )
    assert workflow.check(str(site)) == ()
    assert "b0" in workflow.draw(str(site), form="text")
    for refused in (
        lambda: workflow.render(str(site), "networkd"),
        lambda: workflow.plan(str(site), observed=HostState.of([NIC])),
    ):
        with pytest.raises(SiteFault) as fault:
            refused()
        [problem] = fault.value.problems
        assert (problem.code, str(problem.place)) == ("UPLINK-UNKNOWN", f"{site}:2:50")
        assert problem.message == "no members are given for bond 'b0'"
