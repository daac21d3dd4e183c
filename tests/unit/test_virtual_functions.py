"""D14: an uplink that is a virtual function of SR-IOV, by facts of sysfs and ip-link(8) that were laid out as files."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.model.links import Physical
from bascule.model.state import HostState, Link
from bascule.model.values import IfName, Mac
from bascule.plan.make import make_plan
from bascule.providers.kernel.virtual_functions import has_functions, virtual_functions
from bascule.site import parse

SITE = """\
site: vf
hosts:
  h:
    nics: {eth0: {}}
    bridges: {br0: {uplink: eth0}}
guests: {g: {host: h, nics: [{bridge: br0}]}}
"""
OWN, OFF = "drops what bears another (spoofchk on, trust off)", "ip link set ens1 vf 1 spoofchk off trust on"
CASES: dict[str, tuple[dict[str, Any] | None, tuple[str, ...]]] = {  # what the NIC above says, and what is told
    "as it comes": ({"vf": 1, "spoofchk": True, "trust": False}, (OWN, OFF)),
    "not trusted": ({"vf": 1, "spoofchk": False, "trust": False}, ("(trust off)", OFF)),
    "spoofing is looked for": ({"vf": 1, "spoofchk": True, "trust": True}, ("(spoofchk on)", OFF)),
    "in a VLAN": ({"vf": 1, "trust": True, "vlan_list": [{"vlan": 30}]}, ("(vlan 30)", "and without its vlan")),
    "all passes": ({"vf": 1, "spoofchk": False, "trust": True}, ()),
    "the NIC above is not here": (None, ("could not be seen from here",)),
}


def laid_out(folder: Path, *, above: bool) -> Path:
    """Two functions of ens1, of which eth0 is the second; other NICs beside them."""
    devices = folder / "devices"
    for name in ("pf", "vf0", "vf1", "nic"):
        (devices / name).mkdir(parents=True)
    for number in (0, 1):
        (devices / f"vf{number}" / "physfn").symlink_to(devices / "pf")
        (devices / "pf" / f"virtfn{number}").symlink_to(devices / f"vf{number}")
    if above:
        (devices / "pf/net/ens1").mkdir(parents=True)
    for name, device in (("ens1", "pf"), ("eth0", "vf1"), ("eth1", "nic"), ("ens1v0", "vf0")):
        (folder / "net" / name).mkdir(parents=True)
        (folder / "net" / name / "device").symlink_to(devices / device)
    return folder / "net"


@pytest.mark.parametrize("what", CASES)
def test_d14_a_virtual_function_as_uplink(tmp_path: Path, what: str) -> None:
    said, words = CASES[what]
    folder = laid_out(tmp_path, above=said is not None)
    listing: list[dict[str, Any]] = [
        {"ifname": "ens1", "vfinfo_list": [{"vf": 0}, said]},
        {"ifname": "eth0"},
        {"ifname": "eth1"},
    ]
    found = virtual_functions(listing if said is not None else listing[1:], folder)
    assert has_functions(folder)
    assert set(found) == {"eth0"}
    link = Link(name=IfName("eth0"), options=Physical(), mac=Mac("02:00:00:00:00:01"), up=True)
    link = replace(link, facts=replace(link.facts, index=2, function=found["eth0"]))
    site = parse(SITE.encode(), "site.yaml")
    plan, _ = make_plan(site, site.hosts["h"], HostState(links=MappingProxyType({link.name: link})))
    notes = [note.text for note in plan.notes if "SR-IOV" in note.text]
    assert len(notes) == (1 if words else 0)
    for word in words:
        assert word in notes[0]
        assert notes[0].startswith("is a virtual function (SR-IOV) and the uplink of br0; ")


def test_d14_hosts_without_them(tmp_path: Path) -> None:
    (tmp_path / "net/eth0/device").mkdir(parents=True)
    assert not has_functions(tmp_path / "net")
