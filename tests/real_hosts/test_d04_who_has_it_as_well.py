"""D4, once the address is there: verify asks whether somebody else on the wire answers for it as well."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.real_hosts.field import MACS, Field
from tests.real_hosts.test_d04_nobodys_address_is_taken import late

PC = MACS["pc"]
SITE = """\
site: one
networks:
  office: {subnet: [192.168.1.0/24, 'fd00::/64'], gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office%s}%s}
    bridges: {%s}
"""
NIC = SITE % (", address: [192.168.1.10/24, 'fd00::10/64'], gateway: 192.168.1.1", "", "")
BRIDGE = SITE % ("", "", "br0: {uplink: eth0, address: [192.168.1.10/24, 'fd00::10/64'], gateway: 192.168.1.1}")
TWO = SITE % (", address: [192.168.1.10/24, 'fd00::10/64']", ", eth1: {network: office, address: 192.168.1.11/24}", "")


@pytest.fixture
def host(real_host: Field) -> Field:
    real_host.ip("addr add fd00::10/64 dev eth0 nodad")
    return real_host


def asked(host: Field, path: str) -> list[dict[str, Any]]:
    return [one for one in host.document("verify", path)["checks"] if one["id"] == "own-address"]


@pytest.mark.parametrize(("text", "link"), [(NIC, "eth0"), (BRIDGE, "br0")], ids=["a NIC", "a bridge"])
@pytest.mark.parametrize(
    ("address", "how"), [("192.168.1.10/24", "ARP"), ("fd00::10/64", "neighbour discovery")], ids=["IPv4", "IPv6"]
)
def test_who_took_it_later_fails_the_verification(host: Field, text: str, link: str, address: str, how: str) -> None:
    path = host.site(text)
    assert host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert asked(host, path) == []
    host.ip(f"addr add {address} dev eth0 nodad", host.pc)
    done = host.bascule("verify", path)
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    ip = address.partition("/")[0]
    assert f"{PC} answers {how} on {link} for {ip} as well, which this host has: each loses what the other gets" in said
    (check,) = asked(host, path)
    assert (check["subject"], check["ok"]) == (link, False)


def test_a_guest_of_the_host_itself_is_asked_as_well(host: Field) -> None:
    path = host.site(BRIDGE)
    assert host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    host.guest("somebody", "vnet3", "192.168.1.10/24", bridge="br0")
    (check,) = asked(host, path)
    assert (check["subject"], check["ok"]) == ("br0", False)


def test_who_answers_for_every_address_has_none_of_them_for_sure(host: Field) -> None:
    """As a provider's router does, whose guests are kept apart."""
    over = threading.Event()
    answering = threading.Thread(target=late, args=(host, 0.0, over), kwargs={"everybodys": True})
    answering.start()
    try:
        (check,) = asked(host, host.site(NIC))
    finally:
        over.set()
        answering.join()
    assert (check["ok"], "answers ARP on eth0 for every address" in check["detail"]) == (None, True)


def test_another_link_of_the_host_on_the_same_wire_is_nobody_else(host: Field) -> None:
    """The kernel answers on each link for the addresses of all (arp_ignore 0)."""
    host.batch("addr add 192.168.1.11/24 dev eth1\nlink set eth1 up\n")
    assert asked(host, host.site(TWO)) == []
