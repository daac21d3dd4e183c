"""What a right file means."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
import yaml

import bascule.site.tree
from bascule.errors import Place, SiteFault
from bascule.model.site import Mode, PlugKind, Site, Verdict
from bascule.model.values import IfName, Service, derive_guest_mac
from bascule.site import parse

ROOT = Path(__file__).parent.parent.parent
PRODUCTION = ROOT / "examples" / "production.yaml"
FULL = Path(__file__).parent / "full.yaml"


@pytest.fixture(scope="module")
def production() -> Site:
    return parse(PRODUCTION.read_bytes(), "production.yaml")


@pytest.fixture(scope="module")
def full() -> Site:
    return parse(FULL.read_bytes(), "full.yaml")


def test_production(production: Site) -> None:
    assert production.name == "production"
    assert production.networks["internal"].subnets == (ip_network("192.168.1.0/24"),)
    host = production.hosts["vmserver"]
    assert host.memory == 64 << 30
    assert host.nics[IfName("eth2")].addresses == (ip_interface("192.168.1.10/24"),)
    assert not host.nics[IfName("eth4")].has_address
    assert host.bridges[IfName("br3")].uplink == "eth4"
    nic = production.guests["guest_02"].nics[0]
    assert (nic.plug, nic.into, nic.mac, nic.mac_given) == (PlugKind.BRIDGE, "br3", "52:54:00:28:23:af", True)
    assert nic.dhcp
    assert not nic.addresses
    assert production.guests["guest_02"].serves == (Service("tcp", 3389, 3389), Service("tcp", 8000, 8100))
    dmz = production.machines["dmz"]
    assert dmz.dhcp is not None
    assert str(dmz.dhcp.range) == "192.168.1.100-192.168.1.199"
    assert dmz.masquerade is not None
    assert (dmz.masquerade.sources, dmz.masquerade.to) == (("guest_02",), "internet")
    seen = production.expectations[3]
    assert (seen.source, seen.service, seen.verdict, seen.seen_as) == (
        "guest_02",
        Service("icmp"),
        Verdict.REACH,
        "dmz",
    )


def test_what_is_not_given_is_derived(production: Site) -> None:
    nic = production.guests["guest_01"].nics[0]
    assert nic.mac == derive_guest_mac("production", "vmserver", "guest_01", 0)
    assert not nic.mac_given
    assert nic.tap == "guest_01.0"


def test_places_point_into_the_file(production: Site) -> None:
    lines = PRODUCTION.read_text().splitlines()

    def at(place: Place) -> str:
        assert place.file == "production.yaml"
        return lines[place.line - 1][place.column - 1 :]

    assert at(production.networks["internet"].place).startswith("internet:")
    assert at(production.hosts["vmserver"].bridges[IfName("br3")].place).startswith("br3:")
    assert at(production.guests["guest_03"].nics[0].place).startswith("{bridge: br3, address: 192.168.1.33/24}")
    assert at(production.expectations[4].place).startswith("{from: guest_03")


def test_the_digest_is_of_the_bytes(production: Site) -> None:
    changed = parse(PRODUCTION.read_bytes() + b"# a comment\n", "production.yaml")
    assert changed == production
    assert changed.source.digest != production.source.digest


def test_every_key(full: Site) -> None:
    host = full.hosts["vmserver"]
    assert host.persist == "networkd"
    assert host.serves == (Service("tcp", 22, 22),)
    bond = host.bonds[IfName("bond0")]
    assert (bond.nics, bond.mode, bond.mtu) == (("eth4", "eth5"), "802.3ad", 9000)
    switch = host.nics[IfName("eth4")].switch
    assert switch is not None
    assert (switch.name, switch.port) == ("sw1", "Gi0/5")
    aware = host.bridges[IfName("br0")]
    assert (aware.vlan_aware, aware.stp, aware.mtu, aware.port) == (True, True, 9000, "bond0")
    tagged = host.bridges[IfName("br30")]
    assert (tagged.vlan, tagged.port) == (30, "eth6.30")
    assert host.bridges[IfName("br-mgmt")].from_uplink
    none = host.bridges[IfName("br-lab")]
    assert (none.uplink, none.addresses) == (None, (ip_interface("10.0.0.5/24"),))
    lab = host.virtual_networks["lab"]
    assert (lab.mode, lab.forwards[0].host_port, lab.forwards[0].guest) == (Mode.NAT, 2222, "web")
    web = full.guests["web"]
    assert web.nics[0].vlan == 30
    assert web.nics[1].vlans == ((10, 10), (20, 29))
    assert web.nics[2].plug is PlugKind.NETWORK
    assert web.nics[3].plug is PlugKind.DIRECT
    assert web.nics[3].tap == "vnet7"
    dual = full.networks["staff"]
    assert dual.subnets == (ip_network("192.168.30.0/24"), ip_network("2001:db8:30::/64"))
    assert dual.gateways == (ip_address("192.168.30.1"), ip_address("2001:db8:30::1"))
    both = full.guests["both"].nics[0]
    assert both.dhcp
    assert both.addresses == (ip_interface("2001:db8:30::33/64"),)
    network = full.network_of(both)
    assert network is not None
    assert network.name == "staff"


def test_a_derived_mac_makes_way_for_a_given_one() -> None:
    taken = derive_guest_mac("s", "h", "a", 0)
    site = parse(
        f"site: s\nhosts: {{h: {{bridges: {{b: {{uplink: none}}}}}}}}\n"
        f"guests:\n  a: {{host: h, nics: [{{bridge: b}}]}}\n"
        f"  z: {{host: h, nics: [{{bridge: b, mac: '{taken}'}}]}}\n".encode(),
        "s",
    )
    assert site.guests["z"].nics[0].mac == taken
    assert site.guests["a"].nics[0].mac == derive_guest_mac("s", "h", "a", 1000)


def test_nothing_is_guessed() -> None:
    """What YAML 1.1 reads as a truth value, a number in base 60 or a float stays a name."""
    site = parse(b"site: 1e3\nnetworks: {off: {}, 12: {}, 0x1f: {}}\nguests:\nhosts: {on: }\n", "s")
    assert site.name == "1e3"
    assert list(site.networks) == ["off", "12", "0x1f"]
    assert list(site.hosts) == ["on"]


def test_a_byte_order_mark_is_no_problem() -> None:
    assert parse(b"\xef\xbb\xbfsite: s\n", "s").name == "s"


def test_windows_line_ends_are_no_problem() -> None:
    assert parse(PRODUCTION.read_bytes().replace(b"\n", b"\r\n"), "production.yaml").guests.keys() == {
        "guest_01",
        "guest_02",
        "guest_03",
    }


@pytest.mark.parametrize("address", ["192.168.122.1/24", "192.168.122.7/24"])
def test_two_hosts_may_have_libvirts_default_network(address: str) -> None:
    hosts = "".join(
        f"  {h}: {{virtual_networks: {{default: {{mode: nat, subnet: 192.168.122.0/24}}}}}}\n" for h in ("one", "two")
    )
    guests = "".join(
        f"  {g}: {{host: {h}, nics: [{{network: default, address: {address}}}]}}\n"
        for g, h in (("a", "one"), ("b", "two"))
    )
    text = f"site: s\nhosts:\n{hosts}guests:\n{guests}".encode()
    if address.endswith(".1/24"):
        with pytest.raises(SiteFault, match="host 'one' itself"):
            parse(text, "s")
    else:
        assert len(parse(text, "s").guests) == 2


def test_a_broken_entry_hides_only_what_hangs_on_it() -> None:
    """No second complaint about the network whose own line is wrong; the rest of the file is still checked."""
    with pytest.raises(SiteFault) as caught:
        parse(
            b"site: s\nnetworks:\n  a: {subnet: 10.0.0.1/8}\n"
            b"hosts:\n  h:\n    nics: {eth0: {network: a}, eth1: {network: b}}\n",
            "s",
        )
    assert [(p.code, p.place and p.place.line) for p in caught.value.problems] == [("SUBNET", 3), ("UNKNOWN-NAME", 6)]


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch, production: Site) -> None:
    monkeypatch.setattr(bascule.site.tree, "LOADER", yaml.BaseLoader)
    slow = parse(PRODUCTION.read_bytes(), "production.yaml")
    assert slow == production
    assert slow.expectations[3].place == production.expectations[3].place
    for name in ("tab", "yaml-colon", "yaml-brace", "yaml-quote", "anchor-bomb", "depth"):
        with pytest.raises(SiteFault) as caught:
            parse((ROOT / "tests" / "errors" / f"{name}.yaml").read_bytes(), name)
        assert len(caught.value.problems) == 1


def big(guests: int) -> bytes:
    lines = ["site: big", "networks: {n: {subnet: 10.0.0.0/8}}", "hosts:", "  h:", "    nics: {eth0: {network: n}}"]
    lines[-1] = f"    nics: {{{', '.join(f'eth{i}: {{network: n}}' for i in range(guests // 1000 + 1))}}}"
    lines.append(f"    bridges: {{{', '.join(f'br{i}: {{uplink: eth{i}}}' for i in range(guests // 1000 + 1))}}}")
    lines.append("guests:")
    for i in range(guests):
        nic = f"{{bridge: br{i // 1000}, address: 10.1.{i // 250}.{i % 250 + 1}/8}}"
        lines.append(f"  g{i}: {{host: h, nics: [{nic}], serves: [tcp/80]}}")
    lines.append("expect:")
    lines += [f"  - {{from: g{i}, to: g{i + 1}, service: tcp/80, verdict: reach}}" for i in range(guests - 1)]
    return "\n".join(lines).encode()


def test_a_large_file() -> None:
    site = parse(big(2000), "big.yaml")
    assert (len(site.guests), len(site.expectations)) == (2000, 1999)
    assert len({nic.mac for guest in site.guests.values() for nic in guest.nics}) == 2000


def test_importing_the_package_does_not_import_pydantic() -> None:
    code = "import sys, bascule.site, bascule.cli; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_tag_leads_nowhere_without_an_uplink() -> None:
    site = parse(
        b"site: s\nnetworks: {staff: {vlan: 30}}\nhosts: {h: {bridges: {b: {uplink: none, vlan_aware: on}}}}\n"
        b"guests: {g: {host: h, nics: [{bridge: b, vlan: 30}]}}\n",
        "s",
    )
    assert site.network_of(site.guests["g"].nics[0]) is None
