"""D11: what only seems to name a NIC is not said to: groups that links join, editors, rules about bridged frames."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bascule.system.run import find_tool
from tests.real_hosts.field import ONE_NIC, Field

OVER_VMBR0 = """\
link add vmbr0 type bridge forward_delay 0 mcast_snooping 1
link set eth0 master vmbr0
link set vmbr0 up
addr del 192.168.1.10/24 dev eth0
addr add 192.168.1.10/24 dev vmbr0
route add default via 192.168.1.1 dev vmbr0
link add vx7 type vxlan id 7 dev vmbr0 group 239.1.1.1 dstport 4789
link add vx8 type vxlan id 8 dev vmbr0 group ff05::88 dstport 4790
link set vx7 up
link set vx8 up
"""


def warned(field: Field) -> list[str]:
    notes = field.document("plan", field.site(ONE_NIC))["notes"]
    return [f"{one['subject']} {one['text']}" for one in notes if one["kind"] == "warning"]


def test_d11_groups_that_a_bridge_and_its_tunnels_have_joined_are_no_programs(real_host: Field) -> None:
    """A bridge that snoops is in those of RFC 4286, a VXLAN in that which it floods to: nobody can restart them."""
    real_host.batch(OVER_VMBR0)
    joined = real_host.ip("maddr show dev vmbr0")
    assert all(group in joined for group in ("224.0.0.106", "ff02::6a", "239.1.1.1", "ff05::88")), joined
    assert not [words for words in warned(real_host) if "have joined" in words]
    with real_host.host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        own = socket.inet_aton("239.1.2.3") + socket.inet_aton("192.168.1.10")
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, own)
        (said,) = [words for words in warned(real_host) if "have joined" in words]
    assert said.startswith("vmbr0 programs have joined 239.1.2.3 on it: ")


@pytest.fixture
def read(real_host: Field) -> Iterator[Field]:
    """Somebody reads the site file meanwhile, and another Bascule runs by an interpreter."""
    path = real_host.site(ONE_NIC)
    with real_host.host.entered():
        others = [
            subprocess.Popen((find_tool("tail"), "--follow", path), stdout=subprocess.DEVNULL),
            subprocess.Popen((sys.executable, "-m", "bascule", "serve", path), stdout=subprocess.DEVNULL),
        ]
    yield real_host
    for each in others:
        each.kill()
        each.wait()


def test_d11_whoever_has_the_site_file_open_does_not_hold_the_nic(read: Field) -> None:
    assert not [words for words in warned(read) if "is named by" in words]


def test_d11_a_rule_about_bridged_frames_begins_to_apply(real_host: Field) -> None:
    """It asks for a port, which the NIC was not so far."""
    for family in ("bridge", "inet"):
        real_host.run("nft", f"table {family} mine {{ chain in {{ type filter hook input priority 0; }}; }}")
        real_host.run("nft", f"add rule {family} mine in iifname eth0 counter")
    bridged, routed = (next(words for words in warned(real_host) if f"table {one} mine" in words)
                       for one in ("bridge", "inet"))  # fmt: skip
    assert bridged.endswith("(which applies to the frames that eth0 passes as a port of br0 from now on)")
    assert routed.endswith("(does not apply to br0)")
