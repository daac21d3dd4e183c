"""A key that is taken out of the site file: what Bascule had set by it goes, what somebody else had set stays."""

from __future__ import annotations

import pytest

from tests.lab import pings
from tests.real_hosts.conftest import real_host
from tests.real_hosts.field import BASE, ONE_NIC, Field

__all__ = ["real_host"]

pytestmark = pytest.mark.kernel
ISOLATED = BASE.replace("bridge: br0,", "bridge: br0, isolated: true,")


def is_isolated(field: Field) -> bool:
    return "isolated on" in field.run("bridge", "-d", "link", "show", "dev", "web.0").stdout


def apply(field: Field, text: str) -> None:
    done = field.bascule("apply", field.site(text), "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr


def test_isolation(real_host: Field) -> None:
    assert ISOLATED != BASE
    field = real_host
    field.guest("web", "web.0", "192.168.1.21/24")
    apply(field, ISOLATED)
    assert is_isolated(field)
    field.ip("link set web.0 mtu 1400")  # a change in between that has nothing to do with it
    apply(field, ISOLATED)
    said = field.document("plan", field.site(BASE))["changes"]
    assert [one["subject"] for one in said] == ["web.0"]
    assert field.bascule("verify", field.site(BASE)).returncode == 1
    apply(field, BASE)
    assert not is_isolated(field)

    field.run("bridge", "link", "set", "dev", "web.0", "isolated", "on")  # by somebody else
    apply(field, ISOLATED)
    assert field.document("plan", field.site(BASE))["changes"] == []
    assert is_isolated(field)


ROUTED = """\
site: one
networks: {office: {subnet: 192.168.1.0/24}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24, routes: [{to: 172.29.0.0/16, via: 192.168.1.7}]}}
"""
ON_A_BRIDGE = """\
site: one
networks: {office: {subnet: 192.168.1.0/24}}
hosts:
  kvm:
    nics: {eth0: {network: office}}
    bridges: {br0: {uplink: eth0, address: from-uplink}}
"""


@pytest.mark.parametrize("by", ["a manager, by our file", "the change"])
def test_a_bridge_takes_the_routes_of_its_uplink_along_whoever_set_them(real_host: Field, by: str) -> None:
    """As it takes the addresses; it had them with the first plan, and the second one removed them."""
    field = real_host
    apply(field, ROUTED)
    if by != "the change":
        field.ip("route replace 172.29.0.0/16 via 192.168.1.7 dev eth0 proto static")
    before = field.ip("route")
    apply(field, ON_A_BRIDGE)
    assert "172.29.0.0/16 via 192.168.1.7 dev br0" in field.ip("route")
    assert field.document("plan", field.site(ON_A_BRIDGE))["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert field.ip("route") == before


WITH_A_MAC = ONE_NIC.replace("{uplink", "{mac: 52:54:00:aa:bb:cc, uplink")
NO_BRIDGE = ONE_NIC[: ONE_NIC.index("    bridges")]


@pytest.mark.parametrize("left", [NO_BRIDGE, NO_BRIDGE.replace("eth0:", "eth1:")], ids=["bridge", "bridge and NIC"])
def test_a_bridge_with_a_mac_of_its_own_gives_back_what_it_took(real_host: Field, left: str) -> None:
    """The NIC was known by its MAC alone: with any other bridge the host lost its address and its default route."""
    field = real_host
    found = field.ip("-br addr show eth0"), field.ip("route")
    apply(field, WITH_A_MAC)
    assert "192.168.1.10/24" in field.ip("addr show dev br0")
    apply(field, left)
    assert (field.ip("-br addr show eth0"), field.ip("route")) == found
    assert pings(field.host, "192.168.1.1")
    assert field.document("plan", field.site(left))["changes"] == []


def test_a_nic_that_leaves_the_file_leaves_the_bridge_that_it_joined_by_it(real_host: Field) -> None:
    """It stayed one beside the new uplink, two networks in one; its own files took it out at the next start."""
    field = real_host
    apply(field, ONE_NIC)
    other = ONE_NIC.replace("eth0", "eth1")
    said = field.document("plan", field.site(other))
    assert ("eth0", "leave br0", []) in [(one["subject"], one["action"], one["guests"]) for one in said["changes"]]
    assert "eth0, which carries 192.168.1.10/24: leave br0" in said["own_line"]
    apply(field, other)
    assert "master" not in field.ip("link show eth0")
    assert "master br0" in field.ip("link show eth1")
    assert field.document("plan", field.site(other))["changes"] == []
    assert field.bascule("undo", "--yes").returncode == 0
    assert "master br0" in field.ip("link show eth0")
