"""T9: nobody reaches whom he has no route to, on one wire or behind a router: picture, model and frames agree."""

from __future__ import annotations

import pytest

from tests.lab import pings
from tests.real_hosts.field import Field

SITE = """\
site: apart
networks:
  office: {subnet: [192.168.1.0/24, 10.9.0.0/24, 'fd00:1::/64']}
  lab: {subnet: 10.7.0.0/24}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: office}}
    bridges: {br0: {uplink: eth1}}
guests:
  web: {host: kvm, nics: [{bridge: br0, address: 192.168.1.21/24}]}
  db: {host: kvm, nics: [{bridge: br0, address: 10.9.0.21/24}]}
  both: {host: kvm, nics: [{bridge: br0, address: [192.168.1.22/24, 10.9.0.22/24]}]}
machines:
  pc: {nics: [{network: office, address: 192.168.1.50/24}]}
  far: {nics: [{network: lab, address: 10.7.0.9/24}]}
"""
ADDRESSES = {"web": "192.168.1.21", "db": "10.9.0.21", "both": "10.9.0.22", "far": "10.7.0.9"}
APART = "is not in {}, and {} names no gateway to it, though both are on one wire"
PAIRS = {  # source and target: what ends the way, nothing where it is reached
    ("web", "db"): APART.format("192.168.1.0/24", "web"),
    ("db", "web"): APART.format("10.9.0.0/24", "db"),
    ("pc", "db"): APART.format("192.168.1.0/24", "pc"),
    ("pc", "web"): "",
    ("db", "both"): "",
    ("web", "far"): "ends at web: web has no gateway to 10.7.0.9",
}


@pytest.fixture(scope="module")
def field(shared_host: Field) -> Field:
    for name, given in (("web", "192.168.1.21/24"), ("db", "10.9.0.21/24"), ("both", "10.9.0.22/24")):
        shared_host.guest(name, f"{name}.0", given, site=SITE)
    assert shared_host.bascule("apply", shared_host.site(SITE), "--yes", "--no-confirm").returncode == 0
    return shared_host


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_t09_the_picture_says_reaches_only_where_frames_arrive(field: Field, pair: tuple[str, str]) -> None:
    (source, target), end = pair, PAIRS[pair]
    path = field.site(SITE)
    drawn = field.bascule("draw", path, "--highlight", f"{source}:{target}", "--format", "text").stdout
    said = " ".join(drawn.split())
    assert (end or f"{source} reaches {target}") in said
    assert (f"{source} reaches {target}" in said) is not bool(end)
    assert field.document("why", source, target, "icmp", "--site", path)["result"] == ("no" if end else "yes")
    asked = field.guests.get(source, field.pc), ADDRESSES[target]
    assert not pings(*asked, seconds=1) if end else pings(*asked)
