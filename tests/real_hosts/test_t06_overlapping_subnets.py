"""T6: a declared subnet that is also on another link, on a route of somebody else, or in a VPN's table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.errors import SiteFault
from bascule.model.values import IpAddress
from bascule.providers.observe import observe
from bascule.site import parse
from bascule.topology.host_routes import HostRoutes
from tests.real_hosts.field import ONE_NIC, Field

NAT = """\
site: lab
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}}
    virtual_networks: {lab: {mode: nat, subnet: 192.168.122.0/24}}
guests:
  web: {host: kvm, memory: 1GiB, nics: [{network: lab, address: 192.168.122.9/24}]}
"""
WIDE = """\
site: wide
hosts:
  kvm:
    nics: {eth0: {address: 10.9.0.5/8}, eth1: {}}
    bridges: {br0: {uplink: eth1, address: 10.1.0.1/24}}
"""


def problems(text: str) -> list[str]:
    try:
        parse(text.encode(), "site.yaml")
    except SiteFault as fault:
        return [problem.code for problem in fault.problems]
    return []


def test_t06_the_file_alone() -> None:
    """Where the longest prefix decides rightly, nested subnets are what enterprise hosts have."""
    assert problems(WIDE) == []
    assert problems(WIDE.replace("10.9.0.5", "10.1.0.5")) == ["SUBNET-OVERLAP"]
    assert problems(WIDE.replace("10.9.0.5/8}", "10.9.0.5/8, gateway: 10.1.0.254}")) == ["SUBNET-OVERLAP"]
    assert problems(WIDE.replace("10.1.0.1/24", "10.1.0.1/8")) == ["SUBNET-OVERLAP"]
    nested = "networks:\n  a: {subnet: 10.0.0.0/8, gateway: 10.200.0.1}\n  b: {subnet: 10.1.0.0/24}\n"
    assert problems(f"site: s\n{nested}") == []
    assert problems(f"site: s\n{nested.replace('10.200.0.1', '10.1.0.1')}") == ["SUBNET-OVERLAP"]
    assert problems(f"site: s\n{nested.replace('10.1.0.0/24', '10.0.0.0/8')}") == ["SUBNET-OVERLAP"]
    own = NAT.replace("gateway: 192.168.1.1}}", "gateway: 192.168.1.1}, eth1: {address: 192.168.122.57/24}}")
    assert problems(own) == ["SUBNET-OVERLAP"]


def test_t06_an_address_that_a_bridge_of_others_keeps(real_host: Field) -> None:
    """It was set on the bridge's port a second time, or on a bridge to which the port goes, with a warning."""
    lines = "link add br9 type bridge\nlink set eth1 master br9\nlink set br9 up\naddress add 10.7.0.10/24 dev br9\n"
    real_host.batch(lines)
    nics = "nics: {eth1: {}}, bridges: {br8: {uplink: eth1, address: 10.7.0.10/24}}"
    done = real_host.bascule("apply", real_host.site(f"site: s\nhosts: {{kvm: {{{nics}}}}}\n"), "--yes")
    assert done.returncode == 1 and "error[SUBNET-TAKEN]: br8 has 10.7.0.0/24, but this host looks for" in done.stderr
    for address in ("10.7.0.10/24", "10.8.0.10/32"):
        site = real_host.site(f"site: s\nhosts: {{kvm: {{nics: {{eth1: {{address: {address}}}}}}}}}\n")
        done = real_host.bascule("apply", site, "--yes")
        words = "eth1 is a port of br9, which the file does not name: nobody would reach the host at"
        assert done.returncode == 1 and f"error[PORT-OF-OTHERS]: {words} {address} there" in done.stderr
    assert "10." not in real_host.ip("-4 address show dev eth1")
    real_host.batch("address add 10.8.0.10/32 dev eth1\n")  # somebody has his reasons
    assert real_host.document("plan", site)["changes"] == []


@pytest.mark.parametrize("address", ["192.168.122.57/24", "192.168.122.57/25", "192.168.122.1/24"])
def test_t06_a_virtual_network_that_another_link_is_in(real_host: Field, address: str) -> None:
    field = real_host
    field.ip(f"addr add {address} dev eth1")
    done = field.bascule("plan", field.site(NAT))
    assert done.returncode not in {0, 2}
    assert "eth1" in done.stderr
    assert "192.168.122" in done.stderr
    assert field.bascule("apply", field.site(NAT), "--yes", "--no-confirm").returncode not in {0, 75}
    assert "vn-lab" not in field.ip("link")


