"""T6: entries of table `local` inside a declared subnet, and rules that pick some of the host's packets."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from bascule.errors import BasculeError
from bascule.providers.observe import observe
from bascule.topology.host_routes import HostRoutes
from tests.lab import open_lab
from tests.real_hosts.field import Field, furnished

pytestmark = pytest.mark.kernel

SITE = """\
site: lab
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}}
    virtual_networks: {lab: {mode: nat, subnet: [192.168.122.0/24, 'fd06::/64']}}
guests:
  web: {host: kvm, memory: 1GiB, nics: [{network: lab, address: 192.168.122.9/24}]}
"""
TAKEN = {  # what stands on the host, and why its plan is refused
    "route add local 192.168.122.0/24 dev lo": "takes web 192.168.122.9 for an address of its own: route local",
    "route add local 192.168.122.9 dev eth0": "takes web 192.168.122.9 for an address of its own: route local",
    "route add local 192.168.122.128/25 dev eth0": "takes 192.168.122.128 for an address of its own: route local",
    "-6 route add local fd06::/64 dev lo": "takes fd06::8000:0:0:0 for an address of its own: route local fd06::/64",
    "addr add 192.168.122.9/32 dev eth1": "web 192.168.122.9 for an address of its own: route local 192.168.122.9/32",
    "addr add 192.168.122.9/32 dev lo": "web 192.168.122.9 for an address of its own: route local 192.168.122.9/32",
    "route add broadcast 192.168.122.77 dev eth0 table local": "takes 192.168.122.77 for a broadcast address: route",
    "route add blackhole 192.168.122.64/26 table local": "looks for 192.168.122.65 on blackhole: route",
    "route add 192.168.122.0/24 dev tun0 table local": "looks for web 192.168.122.9 on tun0: route 192.168.122.0/24",
}
SOME = {  # a rule, and what the plan warns of; "" where it picks no packet of the host's to those subnets
    "from 192.168.122.1 lookup 52": "web 192.168.122.9 on tun0 with packets of 'from 192.168.122.1': rule",
    "from 192.168.0.0/16 lookup 52": "the gateway 192.168.1.1 on tun0 with packets of 'from 192.168.1.10': rule",
    "ipproto tcp lookup 52": "the gateway 192.168.1.1 on tun0 with packets of 'ipproto tcp': rule",
    "ipproto udp dport 53 prohibit": "web 192.168.122.9 on prohibit with packets of 'ipproto udp dport 53': rule",
    "uidrange 1000-2000 to 192.168.122.0/25 lookup 52": "on tun0 with packets of 'uidrange 1000-2000': rule",
    "tos 0x10 sport 443 ipproto tcp lookup 52": "with packets of 'tos 0x10 ipproto tcp sport 443': rule",
    "from 192.168.1.10 to 192.168.122.0/24 lookup 52": "",
    "from 10.99.0.2 lookup 52": "",
    "fwmark 1 ipproto tcp lookup 52": "",
    "iif eth0 ipproto tcp lookup 52": "",
    "ipproto tcp lookup 52 suppress_prefixlength 0": "",
    "ipproto tcp goto 32766": "",
}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        found = furnished(lab, tmp_path_factory.mktemp("field"))
        found.batch("link add tun0 type bridge\nlink set tun0 up\naddr add 10.99.0.2/24 dev tun0\n")
        found.batch("route add default dev tun0 table 52\nroute add ::/0 dev tun0 table 52\n")
        yield found


@pytest.mark.parametrize("line", TAKEN)
def test_t06_table_local_inside_a_virtual_networks_subnet(field: Field, line: str) -> None:
    field.ip(line)
    try:
        with pytest.raises(BasculeError) as raised:
            field.plan(SITE)
    finally:
        field.ip(line.replace(" add ", " del "))
    (problem,) = raised.value.problems
    assert problem.code == "SUBNET-TAKEN"
    assert TAKEN[line] in problem.message


@pytest.mark.parametrize("words", SOME)
def test_t06_a_rule_that_picks_some_packets_is_said(field: Field, words: str) -> None:
    """Never refused: a VPN for one user or one service may well be meant."""
    field.ip(f"rule add {words} priority 900")
    try:
        notes = [note.text for note in field.plan(SITE).notes if "rule 900" in note.text]
    finally:
        field.ip("rule del priority 900")
    assert bool(notes) == bool(SOME[words])
    assert any(SOME[words] in text for text in notes) or not SOME[words]


def test_t06_the_model_says_what_the_kernel_does_with_them(field: Field) -> None:
    lines = (
        "route add local 192.168.1.64/26 dev lo", "route add broadcast 192.168.1.77 dev eth0 table local",
        "rule add from 192.168.1.10 ipproto udp lookup 52 priority 901", "rule add goto 32766 priority 902",
        "rule add lookup 52 priority 903", "rule add lookup 52 priority 32766",
    )  # fmt: skip
    field.batch("".join(f"{line}\n" for line in lines))
    try:
        with field.host.entered():
            routes = HostRoutes(observe())
        for text in ("192.168.1.1", "192.168.1.65", "192.168.1.77", "8.8.8.8"):
            way = routes.way_to(ip_address(text))
            assert way is not None
            said = field.ip(f"route get {text}")
            assert said.startswith(text if way.kind == "unicast" else f"{way.kind} {text}"), text
            assert way.kind == "local" or f"dev {way.devs[0]}" in said
        ((some, such),) = routes.ways_by_rule(ip_address("192.168.1.1"), ip_address("192.168.1.10"))
        assert f"dev {some.devs[0]} " in field.ip(
            f"route get 192.168.1.1 {such.replace('ipproto udp', '')} ipproto udp"
        )
        assert "dev eth0 " in field.ip("route get 192.168.1.1 from 192.168.1.10 ipproto tcp")
    finally:
        field.batch("".join(f"{line.replace(' add ', ' del ')}\n" for line in reversed(lines)))
