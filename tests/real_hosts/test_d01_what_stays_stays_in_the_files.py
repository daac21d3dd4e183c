"""D1: what a change leaves on a link stands in the files afterwards, and files that say it already are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.links import Bridge, Physical
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.files import read_tree
from bascule.persist.persister import find_persister
from bascule.plan.file_change import FileChange
from bascule.site import parse

SITE = "site: s\nhosts: {kvm: {persist: networkd, as_found: %s, nics: {eth0: %s}, bridges: {br9: {uplink: none}}}}\n"
FILE = """\
[Match]
Name=eth0
[Network]
Address=192.0.2.10/24
Address=203.0.113.3/32
"""


def apply(tmp_path: Path, text: str, wanted: HostState) -> list[FileChange]:
    site = parse(text.encode(), "s.yaml")
    persister, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
    assert persister is not None
    changes = list(persister.changes(wanted))
    persister.write(wanted)
    return changes


def state(*addresses: str, route: str = "") -> HostState:
    link = Link(name=IfName("eth0"), options=Physical(), up=True, addresses=tuple(Address(ip=ip) for ip in addresses))
    routes = [Route(dst=route, gateway="192.0.2.7", dev=IfName("eth0"))] if route else []
    bridge = Link(name=IfName("br9"), options=Bridge(), up=True, addrgenmode="none")
    return HostState.of([link, bridge], routes=routes)


def config(tmp_path: Path) -> NetworkConfig:
    one = dialect("networkd")
    return one.parse(read_tree(str(tmp_path), one.reads, one.includes).files).config


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_d01_a_file_with_just_these_addresses_is_left_alone_in_whatever_order_the_kernel_has_them(
    order: tuple[int, int], tmp_path: Path
) -> None:
    """systemd-networkd 252 sets them in another order at each reload; the file would be taken over for that."""
    path = tmp_path / "etc/systemd/network/lan.network"
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    both = ("192.0.2.10/24", "203.0.113.3/32")
    changes = apply(tmp_path, SITE % ("false", "{ipv6: auto}"), state(*(both[index] for index in order)))
    assert path.read_text() == FILE
    assert not [one.path for one in changes if "eth0" in one.path]


@pytest.mark.parametrize("as_found", [True, False])
def test_d01_a_route_of_an_earlier_site_file_that_stays_is_there_after_the_next_start(
    as_found: bool, tmp_path: Path
) -> None:
    now = state("192.0.2.10/24", route="198.51.100.0/24")
    routes = "address: 192.0.2.10/24, routes: [{to: 198.51.100.0/24, via: 192.0.2.7}]"
    apply(tmp_path, SITE % ("false", f"{{{routes}}}"), now)
    assert [route.dst for route in config(tmp_path).links[IfName("eth0")].routes] == ["198.51.100.0/24"]
    left = now if as_found else state("192.0.2.10/24")
    apply(tmp_path, SITE % (str(as_found).lower(), "{address: 192.0.2.10/24}"), left)
    kept = [route.dst for route in config(tmp_path).links[IfName("eth0")].routes]
    assert kept == (["198.51.100.0/24"] if as_found else [])


@pytest.mark.parametrize(("renderer", "told"), [("NetworkManager", ["eth0"]), ("networkd", []), ("", [])])
def test_d01_whose_link_of_netplans_changes_hands_is_told_once(renderer: str, told: list[str], tmp_path: Path) -> None:
    path = tmp_path / "etc/netplan/50-eth0.yaml"
    path.parent.mkdir(parents=True)
    said = f"renderer: {renderer}, " if renderer else ""
    path.write_text(f"network: {{version: 2, {said}ethernets: {{eth0: {{addresses: [192.0.2.9/24]}}}}}}\n")
    text = SITE.replace("networkd", "netplan") % ("false", "{address: 192.0.2.10/24}")
    site = parse(text.encode(), "s.yaml")
    for names in (told, []):
        persister, _ = find_persister(site, site.hosts["kvm"], root=str(tmp_path))
        assert persister is not None
        persister.changes(state("192.0.2.10/24"))
        assert [note.subject for note in persister.notes if "a second without them" in note.text] == names
        persister.write(state("192.0.2.10/24"))
