"""T6 and T7: the host's own packets, which no bound probe shows, and a machine on the wire with a guest's MAC."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests.lab import open_lab
from tests.real_hosts.field import BASE, Field, furnished

pytestmark = pytest.mark.kernel

SITE = BASE.replace(
    "    bridges:", "    virtual_networks: {lab: {mode: nat, subnet: 192.168.122.0/24}}\n    bridges:"
).replace("machines:", "  inside: {host: kvm, nics: [{network: lab, address: 192.168.122.57/24}]}\nmachines:")
WEB = parse(SITE.encode(), "site.yaml").guests["web"].nics[0].mac


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("way"))
        web = field.guest("web", "web.0", "192.168.1.21/24")
        field.listen(web, 80)
        done = field.bascule("apply", field.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        yield field


def said(field: Field, *ids: str) -> dict[str, list[dict[str, Any]]]:
    document = field.document("verify", field.site(SITE))
    return {name: [one for one in document["checks"] if one["id"] == name] for name in ids}


def test_t06_a_host_that_routes_as_the_file_means(applied: Field) -> None:
    found = said(applied, "own-route", "gateway", "foreign-mac")
    (way,) = found["own-route"]
    assert way["ok"] is True
    assert "eth0: 192.168.1.1 192.168.1.21" in way["detail"]
    (gateway,) = found["gateway"]
    assert (gateway["ok"], gateway["detail"]) == (True, "192.168.1.1 answers by the host's own routing, over eth0")
    (macs,) = found["foreign-mac"]
    assert (macs["subject"], macs["ok"]) == ("eth1", True)
    assert macs["detail"].endswith("addresses were asked for; 12 of 12 frames from eth0 to them came in")


def test_t06_a_policy_rule_sends_the_lan_into_a_vpn(applied: Field) -> None:
    applied.batch(
        "link add vpn0 type veth peer name vpn1\nlink set vpn0 up\nlink set vpn1 up\naddr add 100.64.0.1/32 dev vpn0\n"
        "route add 192.168.1.0/24 dev vpn0 table 52\nrule add to 192.168.1.0/24 lookup 52 priority 5270\n"
    )
    try:
        found = said(applied, "own-route", "gateway")
    finally:
        applied.batch("rule del priority 5270\nlink del vpn0\n")
    words = [one["detail"] for one in found["own-route"] if one["ok"] is False]
    assert len(words) == 2
    assert words[0].startswith(
        "gateway 192.168.1.1: the host sends to it by vpn0, and the file means eth0: a policy rule"
    )
    assert "table 52 (" in words[0]
    assert "5270" in words[0]
    assert words[1].startswith("web (192.168.1.21): the host sends to it by vpn0")
    (gateway,) = found["gateway"]
    assert gateway["ok"] is False
    assert "though it is at 02:00:00:00:00:01 on eth0" in gateway["detail"]


def test_t06_a_virtual_networks_subnet_is_on_another_link_too(applied: Field) -> None:
    applied.batch("link add oth0 type veth peer name oth1\nlink set oth0 up\nlink set oth1 up\n")
    applied.batch("addr add 192.168.122.56/30 dev oth0\n")
    try:
        found = said(applied, "own-route")
    finally:
        applied.batch("link del oth0\n")
    (bad,) = [one["detail"] for one in found["own-route"] if one["ok"] is False]
    assert bad == (
        "inside (192.168.122.57): the host sends to it by oth0, and the file means vn-lab: "
        "oth0 has 192.168.122.56/30, which it lies in"
    )


def test_t06_answers_and_addresses_that_the_host_keeps_to_itself(applied: Field) -> None:
    """A rule that picks the host's answers alone, and an entry of table `local`: no unbound ping shows the first."""
    applied.batch("link add vpn0 type veth peer name vpn1\nlink set vpn0 up\nlink set vpn1 up\n")
    applied.batch("route add default dev vpn0 table 52\nrule add from 192.168.1.10 lookup 52 priority 5271\n")
    applied.batch("route add local 192.168.122.56/30 dev lo\n")
    try:
        found = said(applied, "own-route")
    finally:
        applied.batch("rule del priority 5271\nlink del vpn0\nroute del local 192.168.122.56/30 dev lo\n")
    words = [one["detail"] for one in found["own-route"] if one["ok"] is False]
    start = "gateway 192.168.1.1: with packets from 192.168.1.10, the host sends to it by vpn0, and the file means eth0"
    assert words[0].startswith(start)
    assert "5271: from 192.168.1.10 lookup 52" in words[0]
    assert "inside (192.168.122.57): the host takes it for an address of its own" in words[-1]


