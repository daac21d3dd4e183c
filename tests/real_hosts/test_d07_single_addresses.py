"""D7: a host with one address (/32, /128) and a gateway outside of it, as hosters give it."""

from __future__ import annotations

import pytest

from bascule.errors import SiteFault
from bascule.model.values import is_onlink
from bascule.site import parse
from tests.lab import pings
from tests.real_hosts.field import Field

HOSTER = """\
site: hoster
hosts:
  kvm:
    nics:
      eth1: {address: [203.0.113.17/32, '2001:db8:1::5/128'], gateway: [198.51.100.1, '2001:db8:ffff::1']}
    bridges:
      br0: {uplink: none, address: 203.0.113.17/32}
guests:
  web: {host: kvm, memory: 1GiB, nics: [{bridge: br0, address: 203.0.113.9/32}]}
"""
FROM_UPLINK = """\
site: hoster
hosts:
  kvm:
    nics: {eth1: {address: 203.0.113.17/32, gateway: 198.51.100.1}}
    bridges: {br0: {uplink: eth1, address: from-uplink}}
"""


def hoster(field: Field) -> None:
    """The hoster's router on the wire of eth1, and none of the office's."""
    router = field.station("hoster", "02:00:00:00:00:99", "198.51.100.1/24", "2001:db8:ffff::1/64")
    for words in ("route add 203.0.113.17/32 dev eth0", "-6 route add 2001:db8:1::5/128 dev eth0"):
        field.ip(words, router)
    field.ip("link set eth0 down")
    field.ip("link set eth1 up")


def test_d07_a_single_address_from_scratch(real_host: Field) -> None:
    """Of the same address on the bridge of routed guests nobody says that it appears twice."""
    field, path = real_host, real_host.site(HOSTER)
    hoster(field)
    assert field.bascule("check", path).returncode == 0
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert pings(field.host, "198.51.100.1")
    assert pings(field.host, "2001:db8:ffff::1")
    assert field.document("plan", path)["changes"] == []
    rehearsed = field.document("rehearse", path)
    assert rehearsed["ok"], rehearsed["checks"]
    imported = field.bascule("import").stdout
    assert "gateway: [198.51.100.1, 2001:db8:ffff::1]" in imported
    assert "via 198.51.100.1" not in imported, "no note that it could not be said"
    again = field.site(imported, "again.yaml")
    assert field.document("plan", again)["changes"] == []
    assert field.bascule("undo").returncode == 0
    assert "198.51.100.1" not in field.ip("route")


@pytest.mark.parametrize("way", ["onlink", "a route to the router"])
def test_d07_a_single_address_moves_to_a_bridge_and_back(real_host: Field, way: str) -> None:
    field, path = real_host, real_host.site(FROM_UPLINK)
    hoster(field)
    field.ip("addr add 203.0.113.17/32 dev eth1")
    if way == "onlink":
        field.ip("route add default via 198.51.100.1 dev eth1 onlink")
    else:
        field.ip("route add 198.51.100.1 dev eth1")
        field.ip("route add default via 198.51.100.1 dev eth1")
    before = field.ip("route")
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert pings(field.host, "198.51.100.1")
    assert field.document("plan", path)["changes"] == []
    assert field.bascule("undo").returncode == 0
    assert sorted(field.ip("route").splitlines()) == sorted(before.splitlines())


def test_d07_only_a_single_address_makes_a_far_router_a_neighbour() -> None:
    from ipaddress import ip_address, ip_interface

    router = ip_address("198.51.100.1")
    assert is_onlink(router, [ip_interface("203.0.113.17/32")])
    assert is_onlink(ip_address("2001:db8::1"), [ip_interface("2001:db8:1::5/128")])
    assert not is_onlink(router, [ip_interface("203.0.113.17/24")])
    assert not is_onlink(router, [ip_interface("203.0.113.17/32"), ip_interface("198.51.100.9/24")])
    assert not is_onlink(router, [])
    assert not is_onlink(ip_address("fe80::1"), [ip_interface("2001:db8:1::5/128")])
    with pytest.raises(SiteFault, match="GATEWAY"):
        parse(FROM_UPLINK.replace("203.0.113.17/32", "203.0.113.17/24").encode(), "site.yaml")
    with pytest.raises(SiteFault, match="DUPLICATE-ADDRESS"):
        parse(HOSTER.replace("none, address: 203.0.113.17/32", "none, address: 203.0.113.9/32").encode(), "site.yaml")


def test_d07_a_link_local_gateway_is_asked_for_on_its_own_link(real_host: Field) -> None:
    """fe80::1 is on any link that has no better word: without one the kernel looks on the first that is up."""
    field = real_host
    field.ip("addr add fe80::1/64 dev eth0 nodad", field.router)
    text = FROM_UPLINK.replace("eth1: {address: 203.0.113.17/32, gateway: 198.51.100.1}", "eth0: {}")
    text = text.replace("uplink: eth1, address: from-uplink", "uplink: eth0, address: '2001:db8:1::5/128', "
                                                              "gateway: 'fe80::1'")  # fmt: skip
    path = field.site(text)
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert '"dev":"eth1"' in field.ip("-j route get fe80::1"), "the lab no longer asks elsewhere"
    seen = field.document("verify", path)
    assert seen["ok"], [check for check in seen["checks"] if check["ok"] is False]
    assert "fe80::1 answers by the host's own routing, over br0" in [check["detail"] for check in seen["checks"]]
    field.ip("link set eth0 down", field.router)
    assert not field.document("verify", path)["ok"]