def test_t06_a_route_of_a_vpn(real_host: Field) -> None:
    field, path = real_host, real_host.site(NAT)
    field.ip("link add tun0 type bridge")
    field.ip("link set tun0 up")
    field.ip("addr add 10.99.0.2/24 dev tun0")
    field.ip("route add 192.168.0.0/16 dev tun0")
    assert field.bascule("plan", path).returncode == 0, "a longer prefix of our own wins"
    field.ip("route add 192.168.122.0/25 dev tun0")
    said = field.bascule("plan", path).stderr
    assert "SUBNET-TAKEN" in said
    assert "tun0" in said


@pytest.mark.parametrize("words", ["", "not fwmark 0x80000", "to 192.168.1.0/24"])
def test_t06_a_policy_rule_that_sends_the_office_into_a_vpn(real_host: Field, words: str) -> None:
    """It is so before the change: the plan says it, and leaves it to whoever has set it."""
    field, path = real_host, real_host.site(ONE_NIC)
    field.ip("link add tun0 type bridge")
    field.ip("link set tun0 up")
    field.ip("addr add 10.99.0.2/24 dev tun0")
    field.ip("route add 192.168.1.0/24 dev tun0 table 52")
    field.ip(f"rule add {words} lookup 52 priority 5270")
    plan = field.document("plan", path)
    (said,) = [note["text"] for note in plan["notes"] if "5270" in note["text"]]
    assert "tun0" in said
    assert "the gateway 192.168.1.1" in said
    assert "tun0" in field.ip("route get 192.168.1.1"), "the kernel says the same"
    for harmless in ("fwmark 0x80000 lookup 52", "from 10.99.0.2 lookup 52", "iif tun0 lookup 52"):
        field.ip("rule del priority 5270")
        field.ip(f"rule add {harmless} priority 5270")
        assert not [n for n in field.document("plan", path)["notes"] if "looks for" in n["text"]], harmless


NETWORK = """\
site: one
networks: {office: {subnet: 192.168.1.0/24}}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24%s}}
    virtual_networks: {lab: {mode: routed, subnet: [10.6.0.0/24, 'fd06::/64']}}
"""
ASTRAY = {  # what stands on the host already, and the words about it; "" where it does no harm
    "route add 10.6.0.128/26 via 192.168.1.50 dev eth0": "looks for 10.6.0.128 on eth0: route 10.6.0.128/26 by eth0",
    "route add 10.6.0.77/32 via 192.168.1.50 dev eth0": "looks for 10.6.0.77 on eth0: route 10.6.0.77/32 by eth0",
    "route add unreachable 10.6.0.64/27": "on unreachable: route 10.6.0.64/27 by unreachable",
    "rule add to 10.6.0.0/25 prohibit priority 90": "on prohibit: rule 90 (from all to 10.6.0.0/25 prohibit)",
    "rule add to 10.0.0.0/8 blackhole priority 91": "on blackhole: rule 91 (from all to 10.0.0.0/8 blackhole)",
    "-6 rule add to fd06::/64 prohibit priority 93": "on prohibit: rule 93 (from all to fd06::/64 prohibit) -->",
    "-6 route add unreachable fd06::8000:0:0:0/65": "on unreachable: route fd06::8000:0:0:0/65 by unreachable",
    "route add 10.6.0.64/26 nexthop via 192.168.1.50 dev eth0 nexthop via 192.168.1.1 dev eth0": "on eth0: route",
    "addr add 10.99.0.2 peer 10.6.0.9/32 dev eth1": "looks for 10.6.0.9 on eth1: route 10.6.0.9/32 by eth1",
    "route add 10.6.0.0/16 via 192.168.1.50 dev eth0": "",
    "route add blackhole 10.0.0.0/8": "",
    "rule add to 10.7.0.0/24 blackhole priority 92": "",
}