@pytest.mark.parametrize("whose", ["web", "br0"])
def test_t07_another_machine_on_the_wire_has_the_same_mac(applied: Field, whose: str) -> None:
    mac = {"web": WEB, "br0": "02:00:00:00:00:11"}[whose]
    applied.cable(applied.router, "twin", applied.switch, "ptwin", mac=mac)
    applied.batch("link set ptwin up master sw\n", applied.switch)
    applied.batch("link set twin up\naddr add fe80::77/64 dev twin nodad\n", applied.router)
    try:
        for _ in range(2):  # again and again, though our own probes have taught the switch where web is
            found = said(applied, "foreign-mac")["foreign-mac"]
            (bad,) = [one for one in found if one["ok"] is False]
            assert bad["subject"] == whose
            assert f"came in by eth1 with its own MAC {mac}" in bad["detail"]
            assert "a packet from fe80::77 to" in bad["detail"]
    finally:
        applied.batch("link del twin\n", applied.router)


def test_subnets_of_one_network_that_no_router_joins(applied: Field) -> None:
    """The one who asks is in another subnet than the guest: that nothing answers says nothing of the guest."""
    apart = SITE.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 10.7.0.0/24]")
    apart = apart.replace("192.168.1.21/24", "10.7.0.21/24")
    assert apart.count("10.7.0.") == 2
    web = applied.guests["web"]
    applied.batch("addr del 192.168.1.21/24 dev eth0\naddr add 10.7.0.21/24 dev eth0\n", web)
    try:
        checks = applied.document("verify", applied.site(apart))["checks"]
    finally:
        applied.batch("addr del 10.7.0.21/24 dev eth0\naddr add 192.168.1.21/24 dev eth0\n", web)
    found = {one["id"]: one for one in checks if one["subject"] == "web"}
    assert [found[name]["ok"] for name in ("in-broadcast-domain", "like-any-nic", "unrestricted-within")] == [
        True, True, None,
    ]  # fmt: skip
    words = "10.7.0.21/24 and 192.168.1.10/24 of kvm are in different subnets: only a router carries"
    assert found["unrestricted-within"]["detail"].startswith(words)


@pytest.fixture
def twin(applied: Field) -> Iterator[Namespace]:
    """A machine whose NIC has web's MAC, and no address and no IPv6 yet."""
    where = applied.lab.namespace("twin")
    applied.cable(where, "eth0", applied.switch, "ptwin", mac=WEB)
    applied.batch("link set ptwin up master sw\n", applied.switch)
    applied.batch("link set eth0 addrgenmode none up\n", where)
    yield where
    applied.batch("link del ptwin\n", applied.switch)


def test_t07_a_copy_of_the_guest_that_is_silent_and_has_no_ipv6(applied: Field, twin: Namespace) -> None:
    applied.batch("addr add 192.168.1.21/32 dev eth0\n", twin)
    (bad,) = [one for one in said(applied, "foreign-mac")["foreign-mac"] if one["ok"] is False]
    assert bad["subject"] == "web"
    assert "ARP of 192.168.1.21" in bad["detail"]


def test_t07_it_speaks_with_others_by_ipv4_alone_at_an_address_of_its_own(applied: Field, twin: Namespace) -> None:
    """Nothing of it comes in by eth1; what is sent to the guest does not, either."""
    applied.batch("addr add 192.168.1.77/24 dev eth0\n", twin)
    with twin.entered():
        talking = subprocess.Popen(("ping", "-q", "-i", "0.02", "192.168.1.50"), stdout=subprocess.DEVNULL)
    try:
        (bad,) = [one for one in said(applied, "foreign-mac")["foreign-mac"] if one["ok"] is False]
    finally:
        talking.kill()
        talking.wait()
    assert bad["subject"] == "web"
    assert f"of 6 frames from eth0 to its MAC {WEB} did not come in by eth1" in bad["detail"]


def test_t07_from_one_wire_alone_a_silent_machine_is_not_ruled_out(applied: Field) -> None:
    """IPv6 and the known addresses were asked, which proves nothing of a machine that has neither."""
    alone = SITE.replace("eth0: {network: office,", "eth0: {")
    assert alone != SITE
    (macs,) = [one for one in applied.document("verify", applied.site(alone))["checks"] if one["id"] == "foreign-mac"]
    assert (macs["subject"], macs["ok"]) == ("eth1", None)
    assert macs["detail"].endswith("at an address that nobody knows, stays unseen")