@pytest.mark.parametrize("line", ASTRAY)
def test_t06_what_wins_against_a_virtual_networks_subnet(shared_host: Field, line: str) -> None:
    """Over a link that the file knows as well, unless it is the file that says so."""
    field = shared_host
    field.ip(line)
    try:
        done = field.bascule("plan", field.site(NETWORK % ""))
        routes = ", routes: [{to: 10.6.0.128/26, via: 192.168.1.50}]"
        meant = field.bascule("plan", field.site(NETWORK % routes))
    finally:
        field.ip(line.replace(" add ", " del "))
    assert done.returncode == bool(ASTRAY[line])
    assert ASTRAY[line] in " ".join(done.stderr.split())
    assert ("SUBNET-TAKEN" in done.stderr) == bool(ASTRAY[line])
    assert meant.returncode == 0 or "10.6.0.128/26" not in line


def test_t06_an_office_beside_docker0(real_host: Field) -> None:
    field = real_host
    office = ONE_NIC.replace("192.168.1.0/24", "172.17.0.0/16").replace("192.168.1.1", "172.17.0.1")
    field.batch("addr flush dev eth0\naddr add 172.17.3.10/16 dev eth0\nroute add default via 172.17.0.1 dev eth0\n")
    field.ip("link add docker0 type bridge")
    field.ip("link set docker0 up")
    field.ip("addr add 172.17.0.1/16 dev docker0")
    said = [n["text"] for n in field.document("plan", field.site(office))["notes"] if "docker0" in n["text"]]
    assert any("172.17.0.0/16" in text and "looks for" in text for text in said), said


def test_t06_the_model_of_routing_agrees_with_the_kernel(real_host: Field) -> None:
    """For each address: the link that `ip route get` names is the only one, or one of those that nothing decides on."""
    from ipaddress import ip_address

    field = real_host
    field.batch(
        "link add tun0 type bridge\nlink set tun0 up\naddr add 10.99.0.2/24 dev tun0\naddr add 10.1.0.1/8 dev eth1\n"
        "addr add 10.2.0.1/24 dev tun0\nroute add 192.168.1.128/25 dev tun0 table 52\n"
        "route add throw 192.168.1.200 table 52\n"
        "route add default dev tun0 table 51\nrule add lookup main suppress_prefixlength 0 priority 100\n"
        "rule add not fwmark 0xca6c lookup 51 priority 101\nrule add to 192.168.1.0/24 lookup 52 priority 50\n"
        "route add 10.3.0.0/16 dev tun0 metric 50\nroute add 10.3.0.0/16 dev eth1 metric 20\n"
        "rule add to 10.4.0.0/16 blackhole priority 40\n"
    )
    with field.host.entered():
        routes = HostRoutes(replace(observe()))
    for text in ("192.168.1.1", "192.168.1.129", "192.168.1.200", "10.2.0.9", "10.3.0.9", "10.77.0.1", "8.8.8.8"):
        address: IpAddress = ip_address(text)
        way = routes.way_to(address)
        assert way is not None
        assert f"dev {way.devs[0]}" in field.ip(f"route get {text}"), text
    blocked = routes.way_to(ip_address("10.4.0.1"))
    assert blocked is not None
    assert blocked.devs == ("blackhole",)
    assert field.run("ip", "route", "get", "10.4.0.1").returncode != 0


def test_t06_every_word_of_a_rule_is_read_and_makes_the_same_rule_again(real_host: Field) -> None:
    lines = (
        "lookup main suppress_prefixlength 0", "uidrange 100-200 lookup 5", "suppress_ifgroup 5 lookup 6", "l3mdev",
        "tos 0x10 ipproto tcp dport 22-25 sport 80 lookup 7", "tun_id 7 lookup 7", "not fwmark 0x10/0xff lookup 9",
        "to 10.0.0.0/8 blackhole", "iif eth0 from 10.1.0.0/16 lookup 10", "goto 32766",
    )  # fmt: skip
    real_host.batch("".join(f"rule add {line} priority {100 + n}\n" for n, line in enumerate(lines)))
    before = real_host.ip("rule")
    with real_host.host.entered():
        rules = observe().rules
    for verb in ("del", "add"):
        real_host.batch("".join(f"rule {verb} priority {r.priority} {' '.join(r.words)}\n" for r in rules))
    assert real_host.ip("rule") == before
